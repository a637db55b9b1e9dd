"""Which character separates the cells of a text table: its header decides, and its first rows must agree."""

import codecs
import csv
import io
import re
from collections.abc import Collection, Sequence
from typing import BinaryIO, NamedTuple

from service.tables.table import Complaints

NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 100
_DECLARED = re.compile(r"sep=([,;\t|])[ \t,;|]*(?:\r\n|\n|\r|$)", re.IGNORECASE)


class Separator(NamedTuple):
    """The separator, whether the file's first line says so and nothing else, and what to tell of it."""

    character: str
    is_declared: bool
    notes: tuple[str, ...]


def separator_of(file: BinaryIO, encoding: str, usual: str, complaints: Complaints) -> Separator:
    """What separates the cells. The file is read and then stands at its start.

    One by which the first rows have as many cells as the header; of several, one by which the header has a column that
    is known, and then the one that is usual for the file's ending.
    """
    sample = _sample(file, encoding)
    declared = _DECLARED.match(sample)
    if declared is not None:
        return Separator(declared[1], True, _note(declared[1], usual))

    candidates = {}
    for character in (usual, *(other for other in NAMES if other != usual)):
        rows = parsed(sample, character)[:_SAMPLE_ROWS]
        if rows and len(rows[0]) > 1:
            candidates[character] = rows
    character = _best(candidates, usual, complaints)
    return Separator(character, False, _note(character, usual))


def parsed(sample: str, character: str) -> list[list[str]]:
    """The rows that hold anything, up to the first that is not valid."""
    rows = []
    try:
        for cells in csv.reader(
            io.StringIO(sample, newline=""), delimiter=character, skipinitialspace=True, strict=True
        ):
            if any(cell.strip() for cell in cells):
                rows.append(cells)
    except csv.Error:
        pass
    return rows


def _sample(file: BinaryIO, encoding: str) -> str:
    """The file's first rows, without one that may be cut."""
    data = file.read(_SAMPLE_BYTES + 1)
    file.seek(0)

    text = codecs.getincrementaldecoder(encoding)("replace").decode(data[:_SAMPLE_BYTES])
    if len(data) <= _SAMPLE_BYTES:
        return text
    lines = text.splitlines(keepends=True)
    return "".join(lines[:-1]) if len(lines) > 1 else text


def _best(candidates: dict[str, list[list[str]]], usual: str, complaints: Complaints) -> str:
    if not candidates:
        return usual

    agreeing = [character for character, rows in candidates.items() if _agree(rows)]
    among = agreeing or list(candidates)
    naming = [character for character in among if _names_any(candidates[character][0], complaints.wishes.known)]

    for preferred in (naming, agreeing):
        if usual in preferred:
            return usual
        if len(preferred) == 1:
            return preferred[0]
    if agreeing:
        names = " or by ".join(NAMES[character] for character in agreeing)
        raise complaints.header(
            f"can be read as separated by {names}", "Separate by commas, and quote cells that hold the others."
        )
    # None agrees: the row that does not is an error, which names it.
    return max(among, key=lambda character: len(candidates[character][0]))


def _agree(rows: Sequence[Sequence[str]]) -> bool:
    return all(len(cells) == len(rows[0]) for cells in rows)


def _names_any(header: Sequence[str], known: Collection[str]) -> bool:
    return any(name.strip() in known for name in header)


def _note(character: str, usual: str) -> tuple[str, ...]:
    return () if character == usual else (f"Its cells are separated by {NAMES[character]}.",)
