"""The rows of a manifest file as plain text fields, whichever of the three formats it has.

The file is opened once and read row by row, so that no file takes more memory than its rows do.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from service.errors import InvalidManifest
from service.files import ANYWHERE, DataRoots, is_lasting, out_of_reach
from service.probes.json_list import KeyTwice, NotAList, TooLong, list_entries, without_repeats

Row = dict[str, str]
"""Field name -> text without blanks around it. A field that the file says nothing about is absent."""

MAX_ROWS = 2_000_000
MAX_BYTES = 1 << 30
MAX_ROW_CHARACTERS = 1 << 20
MAX_COLUMNS = 1_000

_PIECE = 1 << 16


def read_rows(path: Path, roots: DataRoots = ANYWHERE) -> Iterator[Row]:
    """The data rows of a .csv, .json or .jsonl file (UTF-8, with or without a byte order mark), one at a time.

    Blank lines are passed over and not counted. Raises InvalidManifest, naming the row where there is one; also for
    anything but a regular file below the roots, and for more than 2,000,000 rows, 1 GiB, 1,000 columns, or 1,048,576
    characters in a row. Raises FileOutOfReach where the disk or the machine fails.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InvalidManifest(
            f"A manifest cannot be a '{path.suffix}' file.", field="manifest", remedy="Use .csv, .json or .jsonl."
        )

    try:
        with roots.open(path) as file, _text_of(file) as text:
            for number, row in enumerate(read(text), start=1):
                if number > MAX_ROWS:
                    raise _bad_row(number, f"is beyond the limit of {MAX_ROWS:,} rows", "Split the probe set.")
                if any("\0" in value for value in row.values()):
                    raise _bad_row(number, "holds a NUL character", "Remove it.")
                yield row
    except UnicodeDecodeError:
        raise InvalidManifest(
            "The manifest is not UTF-8 text.", field="manifest", remedy="Save it with UTF-8 encoding."
        ) from None
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach("manifest", error, field="manifest") from None
        raise InvalidManifest(
            f"The manifest cannot be opened: {error.strerror}.",
            field="manifest",
            remedy="Check its path and permissions.",
        ) from None


def _text_of(file: BinaryIO) -> TextIO:
    return io.TextIOWrapper(io.BufferedReader(_Bounded(file), _PIECE), "utf-8-sig", newline="")


class _Bounded(io.RawIOBase):
    """A file's bytes; one that goes on after MAX_BYTES is no manifest."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._left = MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._file.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise InvalidManifest(
                f"The manifest is larger than {MAX_BYTES >> 20:,} MiB.", field="manifest", remedy="Split the probe set."
            )
        buffer[: len(data)] = data
        return len(data)


def _bad_row(number: int, what: str, remedy: str) -> InvalidManifest:
    return InvalidManifest(f"Row {number} {what}.", field="manifest", value=f"row {number}", remedy=remedy)


def _too_long(number: int) -> InvalidManifest:
    what = f"is longer than {MAX_ROW_CHARACTERS:,} characters"
    return _bad_row(number, what, "Shorten its texts; check for an unclosed quotation mark.")


def _name_twice(number: int) -> InvalidManifest:
    return _bad_row(number, "has a field without a name or twice", "Name each field once.")


class _Lines:
    """The lines of a file. Those of one row must not be longer than a row may be."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._left = MAX_ROW_CHARACTERS
        self._row = 1

    def begin_row(self, number: int) -> None:
        """What follows belongs to that row."""
        self._row = number
        self._left = MAX_ROW_CHARACTERS

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise _too_long(self._row)
        if not line:
            raise StopIteration
        return line


def _csv_rows(file: TextIO) -> Iterator[Row]:
    lines = _Lines(file)
    table = csv.reader(lines, strict=True)
    number = 0

    try:
        header = [name.strip() for name in next(table, [])]
        _check_header(header)

        lines.begin_row(1)
        for cells in table:
            if not cells:
                lines.begin_row(number + 1)
                continue

            number += 1
            if len(cells) != len(header):
                raise _bad_row(
                    number,
                    f"has {len(cells)} cells where the header has {len(header)}",
                    "Give every row one cell a column, and quote cells that hold commas.",
                )

            yield dict(zip(header, map(str.strip, cells), strict=True))
            lines.begin_row(number + 1)
    except csv.Error as error:
        raise _bad_row(number + 1, f"is not valid CSV ({error})", "Quote cells that hold commas or quotes.") from None


def _check_header(header: list[str]) -> None:
    if len(header) > MAX_COLUMNS:
        raise InvalidManifest(
            f"The header has {len(header):,} columns.",
            field="header",
            value=len(header),
            remedy=f"Keep to {MAX_COLUMNS:,} columns.",
        )

    for name, times in Counter(header).items():
        if not name or times > 1:
            what = f"has the column '{name}' twice" if name else "has a column without a name"
            raise InvalidManifest(f"The header {what}.", field="header", value=name, remedy="Name each column once.")


def _json_rows(file: TextIO) -> Iterator[Row]:
    number = 0
    try:
        for number, fields in enumerate(list_entries(file, longest=MAX_ROW_CHARACTERS), start=1):
            yield _object_row(number, fields)
    except UnicodeDecodeError:
        raise  # told of where the file is opened
    except TooLong:
        raise _too_long(number + 1) from None
    except KeyTwice:
        raise _name_twice(number + 1) from None
    except NotAList:
        raise InvalidManifest(
            "The manifest is not a JSON list.", field="manifest", remedy="Write a list of objects."
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidManifest(
            f"The manifest is not JSON (line {error.lineno}).", field="manifest", remedy="Write a list of objects."
        ) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets nested thousands deep
        raise _bad_row(number + 1, "is not JSON", "Write one object for each image.") from None


def _jsonl_rows(file: TextIO) -> Iterator[Row]:
    lines = _Lines(file)
    number = 0

    for line in lines:
        if line.strip():
            number += 1
            try:
                fields = json.loads(line, object_pairs_hook=without_repeats)
            except KeyTwice:
                raise _name_twice(number) from None
            except (ValueError, RecursionError):
                raise _bad_row(number, "is not JSON", "Write one object a line.") from None

            yield _object_row(number, fields)
        lines.begin_row(number + 1)


def _object_row(number: int, fields: object) -> Row:
    if not isinstance(fields, dict):
        raise _bad_row(number, "is not a JSON object", "Write one object for each image.")
    if len(fields) > MAX_COLUMNS:
        raise _bad_row(number, f"has {len(fields):,} fields", f"Keep to {MAX_COLUMNS:,} fields.")

    row = {name.strip(): _text(number, value) for name, value in fields.items() if value is not None}
    filled = sum(value is not None for value in fields.values())
    if len(row) < filled or "" in row:
        raise _name_twice(number)
    return row


def _check_flat(number: int, values: list[object]) -> None:
    """Lists in a list are read as one list; what is deeper was hardly meant, and may be of any depth."""
    for value in values:
        if isinstance(value, list) and any(isinstance(entry, list) for entry in value):
            raise _bad_row(number, "has lists nested more than two deep", "Flatten it.")


def _text(number: int, value: object) -> str:
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


_READERS: dict[str, Callable[[TextIO], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".json": _json_rows,
    ".jsonl": _jsonl_rows,
}
