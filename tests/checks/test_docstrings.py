"""The check finds what docstrings say of things that are not there, and lets everything else be."""

import ast
import textwrap
from pathlib import Path

import pytest

from checks.docstrings import check_names, check_tree, documented_names, drawn_tree

REPOSITORY = Path(__file__).parents[2]


def problems(source: str) -> list[str]:
    return check_names({"module.py": ast.parse(textwrap.dedent(source))})


@pytest.mark.parametrize(
    ("docstring", "names"),
    [
        ("What it is.\n\nfresh: a replay.", ["fresh"]),
        ("A job with its parts resolved. fresh: a replay, which is new.", ["fresh"]),
        ("low, high: the interval. text: the concept.", ["low", "high", "text"]),
        ("**options: passed on.", ["options"]),
        ("The verdict `absent`: too few images.", []),
        ("Two things: one and another. In short: both.", []),
        ("A time, 12:30, and a ratio a:b.", []),
        ("See the paper (doi: 10.1/1). doi: 10.1/1", []),
        ("An example.\n\n    field: shown as it is", []),
        ("Over two\nlines. name:\ntext", ["name"]),
    ],
)
def test_which_names_a_docstring_documents(docstring: str, names: list[str]) -> None:
    assert list(documented_names(docstring)) == names


def test_a_field_that_does_not_exist() -> None:
    (problem,) = problems(
        '''
        class Plan:
            """A plan. fresh: a replay."""

            replay_of: int
        '''
    )
    assert problem == "module.py:2: Plan documents 'fresh', which it does not have."


def test_an_argument_that_does_not_exist() -> None:
    (problem,) = problems(
        '''
        async def show(images, *, size=1):
            """Show them. images: all of them. sizes: how large."""
        '''
    )
    assert "show documents 'sizes'" in problem


def test_fields_methods_and_arguments_of_init_are_there_and_so_is_what_is_inherited() -> None:
    assert not problems(
        '''
        class Base(Generic[T]):
            """name: of all. kind: of all."""

            name: str
            kind = "base"

        class Plan(other.Base[int]):
            """first: its own. name: inherited. path, keys: how it is made. run: what it does."""

            first: int

            def __init__(self, path, **keys):
                """path: where."""

            def run(self):
                """Run."""
        '''
    )


_ERRORS = '''"""Errors.

    Root
    ├── Wrong     something
    │   └── Worse a kind of it, as Wrong is
    └── Missing   nothing there

Other text.
"""

class Root(Exception): ...
class Wrong(Root): ...
class Worse({base}): ...
class Missing(Root): ...
{more}
'''


def test_the_drawn_tree_is_read_with_its_levels() -> None:
    docstring = ast.get_docstring(ast.parse(_ERRORS.format(base="Wrong", more="")), clean=False)
    assert docstring is not None
    assert drawn_tree(docstring) == {"Root": None, "Wrong": "Root", "Worse": "Wrong", "Missing": "Root"}


@pytest.mark.parametrize(
    ("base", "more", "expected"),
    [
        ("Wrong", "", []),
        ("Wrong", "class Late(Missing): ...", ["lacks Late, a kind of Missing"]),
        ("Missing", "", ["draws Worse below Wrong; its base is Missing"]),
    ],
)
def test_the_tree_is_compared_with_the_classes(base: str, more: str, expected: list[str]) -> None:
    found = check_tree(ast.parse(_ERRORS.format(base=base, more=more)))
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))


def test_a_class_that_is_drawn_and_not_defined() -> None:
    source = _ERRORS.format(base="Wrong", more="").replace("class Missing(Root): ...", "")
    assert check_tree(ast.parse(source)) == ["service/errors.py: the drawn tree has Missing, which is not defined."]


def test_the_tree_of_this_repository_is_drawn_whole() -> None:
    module = ast.parse((REPOSITORY / "service" / "errors.py").read_text("utf-8"))
    assert check_tree(module) == []
    assert len(drawn_tree(ast.get_docstring(module, clean=False) or "")) > 20
