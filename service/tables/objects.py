"""Rows as JSON objects: a list of them, or one a line."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, TextIO

from service.tables import table
from service.tables.cells import text_of_value
from service.tables.encodings import encoding_of, text_of
from service.tables.json_list import KeyTwice, NotAList, TooLong, list_entries, without_repeats
from service.tables.lines import Lines
from service.tables.table import Complaints, RawTable, Row


def json_table(file: BinaryIO, complaints: Complaints) -> RawTable:
    """The objects of a JSON list."""
    encoding, notes = encoding_of(file, complaints)
    text = text_of(file, encoding, complaints)
    return _with_first_names(_json_rows(text, complaints), notes)


def jsonl_table(file: BinaryIO, complaints: Complaints) -> RawTable:
    """One JSON object a line."""
    encoding, notes = encoding_of(file, complaints)
    text = text_of(file, encoding, complaints)
    return _with_first_names(_jsonl_rows(text, complaints), notes)


def _with_first_names(rows: Iterator[Row], notes: tuple[str, ...]) -> RawTable:
    for first in rows:
        return RawTable(tuple(first), chain([first], rows), notes)
    return RawTable((), iter(()), notes)


def _json_rows(file: TextIO, complaints: Complaints) -> Iterator[Row]:
    try:
        for fields in list_entries(file, longest=table.MAX_ROW_CHARACTERS):
            yield object_row(fields, complaints)
    except UnicodeDecodeError:
        raise  # told of where the file is opened
    except TooLong:
        raise complaints.row_too_long() from None
    except KeyTwice:
        raise _name_twice(complaints) from None
    except NotAList:
        raise complaints.table("is not a JSON list", "Write a list of objects.") from None
    except json.JSONDecodeError as error:
        raise complaints.table(f"is not JSON (line {error.lineno})", "Write a list of objects.") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets nested thousands deep
        raise complaints.row("is not JSON", "Write one object for each row.") from None


def _jsonl_rows(file: TextIO, complaints: Complaints) -> Iterator[Row]:
    lines = Lines(file, complaints)

    for line in lines:
        if line.strip():
            try:
                fields = json.loads(line, object_pairs_hook=without_repeats)
            except KeyTwice:
                raise _name_twice(complaints) from None
            except (ValueError, RecursionError):
                raise complaints.row("is not JSON", "Write one object a line.") from None

            yield object_row(fields, complaints)
        lines.begin_row()


def object_row(fields: object, complaints: Complaints) -> Row:
    """The row that an object is; fields that are null are absent."""
    if not isinstance(fields, dict):
        raise complaints.row("is not a JSON object", "Write one object for each row.")
    if len(fields) > complaints.columns_allowed:
        raise complaints.row(f"has {len(fields):,} fields", f"Keep to {complaints.columns_allowed:,} fields.")

    filled = [(name, value) for name, value in fields.items() if value is not None]
    row = {name.strip(): text_of_value(value, name, complaints) for name, value in filled}
    if len(row) < len(filled) or "" in row:
        raise _name_twice(complaints)
    return row


def _name_twice(complaints: Complaints) -> Exception:
    return complaints.row("has a field without a name or twice", "Name each field once.")
