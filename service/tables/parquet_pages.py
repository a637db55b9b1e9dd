"""What a parquet file says of its columns and their pages, read before any is unpacked.

The footer's sizes are those that the writer states; a page of a few kilobytes may become 2 GiB all the same, and Arrow
takes that memory at once. The footer is read here, too: Arrow ends the process where its own account of a column is
asked for and the footer contradicts itself. Structs are those of parquet.thrift, here with the numbers of their fields.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from service.tables.compact_protocol import I32, I64, LIST, STRUCT, CompactReader

MOST_PAGE_BYTES = 128 << 20
"""Of a page when it is unpacked: writers make pages of about a mebibyte."""

_DELTA_BYTE_ARRAY = 7
_HEADER_BYTES, _MOST_HEADER_BYTES = 1 << 12, 16 << 20
_MOST_FOOTER_BYTES = 64 << 20
_MOST_PAGES = 1_000_000
_FOOTER_END = struct.Struct("<I4s")

_ROW_GROUPS, _COLUMNS, _META_DATA = (4, LIST), (1, LIST), (3, STRUCT)
"""Of `FileMetaData`, `RowGroup` and `ColumnChunk`."""

_NUM_VALUES, _COMPRESSED, _DATA_PAGE_OFFSET, _DICTIONARY_OFFSET = 5, 7, 9, 11
"""Of `ColumnMetaData`, each of 64 bits."""

_TYPE, _SIZE, _COMPRESSED_SIZE, _VALUES = 1, 2, 3, 1
"""Of `PageHeader`, each of 32 bits; the last of `DataPageHeader` and `DataPageHeaderV2`."""

_DATA_PAGES = {0: (5, 2), 3: (8, 4)}
"""By the types of pages that hold values: the field that describes it, and the field of its encoding in that."""


@dataclass(frozen=True, slots=True)
class PagesOfGroup:
    """What the pages of a row group become."""

    bytes: int
    """All of them, unpacked."""

    largest: int
    """The largest of them, unpacked."""

    values: int
    """How many values its longest column has, as the footer says."""

    shares_prefixes: bool
    """Whether values may repeat the beginning of the one before, so that they are longer than their page."""


def pages_of_groups(file: BinaryIO) -> list[PagesOfGroup]:
    """What the pages of each row group become, from their headers alone.

    Raises ValueError where they cannot be read, or there are too many.
    """
    footer = CompactReader(_footer(file))
    try:
        return list(_groups(file, footer))
    except IndexError:
        raise ValueError("the footer is cut short") from None


def _footer(file: BinaryIO) -> bytes:
    end = file.seek(0, 2) - _FOOTER_END.size
    file.seek(max(end, 0))
    length, _ = _FOOTER_END.unpack(file.read(_FOOTER_END.size).rjust(_FOOTER_END.size, b"\0"))
    if length > min(end, _MOST_FOOTER_BYTES):
        raise ValueError("the footer is too long")
    file.seek(end - length)
    return file.read(length)


def _groups(file: BinaryIO, footer: CompactReader) -> Iterator[PagesOfGroup]:
    pages = 0
    for field in footer.fields():
        if field != _ROW_GROUPS:
            footer.pass_over(field[1])
            continue

        for _ in footer.structs():
            total, largest, values, shares = 0, 0, 0, False
            for column in _columns(footer):
                values = max(values, column.get(_NUM_VALUES, 0))
                for size, encoding in _pages_of_column(file, column):
                    pages += 1
                    if pages > _MOST_PAGES:
                        raise ValueError(f"there are more than {_MOST_PAGES:,} pages")
                    total += size
                    largest = max(largest, size)
                    shares |= encoding == _DELTA_BYTE_ARRAY
            yield PagesOfGroup(total, largest, values, shares)


def _columns(footer: CompactReader) -> Iterator[dict[int, int]]:
    """The integers of `ColumnMetaData` of each column of a row group, which is read to its end."""
    for field in footer.fields():
        if field != _COLUMNS:
            footer.pass_over(field[1])
            continue

        for _ in footer.structs():
            column: dict[int, int] = {}
            for part in footer.fields():
                if part == _META_DATA:
                    column |= footer.integers(I64)
                else:
                    footer.pass_over(part[1])
            yield column


def _pages_of_column(file: BinaryIO, column: dict[int, int]) -> Iterator[tuple[int, int | None]]:
    """Unpacked size and encoding of each page that Arrow would read: until all values are there."""
    start = column.get(_DATA_PAGE_OFFSET, 0)
    dictionary = column.get(_DICTIONARY_OFFSET, 0)
    if 0 < dictionary < start:
        start = dictionary

    end = start + column.get(_COMPRESSED, 0)
    values = 0
    while values < column.get(_NUM_VALUES, 0) and start < end:
        numbers, described, length = _header_at(file, start)
        size, compressed = numbers.get(_SIZE, -1), numbers.get(_COMPRESSED_SIZE, -1)
        if size < 0 or compressed < 0:
            raise ValueError("a page has no size")

        description, encoding = _DATA_PAGES.get(numbers.get(_TYPE, -1), (-1, -1))
        data_page = described.get(description, {})
        values += max(data_page.get(_VALUES, 0), 0)
        yield size, data_page.get(encoding)
        start += length + compressed


def _header_at(file: BinaryIO, place: int) -> tuple[dict[int, int], dict[int, dict[int, int]], int]:
    """The integers of the header of the page that begins there, those of its structs, and its length."""
    room = _HEADER_BYTES
    while True:
        file.seek(place)
        header = CompactReader(file.read(room))
        try:
            return *_header(header), header.place
        except IndexError:
            if len(header.data) < room or room >= _MOST_HEADER_BYTES:
                raise ValueError("the header of a page is cut short, or too long") from None
            room = min(room << 4, _MOST_HEADER_BYTES)


def _header(header: CompactReader) -> tuple[dict[int, int], dict[int, dict[int, int]]]:
    numbers: dict[int, int] = {}
    described: dict[int, dict[int, int]] = {}
    for number, kind in header.fields():
        if kind == I32:
            numbers[number] = header.integer(I32)
        elif kind == STRUCT:
            described[number] = described.get(number, {}) | header.integers(I32)
        else:
            header.pass_over(kind)
    return numbers, described
