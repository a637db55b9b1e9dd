"""The Python functions and types as pages. The rooms are found by walking the packages, so that modules may move."""

from collections.abc import Sequence
from pathlib import Path

ENTRY = "service.engine.dissect.dissect"
"""The one public entry of the engine."""

PACKAGES = ("service.engine", "service.domain", "service.concepts", "service.analysis")
SINGLE_MODULES = ("service.errors", "service.ports")


def reference_pages(repository: Path) -> dict[str, str]:
    """File name -> Markdown: `index.md`, and a page for each room below `PACKAGES`."""
    rooms = [room for package in PACKAGES for room in _rooms(repository, package)]
    pages = {f"{room}.md": _page(room, _modules(repository, room)) for room in rooms}
    pages |= {f"{module}.md": _page(module, []) for module in SINGLE_MODULES}
    pages["index.md"] = _index([*rooms, *SINGLE_MODULES])
    return pages


def _rooms(repository: Path, package: str) -> list[str]:
    """The package and all packages inside it."""
    folder = repository.joinpath(*package.split("."))
    inside = sorted(path.parent.relative_to(repository) for path in folder.rglob("__init__.py"))
    names = [".".join(path.parts) for path in inside]
    return [name for name in names if "._" not in name]


def _modules(repository: Path, room: str) -> list[str]:
    """The modules that lie directly in the room."""
    folder = repository.joinpath(*room.split("."))
    return [f"{room}.{path.stem}" for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]


def _index(rooms: Sequence[str]) -> str:
    toctree = ["```{toctree}", ":maxdepth: 1", "", *rooms, "```"]
    lines = [
        "# Python",
        "The engine is a library: tensors, paths and dataclasses in, dataclasses out. "
        "It needs no server and no database. Open a target with `service.engine.architectures.open_target` and a "
        "dissector with `service.engine.dissectors.open_dissector`, "
        "put both with the images into a `service.engine.probing.probe.ProbingPass`, then:",
        _directive("autofunction", ENTRY, "no-index"),
        "## Rooms",
        "Names that begin with an underscore are private and not listed.",
        "\n".join(toctree),
    ]
    return "\n\n".join(lines) + "\n"


def _page(room: str, modules: Sequence[str]) -> str:
    sections = [f"# {room}", _directive("automodule", room, "members")]
    for module in modules:
        sections += [f"## {module.rpartition('.')[2]}", _directive("automodule", module, "members")]
    return "\n\n".join(sections) + "\n"


def _directive(name: str, subject: str, option: str) -> str:
    return "\n".join(["```{eval-rst}", f".. {name}:: {subject}", f"   :{option}:", "```"])
