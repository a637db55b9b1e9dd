"""Thrift's compact protocol, in which parquet files say what is in them, read field by field."""

from collections.abc import Iterator

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
"""Types of fields and elements. A flag that is a field has its value in the type."""

_INTEGERS = (I16, I32, I64)
_BITS = {I16: 16, I32: 32, I64: 64}
_MOST_NESTED = 16


class CompactReader:
    """Reads from the beginning of some bytes.

    Every method raises IndexError where the bytes end, and ValueError where they cannot be what is read.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct. The caller reads its value, or passes over it, before the next."""
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self.integer(I16)
            yield number, kind

    def structs(self) -> Iterator[None]:
        """One turn for each element of a list of structs, which the caller reads."""
        kind, count = self._list_begin()
        if kind != STRUCT and count:
            raise ValueError("a list holds something else than structs")
        for _ in range(count):
            yield

    def integers(self, kind: int) -> dict[int, int]:
        """The fields of a struct that are integers of that type, by their numbers."""
        integers = {}
        for number, of_field in self.fields():
            if of_field == kind:
                integers[number] = self.integer(kind)
            else:
                self.pass_over(of_field)
        return integers

    def integer(self, kind: int) -> int:
        """An integer of that type. Raises ValueError for one of more bits, of which others take those that fit."""
        number = self._varint()
        if number >> _BITS[kind]:
            raise ValueError("a number is too long")
        return (number >> 1) ^ -(number & 1)

    def pass_over(self, kind: int, depth: int = 0) -> None:
        """Leave out the value of a field of that type."""
        if kind not in {TRUE, FALSE}:
            self._pass_over(kind, depth)

    def _pass_over(self, kind: int, depth: int) -> None:
        if depth > _MOST_NESTED:
            raise ValueError("a value is nested too deep")
        if kind in {TRUE, FALSE, BYTE}:
            self._skip(1)
        elif kind in _INTEGERS:
            self._varint()
        elif kind == DOUBLE:
            self._skip(8)
        elif kind == BINARY:
            self._skip(self._varint())
        elif kind in {LIST, SET}:
            of_elements, count = self._list_begin()
            for _ in range(count):
                self._pass_over(of_elements, depth + 1)
        elif kind == MAP:
            self._pass_over_map(depth + 1)
        elif kind == STRUCT:
            for _, of_field in self.fields():
                self.pass_over(of_field, depth + 1)
        else:
            raise ValueError("a field has an unknown type")

    def _pass_over_map(self, depth: int) -> None:
        count = self._varint()
        kinds = self._byte() if count else 0
        for _ in range(count):
            self._pass_over(kinds >> 4, depth)
            self._pass_over(kinds & 15, depth)

    def _list_begin(self) -> tuple[int, int]:
        """Type and number of a list's elements."""
        head = self._byte()
        count = head >> 4
        return head & 15, self._varint() if count == 15 else count

    def _varint(self) -> int:
        number = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number is too long")

    def _byte(self) -> int:
        byte = self.data[self.place]
        self.place += 1
        return byte

    def _skip(self, count: int) -> None:
        self.place += count
        if self.place > len(self.data):
            raise IndexError
