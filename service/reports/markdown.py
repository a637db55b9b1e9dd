"""Markdown in which no text becomes markup."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&]|^[-+#=])")
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
_BREAKS = re.compile(r"\s+")


def escaped(text: object) -> str:
    """The text on one line, with every character escaped that markdown or HTML would read as markup."""
    line = _BREAKS.sub(" ", str(text)).strip()
    return _NUMBERED.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", line))


def code(text: object) -> str:
    """A digest, an id or a call, as code; such texts hold no backticks, and lose them if they do."""
    return f"`{_BREAKS.sub(' ', str(text)).replace('`', '').replace('|', '/')}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table. Cells are markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
