"""The rows of a manifest file as plain text fields, whichever of the three formats it has."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from service.errors import InvalidManifest

Row = dict[str, str]
"""Field name -> text without blanks around it. A field that the file says nothing about is absent."""


def read_rows(path: Path) -> Iterator[Row]:
    """The data rows of a .csv, .json or .jsonl file (UTF-8, with or without a byte order mark), one at a time.

    Blank lines are passed over and not counted. Raises InvalidManifest, naming the row where there is one.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidManifest(
            f"A manifest cannot be a '{path.suffix}' file.", field="manifest", remedy="Use .csv, .json or .jsonl."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(read(file), start=1):
                if any("\0" in value for value in row.values()):
                    raise _bad_row(number, "holds a NUL character", "Remove it.")
                yield row
    except UnicodeDecodeError:
        raise InvalidManifest(
            "The manifest is not UTF-8 text.", field="manifest", remedy="Save it with UTF-8 encoding."
        ) from None
    except OSError as error:
        raise InvalidManifest(
            f"The manifest cannot be opened: {error.strerror}.", field="manifest", remedy="Check its path and rights."
        ) from None


def _bad_row(number: int, what: str, remedy: str) -> InvalidManifest:
    return InvalidManifest(f"Row {number} {what}.", field="manifest", value=f"row {number}", remedy=remedy)


def _csv_rows(file: TextIO) -> Iterator[Row]:
    lines = csv.reader(file, strict=True)
    number = 0
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(header)
        for number, cells in enumerate((line for line in lines if line), start=1):
            if len(cells) != len(header):
                raise _bad_row(
                    number,
                    f"has {len(cells)} cells where the header has {len(header)}",
                    "Give every row one cell a column, and quote cells that hold commas.",
                )
            yield dict(zip(header, map(str.strip, cells), strict=True))
    except csv.Error as error:
        raise _bad_row(number + 1, f"is not valid CSV ({error})", "Quote cells that hold commas or quotes.") from None


def _check_header(header: list[str]) -> None:
    for name in header:
        if not name or header.count(name) > 1:
            what = f"has the column '{name}' twice" if name else "has a column without a name"
            raise InvalidManifest(f"The header {what}.", field="header", value=name, remedy="Name each column once.")


def _json_rows(file: TextIO) -> Iterator[Row]:
    try:
        rows = json.load(file)
    except UnicodeDecodeError:
        raise  # told of where the file is opened
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError
        place = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidManifest(
            f"The manifest is not JSON{place}.", field="manifest", remedy="Write a list of objects."
        ) from None
    if not isinstance(rows, list):
        raise InvalidManifest("The manifest is no JSON list.", field="manifest", remedy="Write a list of objects.")
    for number, fields in enumerate(rows, start=1):
        yield _object_row(number, fields)


def _jsonl_rows(file: TextIO) -> Iterator[Row]:
    for number, line in enumerate((line for line in file if line.strip()), start=1):
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError
            raise _bad_row(number, "is not JSON", "Write one object a line.") from None
        yield _object_row(number, fields)


def _object_row(number: int, fields: Any) -> Row:
    if not isinstance(fields, dict):
        raise _bad_row(number, "is no JSON object", "Write one object for each image.")
    row = {name.strip(): _text(number, value) for name, value in fields.items() if value is not None}
    if len(row) < sum(value is not None for value in fields.values()) or "" in row:
        raise _bad_row(number, "has a field without a name or twice", "Name each field once.")
    return row


def _check_flat(number: int, values: list[Any]) -> None:
    """Lists in a list are read as one list; what is deeper was hardly meant, and may be of any depth."""
    for value in values:
        if isinstance(value, list) and any(isinstance(entry, list) for entry in value):
            raise _bad_row(number, "has a list in a list in a list", "Flatten it.")


def _text(number: int, value: Any) -> str:
    if isinstance(value, list):
        _check_flat(number, value)
        return "|".join(_text(number, entry) for entry in value)
    if not isinstance(value, str | int | float):
        raise _bad_row(number, "has a field that is neither text nor number nor a list of these", "Flatten it.")
    if isinstance(value, float) and not math.isfinite(value):
        raise _bad_row(number, "is not JSON: it holds NaN or Infinity", "Write null for what is not known.")
    text = value.strip() if isinstance(value, str) else json.dumps(value)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise _bad_row(number, "holds half of a surrogate pair", "Write whole characters.")
    return text


_READERS: dict[str, Callable[[TextIO], Iterator[Row]]] = {".csv": _csv_rows, ".json": _json_rows, ".jsonl": _jsonl_rows}
