"""What is looked at in a workbook's parts before they are opened: how large they become, and what is in their cells."""

import struct
from dataclasses import dataclass
from typing import BinaryIO
from xml.parsers import expat
from zipfile import ZipFile

from service.tables.table import Complaints

MAX_PACKED_BYTES = 256 << 20
"""Of the file itself."""

MAX_PARTS = 2_000
MAX_BYTES = 1 << 30
"""Of all parts together, unpacked."""

MAX_SHARED_TEXTS_BYTES = 128 << 20
MAX_OTHER_BYTES = 16 << 20
MAX_RATIO = 200
FREE_BYTES = 32 << 20
"""Unpacked bytes up to which the ratio does not count."""

MAX_ROWS = 1_048_576
MAX_ROW_ELEMENTS = 100_000
MAX_OTHER_ELEMENTS = 300_000

_END = b"PK\x05\x06"
_END_BYTES = 22
_END64 = b"PK\x06\x07"
_END64_BYTES = 20
_MAX_DIRECTORY_BYTES = 1 << 20
_PIECE = 1 << 20
_SHEETS = "xl/worksheets/"
_SHARED_TEXTS = "xl/sharedStrings.xml"
_ALONE = "Save the sheet alone, as .xlsx or .csv."


@dataclass(slots=True)
class SheetFacts:
    """What a sheet's cells cannot be asked for once they are read as values."""

    merged_area: str | None = None
    """The first area of merged cells, as in `A1:B1`."""

    formula_without_value: str | None = None
    """The first cell with a formula and no stored value, as in `B7`."""

    hidden_rows: int = 0


def check_archive(file: BinaryIO, complaints: Complaints) -> None:
    """Raise for a file that is not an .xlsx file by its first bytes, or whose list of parts is too long to be read."""
    start = file.read(8)
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise complaints.table(
            "is an old .xls file, or protected by a password", "Save it as .xlsx without a password."
        )
    if not start.startswith(b"PK\x03\x04"):
        raise complaints.table("is not an .xlsx file", "Save it as .xlsx, or name it after what it is.")

    size = file.seek(0, 2)
    tail_size = min(size, (1 << 16) + _END_BYTES + _END64_BYTES)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    file.seek(0)

    # As zipfile looks for it, so that what is judged here is what is read there.
    ends_plainly = tail[-_END_BYTES:].startswith(_END) and tail.endswith(b"\0\0")
    place = len(tail) - _END_BYTES if ends_plainly else tail.rfind(_END)
    if place < 0 or place + _END_BYTES > len(tail):
        raise complaints.table("is cut short", "Copy it again.")

    (directory_bytes,) = struct.unpack_from("<L", tail, place + 12)
    is_64 = tail[max(0, place - _END64_BYTES) : place].startswith(_END64)
    if is_64 or directory_bytes > _MAX_DIRECTORY_BYTES:
        raise complaints.table("has too many parts for a workbook", _ALONE)


def scan_parts(archive: ZipFile, complaints: Complaints) -> dict[str, SheetFacts]:
    """The facts of each sheet by its part's name. Raises for too many parts, too large or too tightly packed."""
    parts = archive.infolist()
    if len(parts) > MAX_PARTS:
        raise complaints.table(f"has {len(parts):,} parts; {MAX_PARTS:,} are the limit", _ALONE)

    packed = sum(part.compress_size for part in parts)
    unpacked = sum(part.file_size for part in parts)
    if unpacked > MAX_BYTES or unpacked > max(FREE_BYTES, MAX_RATIO * packed):
        what = f"becomes {unpacked >> 20:,} MiB when it is unpacked, from {packed >> 10:,} KiB"
        raise complaints.table(what, f"{MAX_BYTES >> 20:,} MiB and {MAX_RATIO} times its size are the limits. {_ALONE}")

    for part in parts:
        if part.filename.startswith(_SHEETS):
            continue
        most = MAX_SHARED_TEXTS_BYTES if part.filename == _SHARED_TEXTS else MAX_OTHER_BYTES
        if part.file_size > most:
            raise complaints.table(f"has a part '{part.filename[-60:]}' of more than {most >> 20} MiB", _ALONE)

    sheets = [part for part in parts if part.filename.startswith(_SHEETS) and part.filename.endswith(".xml")]
    return {part.filename: _scan_sheet(archive, part.filename, complaints) for part in sheets}


def _scan_sheet(archive: ZipFile, name: str, complaints: Complaints) -> SheetFacts:
    scan = _Scan(complaints)
    with archive.open(name) as part:
        while piece := part.read(_PIECE):
            scan.parser.Parse(piece, False)
        scan.parser.Parse(b"", True)
    return scan.facts


class _Scan:
    """Goes through a sheet's elements, and keeps no more of them than its facts."""

    def __init__(self, complaints: Complaints) -> None:
        self.facts = SheetFacts()
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._complaints = complaints
        self._rows = 0
        self._in_row = False
        self._row_elements = 0
        self._other_elements = 0
        self._cell = ""
        self._has_formula = False
        self._has_value = False

    def _doctype(self, *_: object) -> None:
        raise self._complaints.table("declares entities, as no workbook does", _ALONE)

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        self._count(name)

        if name == "c":
            self._cell = attributes.get("r", "")
            self._has_formula = False
            # A formula may have given an empty text.
            self._has_value = attributes.get("t") == "str"
        elif name == "f":
            self._has_formula = True
        elif name == "v" and self._has_formula:
            self.parser.CharacterDataHandler = self._value
        elif name == "row":
            self._begin_row(attributes)
        elif name == "mergeCell":
            self.facts.merged_area = self.facts.merged_area or attributes.get("ref", "")

    def _end(self, tag: str) -> None:
        name = tag.rpartition(" ")[2]
        if name == "row":
            self._in_row = False
        elif name == "v":
            self.parser.CharacterDataHandler = None
        elif name == "c" and self._has_formula and not self._has_value:
            self.facts.formula_without_value = self.facts.formula_without_value or self._cell

    def _value(self, text: str) -> None:
        self._has_value = self._has_value or bool(text.strip())

    def _count(self, name: str) -> None:
        if self._in_row:
            self._row_elements += 1
        elif name != "row":
            self._other_elements += 1
        if self._row_elements > MAX_ROW_ELEMENTS or self._other_elements > MAX_OTHER_ELEMENTS:
            raise self._complaints.table("has a sheet with too many cells in a row, or too much beside cells", _ALONE)

    def _begin_row(self, attributes: dict[str, str]) -> None:
        self._in_row = True
        self._row_elements = 0
        self._rows += 1
        number = attributes.get("r", "1")
        if self._rows > MAX_ROWS or not number.isdecimal() or len(number) > 7 or int(number) > MAX_ROWS:
            raise self._complaints.table(f"has a sheet with a row beyond {MAX_ROWS:,}", _ALONE)
        self.facts.hidden_rows += attributes.get("hidden") in ("1", "true")
