"""Opening a table, whichever of the formats it has."""

import io
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from service.errors import InvalidInput
from service.files import ANYWHERE, DataRoots
from service.tables import table
from service.tables.columnar import parquet_table
from service.tables.objects import json_table, jsonl_table
from service.tables.separated import separated_table
from service.tables.sheet_scan import MAX_PACKED_BYTES
from service.tables.table import Complaints, RawTable, Row, Table, Wishes
from service.tables.workbook import workbook_table


def read_table(
    path: Path,
    roots: DataRoots = ANYWHERE,
    *,
    field: str,
    error: type[InvalidInput],
    noun: str | None = None,
    known: Collection[str] = (),
    as_written: bool = False,
    most: int | None = None,
    ending: str | None = None,
    most_columns: int | None = None,
    nameless_first: str | None = None,
) -> Table:
    """Open a .csv, .tsv, .txt, .json, .jsonl, .parquet or .xlsx file; its rows are read as they are asked for.

    Rows that hold nothing are passed over and not counted. Use it in a `with`, which closes the file.
    field, noun: what errors name and call the table, as `findings_map` and `findings map`; error: their class.
    known: names of columns that the caller looks for. Where they stand in the first row and not in the header, rows
    above the header are told of; and they decide where a header can be read in two ways.
    as_written: cells keep the blanks around their texts. most: how many bytes the file may have.
    ending: of the format, for a file whose name does not have it.
    nameless_first: what a first column without a name is called, as pandas writes one; None where that is an error.
    Raises `error`, naming the row where there is one: also for anything but a regular file below the roots, and for
    more than 2,000,000 rows, 1 GiB (.xlsx: 256 MiB), 1,000 columns (or `most_columns`), or 1,048,576 characters in a
    row. Raises FileOutOfReach where the disk or the machine fails.
    """
    wishes = Wishes(frozenset(known), as_written, most_columns, nameless_first)
    complaints = Complaints(field, noun or field.replace("_", " "), error, wishes)
    ending = path.suffix.lower() if ending is None else ending
    read = _reader_of(ending, complaints)
    if ending == ".xlsx":
        most = min(most or MAX_PACKED_BYTES, MAX_PACKED_BYTES)

    with ExitStack() as stack, complaints.about_the_file():
        file = stack.enter_context(roots.open(path, most=most))
        return _table(read(file, complaints), complaints, stack.pop_all())


def table_of(
    content: bytes,
    ending: str,
    *,
    field: str,
    error: type[InvalidInput],
    noun: str,
    known: Collection[str] = (),
    as_written: bool = False,
) -> Table:
    """The table that a file of that content and ending would hold. Raises what `read_table` raises."""
    complaints = Complaints(field, noun, error, Wishes(frozenset(known), as_written))
    read = _reader_of(ending, complaints)
    with complaints.about_the_file():
        return _table(read(io.BytesIO(content), complaints), complaints, ExitStack())


def _reader_of(ending: str, complaints: Complaints) -> Callable[[BinaryIO, Complaints], RawTable]:
    read = _READERS.get(ending)
    if read is None:
        raise complaints.table(f"cannot be a '{ending}' file", f"Use {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")
    return read


def _table(raw: RawTable, complaints: Complaints, open_file: ExitStack) -> Table:
    return Table(raw.header, _numbered(raw, complaints, open_file), raw.notes, open_file)


def _numbered(raw: RawTable, complaints: Complaints, open_file: ExitStack) -> Iterator[tuple[int, Row]]:
    with open_file, complaints.about_the_file():
        for row in raw.rows:
            if not any(map(str.strip, row.values())):
                continue

            if complaints.rows_before == 0:
                _check_first_row(raw.header, row, complaints)
            _check_row(raw.header, row, complaints)
            complaints.rows_before += 1
            yield complaints.rows_before, row


def _check_row(header: tuple[str, ...], row: Row, complaints: Complaints) -> None:
    if complaints.rows_before >= table.MAX_ROWS:
        raise complaints.row(f"is beyond the limit of {table.MAX_ROWS:,} rows", "Split the table.")

    for name, value in row.items():
        if "\0" in value:
            raise complaints.row("holds a NUL character", "Remove it.", f"'{name}'")
    if len(row) > 1 and tuple(row.values()) == header:
        raise complaints.row("repeats the header", "Keep one header, at the top of the table.")


def _check_first_row(header: tuple[str, ...], row: Row, complaints: Complaints) -> None:
    known = complaints.wishes.known
    stands_below = any(value in known for value in row.values())
    if stands_below and not any(name in known for name in header):
        raise complaints.row(
            "holds the names of the columns, and the header stands above it",
            "Delete the rows above the names of the columns.",
        )


_READERS: dict[str, Callable[[BinaryIO, Complaints], RawTable]] = {
    ".csv": separated_table(","),
    ".tsv": separated_table("\t"),
    ".txt": separated_table(","),
    ".json": json_table,
    ".jsonl": jsonl_table,
    ".parquet": parquet_table,
    ".xlsx": workbook_table,
}
ENDINGS = tuple(_READERS)
