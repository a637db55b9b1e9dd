"""`python -m checks.docstrings`: do docstrings speak of what is there?

Two things are checked, by reading the source and without importing it. A docstring that documents a field or argument,
as `name: text` at the start of a sentence, names one that exists. And every class of error is in the tree that is drawn
at the head of service/errors.py, below its base.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("api", "benchmarks", "broker", "checks", "cli", "client", "migrations", "service", "website", "workers")
ERRORS = Path("service/errors.py")

Function = ast.FunctionDef | ast.AsyncFunctionDef

_DOCUMENTED = re.compile(r"(?:^|(?<=[.;)] ))(\*{0,2}[a-z_]\w*(?:, \*{0,2}[a-z_]\w*)*): (?=\S)")
_LEAF = re.compile(r"^(?P<before>[\s│├└─]*)(?P<name>[A-Z]\w+)(?: |$)")
_NO_NAMES = frozenset({"doi", "e", "etc", "http", "https", "urn"})


@dataclass
class Members:
    """What a class has that its docstring may speak of, without what it inherits."""

    names: set[str] = field(default_factory=set)
    bases: set[str] = field(default_factory=set)


def check_names(files: Mapping[str, ast.Module]) -> list[str]:
    """A line for each documented name that is neither a field nor an argument. `files`: path -> parsed module."""
    classes = _classes(files.values())
    problems: list[str] = []

    for path, module in files.items():
        for node in ast.walk(module):
            if not isinstance(node, ast.ClassDef | Function):
                continue
            known = _known(node.name, classes) if isinstance(node, ast.ClassDef) else _arguments(node)
            for name in documented_names(ast.get_docstring(node) or ""):
                if name not in known:
                    problems.append(f"{path}:{node.lineno}: {node.name} documents '{name}', which it does not have.")
    return problems


def documented_names(docstring: str) -> Iterator[str]:
    """The names that a docstring documents as `name: text` or `name, other: text`."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        if paragraph.startswith("  "):
            continue  # shown as it is: an example, a drawing, a format
        text = " ".join(paragraph.split())
        for match in _DOCUMENTED.finditer(text):
            names = [name.lstrip("*") for name in match.group(1).split(", ")]
            yield from (name for name in names if name not in _NO_NAMES)


def _classes(modules: Iterable[ast.Module]) -> dict[str, Members]:
    """Name -> members. Classes of one name count as one: too much is known of them rather than too little."""
    classes: dict[str, Members] = {}
    for module in modules:
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                members = classes.setdefault(node.name, Members())
                members.names |= set(_own_names(node))
                members.bases |= {base for base in map(_last_name, node.bases) if base is not None}
    return classes


def _own_names(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id
        elif isinstance(statement, ast.Assign):
            yield from (name.id for name in ast.walk(statement) if isinstance(name, ast.Name))
        elif isinstance(statement, Function):
            yield statement.name
            if statement.name in {"__init__", "__new__"}:
                yield from _arguments(statement)


def _arguments(function: Function) -> set[str]:
    every = function.args
    listed = [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]
    return {argument.arg for argument in listed if argument is not None}


def _last_name(base: ast.expr) -> str | None:
    """`Base` of `Base`, `module.Base` and `Base[T]`."""
    match base:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return _last_name(value)
    return None


def _known(name: str, classes: Mapping[str, Members]) -> set[str]:
    known: set[str] = set()
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current in seen or current not in classes:
            continue
        seen.add(current)
        known |= classes[current].names
        waiting += classes[current].bases
    return known


def _is_typed_dict(node: ast.ClassDef) -> bool:
    """Is it the type of a dictionary, and so no kind of error?"""
    return any(_last_name(base) == "TypedDict" for base in node.bases)


def check_tree(module: ast.Module) -> list[str]:
    """A line for each class that the drawn tree lacks, has in another place, or has without there being one."""
    classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
    defined = {node.name: node for node in classes if not _is_typed_dict(node)}
    bases = {name: _last_name(node.bases[0]) for name, node in defined.items() if node.bases}
    drawn = drawn_tree(ast.get_docstring(module, clean=False) or "")

    problems = [f"{ERRORS}: the drawn tree has {name}, which is not defined." for name in drawn if name not in defined]
    for name, node in defined.items():
        base = bases.get(name)
        expected = base if base in defined else None
        if name not in drawn:
            problems.append(f"{ERRORS}:{node.lineno}: the drawn tree lacks {name}, a kind of {base}.")
        elif drawn[name] != expected:
            problems.append(f"{ERRORS}:{node.lineno}: the tree draws {name} below {drawn[name]}; its base is {base}.")
    return problems


def drawn_tree(drawing: str) -> dict[str, str | None]:
    """Class -> the class that it is drawn below, by how far its name stands from the left; None for the root."""
    above: list[tuple[int, str]] = []
    tree: dict[str, str | None] = {}
    for line in drawing.splitlines():
        leaf = _LEAF.match(line)
        if leaf is None or not (leaf["before"].strip() or line.startswith("    ")):
            continue
        column = len(leaf["before"])
        while above and above[-1][0] >= column:
            above.pop()
        tree[leaf["name"]] = above[-1][1] if above else None
        above.append((column, leaf["name"]))
    return tree


def main() -> None:
    """Print what is wrong; exit status 1 where anything is."""
    paths = [path for package in PACKAGES for path in sorted(Path(package).rglob("*.py"))]
    files = {str(path): ast.parse(path.read_text("utf-8")) for path in paths}

    problems = [*check_names(files), *check_tree(files[str(ERRORS)])]
    print("\n".join(problems) or f"Docstrings of {len(files)} modules speak of what is there.")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
