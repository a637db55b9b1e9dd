"""Documents name code by its path, and every path that they name is there."""

import re
from pathlib import Path

import pytest

from website.__main__ import REPOSITORY
from website.pages import FOLDERS, documents

FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
IN_BACKTICKS = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*")
TO_FILL_IN = re.compile("NNNN")
"""The number of a migration. Other places are filled in between < and >, and no path."""


def paths_in(text: str) -> list[str]:
    """The paths of this repository in a document's backticks."""
    words = IN_BACKTICKS.findall(FENCED.sub("", text))
    return [word for word in words if PATH.fullmatch(word) and not TO_FILL_IN.search(word)]


DOCUMENTS = [path for path in documents(REPOSITORY) if path.parts[0] in {"README.md", "CONTRIBUTING.md", "docs"}]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_path_that_a_document_names_is_there(document: Path) -> None:
    named = paths_in((REPOSITORY / document).read_text("utf-8"))
    assert not [path for path in named if not (REPOSITORY / path).exists()]


def test_which_words_are_paths() -> None:
    text = "See `api/schemas.py`, `tests/`, `api/<topic>_schemas.py`, `GET /jobs`, `docs/*.md` and `a/b`."
    assert paths_in(f"{text}\n```\n`api/x`\n```\n") == ["api/schemas.py", "tests/"]
