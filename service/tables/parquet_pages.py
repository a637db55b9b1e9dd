"""What the pages of a parquet file say that they become, read before any is unpacked.

The footer's sizes are those that the writer states; a page of a few kilobytes may become 2 GiB all the same, and Arrow
takes that memory at once. Headers of pages are structs of Thrift's compact protocol (parquet.thrift, `PageHeader`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST_PAGE_BYTES = 128 << 20
"""Of a page when it is unpacked: writers make pages of about a mebibyte."""

_DELTA_BYTE_ARRAY = 7
_HEADER_BYTES, _MOST_HEADER_BYTES = 1 << 12, 16 << 20
_MOST_PAGES = 1_000_000
_MOST_NESTED = 16

_SIZE, _COMPRESSED_SIZE, _DATA_PAGE, _DATA_PAGE_V2 = 2, 3, 5, 8
_VALUES, _ENCODING, _ENCODING_V2 = 1, 2, 4
"""Numbers of fields of `PageHeader`, `DataPageHeader` and `DataPageHeaderV2`."""

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)

Fields = dict[int, Any]


@dataclass(frozen=True, slots=True)
class PagesOfGroup:
    """What the pages of a row group become."""

    bytes: int
    """All of them, unpacked."""

    largest: int
    """The largest of them, unpacked."""

    shares_prefixes: bool
    """Whether values may repeat the beginning of the one before, so that they are longer than their page."""


def pages_of_groups(file: BinaryIO, metadata: Any) -> list[PagesOfGroup]:
    """What the pages of each row group become, from their headers alone.

    metadata: Arrow's of the file. Raises ValueError where they cannot be read, or there are too many.
    """
    groups = []
    pages = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        total, largest, shares = 0, 0, False
        for column in map(group.column, range(group.num_columns)):
            for size, encoding in _pages_of_column(file, column):
                pages += 1
                if pages > _MOST_PAGES:
                    raise ValueError(f"there are more than {_MOST_PAGES:,} pages")
                total += size
                largest = max(largest, size)
                shares |= encoding == _DELTA_BYTE_ARRAY
        groups.append(PagesOfGroup(total, largest, shares))
    return groups


def _pages_of_column(file: BinaryIO, column: Any) -> Iterator[tuple[int, int | None]]:
    """Unpacked size and encoding of each page that Arrow would read: until all values are there."""
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset

    end = start + column.total_compressed_size
    values = 0
    while values < column.num_values and start < end:
        header, length = _header_at(file, start)
        size, compressed = header.get(_SIZE, -1), header.get(_COMPRESSED_SIZE, -1)
        if size < 0 or compressed < 0:
            raise ValueError("a page has no size")

        data_page = header.get(_DATA_PAGE) or header.get(_DATA_PAGE_V2) or {}
        values += max(data_page.get(_VALUES, 0), 0)
        yield size, data_page.get(_ENCODING if _DATA_PAGE in header else _ENCODING_V2)
        start += length + compressed


def _header_at(file: BinaryIO, place: int) -> tuple[Fields, int]:
    """The header of the page that begins there, and its length."""
    room = _HEADER_BYTES
    while True:
        file.seek(place)
        compact = _Compact(file.read(room))
        try:
            return compact.struct(), compact.place
        except IndexError:
            if len(compact.data) < room or room >= _MOST_HEADER_BYTES:
                raise ValueError("the header of a page is cut short, or too long") from None
            room = min(room << 4, _MOST_HEADER_BYTES)


class _Compact:
    """Thrift's compact protocol. Every method raises IndexError where the data end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def struct(self, depth: int = 0) -> Fields:
        """The integers and structs of a struct, by the numbers of their fields; what else there is, is passed over."""
        fields: Fields = {}
        number = 0
        while head := self._byte():
            step = head >> 4
            number = number + step if step else self._integer()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MOST_NESTED:
            raise ValueError("the header of a page is nested too deep")
        if kind in {_TRUE, _FALSE}:
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth + 1)

        if kind == _BYTE:
            self._skip(1)
        elif kind == _DOUBLE:
            self._skip(8)
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind in {_LIST, _SET}:
            self._skip_list(depth)
        elif kind == _MAP:
            self._skip_map(depth)
        else:
            raise ValueError("the header of a page has a field of an unknown type")
        return None

    def _skip_list(self, depth: int) -> None:
        head = self._byte()
        count = head >> 4
        if count == 15:
            count = self._varint()
        for _ in range(count):
            self._skip_element(head & 15, depth)

    def _skip_map(self, depth: int) -> None:
        count = self._varint()
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._skip_element(kinds >> 4, depth)
            self._skip_element(kinds & 15, depth)

    def _skip_element(self, kind: int, depth: int) -> None:
        if kind in {_TRUE, _FALSE}:  # a byte each, unlike in a struct
            self._skip(1)
        else:
            self._value(kind, depth + 1)

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("the header of a page has a number that is too long")

    def _byte(self) -> int:
        byte = self.data[self.place]
        self.place += 1
        return byte

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self.data):
            raise IndexError
