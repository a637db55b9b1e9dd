"""Our docstrings as reStructuredText."""

import pytest
from docutils.core import publish_doctree
from docutils.nodes import system_message

from website.docstrings import as_restructured

EXAMPLES = {
    "What `dissect` does: `name`s are names.": ["What \\ ``dissect``\\  does: \\ ``name``\\ s are names."],
    "raw[c] = sum_r |m|^2 * p_": ["raw[c] = sum\\_r \\|m\\|^2 \\* p\\_"],
    "low, high: the interval.": ["``low``, ``high``: the interval."],
    "An example:\n\n    a * b": ["An example:", "", "::", "", "       a * b"],
    "- one,\n  which goes on\n- two": ["", "- one,", "  which goes on", "", "- two"],
}


@pytest.mark.parametrize(("docstring", "expected"), EXAMPLES.items())
def test_markup_of_ours_becomes_markup_of_sphinx(docstring: str, expected: list[str]) -> None:
    assert as_restructured(docstring.split("\n")) == [*expected, ""]


@pytest.mark.parametrize(
    "docstring",
    [
        *EXAMPLES,
        "An odd ` backtick and a back\\slash.",
        "*args, **options: what_ `is` |passed| on.",
        "A drawing:\n\n    Root\n    ├── Leaf\n\nand more.",
        "rows:\n  one `a`\n  two *b",
        "::",
        "`x`_ and `y`__",
    ],
)
def test_nothing_in_a_docstring_makes_a_warning(docstring: str) -> None:
    text = "\n".join(as_restructured(docstring.split("\n")))
    document = publish_doctree(text, settings_overrides={"report_level": 1, "warning_stream": ""})
    assert not list(document.findall(system_message))
