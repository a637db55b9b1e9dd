"""The lines of a text, row by row."""

from collections.abc import Iterator
from typing import TextIO

from service.tables import table
from service.tables.table import Complaints


class Lines:
    """The lines of a file. Those of one row must not be longer than a row may be."""

    def __init__(self, file: TextIO, complaints: Complaints) -> None:
        self._file = file
        self._complaints = complaints
        self._left = table.MAX_ROW_CHARACTERS

    def begin_row(self) -> None:
        """What follows belongs to the next row."""
        self._left = table.MAX_ROW_CHARACTERS

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise self._complaints.row_too_long()
        if not line:
            raise StopIteration
        return line
