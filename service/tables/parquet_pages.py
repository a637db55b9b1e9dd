"""What the pages of a parquet file say that they become, read before any is unpacked.

The footer's sizes are those that the writer states; a page of a few kilobytes may become 2 GiB all the same, and Arrow
takes that memory at once. Headers of pages are structs of Thrift's compact protocol (parquet.thrift, `PageHeader`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

MOST_PAGE_BYTES = 128 << 20
"""Of a page when it is unpacked: writers make pages of about a mebibyte."""

_DELTA_BYTE_ARRAY = 7
_HEADER_BYTES, _MOST_HEADER_BYTES = 1 << 12, 16 << 20
_MOST_PAGES = 1_000_000
_MOST_NESTED = 16

_TYPE, _SIZE, _COMPRESSED_SIZE, _VALUES = 1, 2, 3, 1
"""Numbers of fields of `PageHeader`; the last of `DataPageHeader` and `DataPageHeaderV2`."""

_DATA_PAGES = {0: (5, 2), 3: (8, 4)}
"""By the types of pages that hold values: the field that describes it, and the field of its encoding in that."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_LEAST_I32, _GREATEST_I32 = -(1 << 31), (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Fields:
    """What is looked at of a struct, by the numbers of its fields. All else is passed over, as readers of Thrift do."""

    numbers: dict[int, int] = field(default_factory=dict)
    """Integers of 32 bits."""

    structs: dict[int, "Fields"] = field(default_factory=dict)


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
        size, compressed = header.numbers.get(_SIZE, -1), header.numbers.get(_COMPRESSED_SIZE, -1)
        if size < 0 or compressed < 0:
            raise ValueError("a page has no size")

        description, encoding = _DATA_PAGES.get(header.numbers.get(_TYPE, -1), (-1, -1))
        data_page = header.structs.get(description, Fields()).numbers
        values += max(data_page.get(_VALUES, 0), 0)
        yield size, data_page.get(encoding)
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
        """The fields of the struct that begins here. Raises ValueError where it cannot be one."""
        fields = Fields()
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._integer()
            if kind == _I32:
                fields.numbers[number] = self._integer_of_32_bits()
            elif kind == _STRUCT:
                self._check_depth(depth)
                fields.structs[number] = self.struct(depth + 1)
            elif kind not in {_TRUE, _FALSE}:  # whose value is their type
                self._pass_over(kind, depth)
        return fields

    def _pass_over(self, kind: int, depth: int) -> None:
        self._check_depth(depth)
        if kind in {_TRUE, _FALSE, _BYTE}:
            self._skip(1)
        elif kind in {_I16, _I32, _I64}:
            self._varint()
        elif kind == _DOUBLE:
            self._skip(8)
        elif kind == _BINARY:
            self._skip(self._varint())
        elif kind in {_LIST, _SET}:
            self._pass_over_list(depth + 1)
        elif kind == _MAP:
            self._pass_over_map(depth + 1)
        elif kind == _STRUCT:
            self.struct(depth + 1)
        else:
            raise ValueError("the header of a page has a field of an unknown type")

    def _pass_over_list(self, depth: int) -> None:
        head = self._byte()
        count = head >> 4
        if count == 15:
            count = self._varint()
        for _ in range(count):
            self._pass_over(head & 15, depth)

    def _pass_over_map(self, depth: int) -> None:
        count = self._varint()
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._pass_over(kinds >> 4, depth)
            self._pass_over(kinds & 15, depth)

    def _check_depth(self, depth: int) -> None:
        if depth > _MOST_NESTED:
            raise ValueError("the header of a page is nested too deep")

    def _integer_of_32_bits(self) -> int:
        number = self._integer()
        if not _LEAST_I32 <= number <= _GREATEST_I32:  # Arrow would take what its low bits are
            raise ValueError("the header of a page has a number that is too long")
        return number

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
