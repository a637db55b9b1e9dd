"""Sphinx's settings, and what it does not do by itself: read our docstrings, and order pages by reader."""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

# Sphinx runs this file by its path, so the repository is not on the import path by itself.
sys.path.insert(0, str(Path(__file__).parent.parent))

from website.docstrings import as_restructured

project = "Mammo-CLIP Dissect service"
author = copyright = "Mammo-CLIP Dissect service contributors"  # noqa: A001 - Sphinx's name
version = release = version_of("mammo-clip-dissect-service")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/README"
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = project
html_extra_path = ["extra"]
html_copy_source = False
html_theme_options = {"navigation_with_keys": False}

myst_heading_anchors = 6
myst_enable_extensions = ["colon_fence"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88

GENERATED = {"For developers": ("http/index", "python/index")}
"""Section of docs/README.md -> generated pages, which it cannot link to."""


def _add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    if page == app.config.root_doc:
        source[0] += "".join(_toctree(title, pages) for title, pages in _linked_pages(source[0]))
    elif page == "docs/adr/README":
        source[0] += _toctree("", ["[0-9]*", "template"])


def _linked_pages(index: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Title and pages of each section of docs/README.md: the side bar has what the index has."""
    for section in re.split(r"^## ", index, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        linked = dict.fromkeys(re.findall(r"\]\(([^)#]+)\.md\)", section))
        yield title, [*linked, *GENERATED.get(title, ())]


def _toctree(caption: str, pages: Sequence[str]) -> str:
    options = [":hidden:", ":glob:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["\n\n```{toctree}", *options, "", *pages, "```", ""])


def _read_docstring(  # Sphinx calls it with these six
    _app: Sphinx, _what: str, _name: str, _subject: object, _options: object, lines: list[str]
) -> None:
    lines[:] = as_restructured(lines)


def setup(app: Sphinx) -> dict[str, Sequence[str] | bool]:
    """What Sphinx calls."""
    app.connect("source-read", _add_contents)
    app.connect("autodoc-process-docstring", _read_docstring)
    return {"parallel_read_safe": True}
