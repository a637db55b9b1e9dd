"""Tables of text, workbooks among them: rows of texts by column, read by the one reader of such files."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from service.engine.networks.recorded.collecting import Collector
from service.engine.networks.recorded.columns import (
    IDS,
    MOST_COLUMNS,
    PATHS,
    Kind,
    kind_of,
    sort_columns,
)
from service.engine.networks.recorded.faults import WrongTable, bad_cell, no_number, other_length
from service.engine.networks.recorded.lists import UnitColumn, with_units_of_lists
from service.engine.networks.recorded.table import MOST_ROWS, RecordedTable
from service.errors import InvalidCheckpoint
from service.tables.read import read_table
from service.tables.table import Table

Row = Mapping[str, str]

_NUMBERS_AT_ONCE = 1 << 18
"""Of a piece: the texts of a row take many times the memory of its numbers."""

_LOOKED_AT = 100
"""Rows by which a column without a telling name is judged."""

_MOST_BYTES_OF_NAMES = 256 << 20
_KNOWN = PATHS | IDS
_INDEX = "index"
_PIECE = 1 << 20
_BETWEEN = re.compile(r"[\s,;|]+")


def read_rows(file: BinaryIO, ending: str) -> RecordedTable:
    """The table of an open file of texts. ending: of its format. Raises WrongTable, InvalidCheckpoint."""
    with _opened(file, ending, noun="table", most_columns=MOST_COLUMNS) as table:
        rows = (row for _, row in table.rows)
        return read_text_table(table.header, rows, file_format=ending.removeprefix("."), decided=table.notes)


def read_names(file: BinaryIO, ending: str) -> tuple[Kind, tuple[str, ...]]:
    """The names of rows in a file beside an array, and whether they are paths or ids. Raises WrongTable."""
    if ending == ".txt":
        return "image", _lines(file)

    with _opened(file, ending, noun="file with the names of the rows") as table:
        named = [name for name in table.header if kind_of(name) is not None] or list(table.header)
        # Paths go before ids, as in other tables.
        named.sort(key=lambda name: kind_of(name) != "image")
        if not named:
            raise WrongTable("The file with the names of the rows is empty.", "Write one name a line.")
        return kind_of(named[0]) or "image", tuple(row.get(named[0], "") for _, row in table.rows)


def _opened(file: BinaryIO, ending: str, *, noun: str, most_columns: int | None = None) -> Table:
    return read_table(
        Path(f"/proc/self/fd/{file.fileno()}"),
        field="checkpoint",
        noun=noun,
        error=InvalidCheckpoint,
        known=_KNOWN,
        ending=ending,
        most_columns=most_columns,
        nameless_first=_INDEX,
    )


def read_text_table(
    header: Sequence[str], rows: Iterable[Row], *, file_format: str, decided: Sequence[str] = ()
) -> RecordedTable:
    """The table of a header and its rows. Raises WrongTable, and what `rows` raises."""
    stream = iter(rows)
    looked_at = list(islice(stream, _LOOKED_AT))
    if not looked_at:
        raise WrongTable("The table has no rows.", "Write one row for each image.")

    columns = sort_columns(header, lambda name: any(_is_text(row.get(name, "")) for row in looked_at))
    cells = [UnitColumn(unit, _width(looked_at[0].get(unit, ""))) for unit in columns.units]
    flat = with_units_of_lists(columns, cells)
    collector = Collector(flat)
    at_once = max(1, _NUMBERS_AT_ONCE // len(flat.units))
    every_row = chain(looked_at, stream)
    known = frozenset(header)

    while piece := list(islice(every_row, at_once)):
        names = [[row.get(column.name, "") for row in piece] for column in columns.names]
        numbers = np.array(list(_numbers(piece, cells, known, collector.rows)), np.float64)
        collector.take(names, numbers)
    return collector.table(file_format=file_format, decided=decided)


def _lines(file: BinaryIO) -> tuple[str, ...]:
    content = bytearray()
    # Reading so many bytes at once would allocate them, whatever the file has.
    while piece := file.read(_PIECE):
        content += piece
        if len(content) > _MOST_BYTES_OF_NAMES:
            what = f"The file with the names of the rows is larger than {_MOST_BYTES_OF_NAMES >> 20} MiB."
            raise WrongTable(what, "Write one name a line.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongTable("The file with the names of the rows is not UTF-8 text.", "Save it as UTF-8.") from None

    lines = [line.strip() for line in text.rstrip().split("\n")]
    if len(lines) > MOST_ROWS:
        raise WrongTable(f"More than {MOST_ROWS:,} rows are named.", "Write one name for each row of the array.")
    return tuple(lines)


def _width(text: str) -> int | None:
    parts = _parts(text)
    return None if parts is None else len(parts)


def _parts(text: str) -> list[str] | None:
    """The texts of a list of numbers, as JSON's lists and those of Python and NumPy come; None for one number."""
    if text.startswith("[") and text.endswith("]"):
        return [part for part in _BETWEEN.split(text[1:-1]) if part]
    return text.split("|") if "|" in text else None


def _numbers(
    rows: Sequence[Row], cells: Sequence[UnitColumn], known: frozenset[str], done: int
) -> Iterator[list[float]]:
    has_lists = any(cell.width is not None for cell in cells)
    for number, row in enumerate(rows, start=done + 1):
        if not row.keys() <= known:
            raise _stranger(number, sorted(row.keys() - known)[0])

        texts = [row.get(cell.name, "") for cell in cells]
        if has_lists:
            texts = [part for cell, text in zip(cells, texts, strict=True) for part in _listed(number, cell, text)]
        try:
            # Python reads 1_000 as a number, which nobody else writes.
            if "_" in "".join(texts):
                raise _wrong_cell(number, cells, row)
            yield list(map(float, texts))
        except ValueError:
            raise _wrong_cell(number, cells, row) from None


def _listed(number: int, cell: UnitColumn, text: str) -> list[str]:
    if cell.width is None:
        return [text]
    parts = _parts(text) or [text]
    if len(parts) != cell.width:
        raise other_length(number, cell.name, len(parts), cell.width)
    return parts


def _stranger(number: int, name: str) -> WrongTable:
    return bad_cell(
        number, name, "has a value that the first row lacks", "Write a number for every image and unit, in every row."
    )


def _wrong_cell(number: int, cells: Sequence[UnitColumn], row: Row) -> WrongTable:
    for cell in cells:
        text = row.get(cell.name, "")
        parts = [text] if cell.width is None else _parts(text) or [text]
        wrong = next((part for part in parts if _is_text(part) or not part), None)
        if wrong is not None:
            return no_number(number, cell.name, wrong)
    raise ValueError("every cell is a number")


def _is_text(value: str) -> bool:
    """Is it neither a number, be it NaN or infinite, nor nothing?"""
    try:
        float(value)
    except ValueError:
        return bool(value)
    return "_" in value
