"""The pages of the Python reference follow the packages, wherever modules are."""

from pathlib import Path

from website.python_reference import PACKAGES, reference_pages

REPOSITORY = Path(__file__).parents[2]


def test_rooms_are_found_and_private_modules_are_not(tmp_path: Path) -> None:
    for package in PACKAGES:
        folder = tmp_path.joinpath(*package.split("."))
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    engine = tmp_path / "service" / "engine"
    for name in ("dissect.py", "_private.py", "evidence/__init__.py", "evidence/null.py", "_hidden/__init__.py"):
        (engine / name).parent.mkdir(exist_ok=True)
        (engine / name).touch()

    pages = reference_pages(tmp_path)

    assert ".. automodule:: service.engine.dissect\n" in pages["service.engine.md"]
    assert ".. automodule:: service.engine.evidence.null\n" in pages["service.engine.evidence.md"]
    assert "service.engine.evidence\n" in pages["index.md"]
    assert not any("_private" in page or "_hidden" in page for page in pages.values())


def test_every_public_module_of_the_engine_has_a_place() -> None:
    written = "\n".join(reference_pages(REPOSITORY).values())
    for path in (REPOSITORY / "service" / "engine").rglob("[a-z]*.py"):
        module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        assert f".. automodule:: {module}\n" in written
    assert ".. autofunction:: service.engine.dissect.dissect\n" in written
