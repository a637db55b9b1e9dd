"""The pages of the site, laid out as in the repository, so that every relative link means the same in both."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from website.http_contract import contract_pages
from website.python_reference import reference_pages

LINKED_FILES = ("CITATION.cff", "LICENSE", "NOTICE", "docker-compose.yml")
"""What pages link to and is no page."""

FOLDERS = (
    "api",
    "benchmarks",
    "broker",
    "checks",
    "cli",
    "client",
    "docs",
    "migrations",
    "service",
    "tests",
    "website",
    "workers",
)
"""Ours. What else lies in a working copy, like an environment with its packages, has documents of its own."""


def collect_pages(repository: Path, sources: Path) -> None:
    """Copy what is written and write what is generated into `sources`; pages of an earlier run vanish."""
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(repository / "docs", sources / "docs")
    for path in (*documents(repository), *map(Path, LINKED_FILES)):
        (sources / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / path, sources / path)

    contract = json.loads((repository / "docs" / "openapi.json").read_text("utf-8"))
    _write(sources / "docs" / "http", contract_pages(contract))
    _write(sources / "docs" / "python", reference_pages(repository))


def documents(repository: Path) -> Iterator[Path]:
    """Every Markdown file of the repository: Sphinx warns of one that the contents leave out."""
    at_the_top = sorted(repository.glob("*.md"))
    below = (path for folder in FOLDERS for path in sorted((repository / folder).rglob("*.md")))
    yield from (path.relative_to(repository) for path in (*at_the_top, *below))


def _write(folder: Path, pages: Mapping[str, str]) -> None:
    folder.mkdir()
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
