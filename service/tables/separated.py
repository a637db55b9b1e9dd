"""Tables whose cells are separated by a character: .csv, .tsv and .txt."""

import csv
from collections.abc import Callable, Iterator
from typing import BinaryIO

from service.tables.encodings import encoding_of, text_of
from service.tables.lines import Lines
from service.tables.separator import NAMES, separator_of
from service.tables.table import Complaints, RawTable, Row

Cells = list[str]


def separated_table(usual: str) -> Callable[[BinaryIO, Complaints], RawTable]:
    """The reader of tables that are usually separated by that character."""

    def read(file: BinaryIO, complaints: Complaints) -> RawTable:
        encoding, encoding_notes = encoding_of(file, complaints)
        separator = separator_of(file, encoding, usual, complaints)
        lines = Lines(text_of(file, encoding, complaints), complaints)
        if separator.is_declared:
            next(lines)

        cells = _cells(lines, separator.character, complaints)
        names = [name.strip() for name in next(cells, [])]
        header = complaints.named(without_nameless_end(names))
        complaints.check_names(header or names)
        rows = _rows(cells, header, len(names), separator.character, complaints)
        return RawTable(tuple(header), rows, separator.notes + encoding_notes)

    return read


def without_nameless_end(names: list[str]) -> list[str]:
    """The names without those of empty columns at the end, which spreadsheets leave there."""
    count = len(names)
    while count and not names[count - 1]:
        count -= 1
    return names[:count]


def _cells(lines: Lines, separator: str, complaints: Complaints) -> Iterator[Cells]:
    """The cells of the header and of every row, without lines that hold nothing."""
    table = csv.reader(lines, delimiter=separator, skipinitialspace=not complaints.wishes.as_written, strict=True)
    try:
        for cells in table:
            if cells and any(map(str.strip, cells)):
                yield cells
            lines.begin_row()
    except csv.Error as error:
        remedy = f"Quote cells that hold {NAMES[separator]} or quotes, and write quotes in them twice."
        raise complaints.row(f"is not valid CSV ({error})", remedy) from None


def _rows(table: Iterator[Cells], header: Cells, width: int, separator: str, complaints: Complaints) -> Iterator[Row]:
    text_of_cell = _as_it_is if complaints.wishes.as_written else str.strip
    for cells in table:
        if len(cells) != width:
            raise _wrong_number(cells, width, separator, complaints)
        if any(cell.strip() for cell in cells[len(header) :]):
            raise complaints.header("has a column without a name", "Name each column once.", "")
        yield dict(zip(header, map(text_of_cell, cells), strict=False))


def _as_it_is(cell: str) -> str:
    return cell


def _wrong_number(cells: Cells, width: int, separator: str, complaints: Complaints) -> Exception:
    for other, name in NAMES.items():
        if len(cells) == 1 and cells[0].count(other) + 1 == width:
            what = f"is separated by {name}, the header by {NAMES[separator]}"
            return complaints.row(what, "Use one separator throughout.")

    return complaints.row(
        f"has {len(cells)} cells where the header has {width}",
        f"Give every row one cell a column, and quote cells that hold {NAMES[separator]}.",
    )
