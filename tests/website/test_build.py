"""The strict build: it passes as it is, and a link that leads nowhere ends it."""

import subprocess
import sys
from pathlib import Path

import pytest

from website.__main__ import REPOSITORY
from website.pages import FOLDERS, collect_pages, documents


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """All pages but those of the Python functions, which would import torch."""
    folder = tmp_path / "sources"
    collect_pages(REPOSITORY, folder)
    for page in (folder / "docs" / "python").iterdir():
        page.unlink()
    (folder / "docs" / "python" / "index.md").write_text("# Python\n")
    return folder


def test_every_document_is_collected(sources: Path) -> None:
    collected = {str(path.relative_to(sources)) for path in sources.rglob("*.md")}
    assert {"README.md", "CONTRIBUTING.md", "docs/adr/template.md", "tests/golden/README.md"} <= collected
    assert {"docs/http/jobs.md", "docs/http/shapes.md", "docs/python/index.md"} <= collected


def test_only_our_own_documents_are_collected(tmp_path: Path) -> None:
    for name in ("README.md", "docs/adr/0001.md", "venv/lib/click/README.md", "build/docs/page.md", ".venv/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("# Page\n")
    assert [str(path) for path in documents(tmp_path)] == ["README.md", "docs/adr/0001.md"]


def test_every_package_may_have_documents() -> None:
    packages = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert packages <= {*FOLDERS}


def test_dead_links_and_anchors_and_forgotten_pages_end_the_build(sources: Path, tmp_path: Path) -> None:
    with (sources / "CONTRIBUTING.md").open("a") as page:
        page.write("\n[gone](docs/gone.md) [moved](docs/operations.md#moved) ![picture](docs/gone.png)\n")
    (sources / "docs" / "forgotten.md").write_text("# Forgotten\n")

    # In a process of its own: Sphinx leaves its settings in the modules of this one.
    code = "import sys, pathlib, website.__main__ as w; sys.exit(w.build_site(*map(pathlib.Path, sys.argv[1:])))"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(sources), "site"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    warnings = [line for line in ended.stderr.splitlines() if "WARNING" in line]
    assert ended.returncode != 0
    assert len(warnings) == 4, ended.stderr
    for what in ("gone.md", "moved", "gone.png", "forgotten.md"):
        assert any(what in warning for warning in warnings)
    assert (tmp_path / "site" / "index.html").is_file()
    assert (tmp_path / "site" / "docs" / "http" / "jobs.html").is_file()
