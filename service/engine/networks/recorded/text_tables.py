"""Tables of text: every reader of such files gives a header and rows of texts by column."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

import numpy as np

from service.engine.networks.recorded.collecting import Collector
from service.engine.networks.recorded.columns import Columns, sort_columns
from service.engine.networks.recorded.faults import WrongTable, no_number
from service.engine.networks.recorded.table import RecordedTable

Row = Mapping[str, str]

_NUMBERS_AT_ONCE = 1 << 20
"""Of a piece: the texts of a row take many times the memory of its numbers."""

_LOOKED_AT = 100
"""Rows by which a column without a telling name is judged."""


def read_text_table(
    header: Sequence[str], rows: Iterable[Row], *, file_format: str, decided: Sequence[str] = ()
) -> RecordedTable:
    """The table of a header and its rows. Raises WrongTable, and what `rows` raises."""
    stream = iter(rows)
    looked_at = list(islice(stream, _LOOKED_AT))

    columns = sort_columns(header, lambda name: any(_is_text(row.get(name, "")) for row in looked_at))
    collector = Collector(columns)
    at_once = max(1, _NUMBERS_AT_ONCE // len(columns.units))
    every_row = chain(looked_at, stream)

    while piece := list(islice(every_row, at_once)):
        names = [[row.get(column.name, "") for row in piece] for column in columns.names]
        numbers = np.array(list(_numbers(piece, columns, collector.rows)), np.float64)
        collector.take(names, numbers)
    return collector.table(file_format=file_format, decided=decided)


def _numbers(rows: Sequence[Row], columns: Columns, done: int) -> Iterator[list[float]]:
    for number, row in enumerate(rows, start=done + 1):
        texts = [row.get(unit, "") for unit in columns.units]
        try:
            # Python reads 1_000 as a number, which nobody else writes.
            if "_" in "".join(texts):
                raise _wrong_cell(number, columns.units, texts)
            yield list(map(float, texts))
        except ValueError:
            raise _wrong_cell(number, columns.units, texts) from None


def _wrong_cell(number: int, units: Sequence[str], texts: Sequence[str]) -> WrongTable:
    for unit, text in zip(units, texts, strict=True):
        if _is_text(text) or not text:
            return no_number(number, unit, text)
    raise ValueError("every cell is a number")


def _is_text(value: str) -> bool:
    """Is it neither a number, be it NaN or infinite, nor nothing?"""
    try:
        float(value)
    except ValueError:
        return bool(value)
    return "_" in value


def read_rows(file: BinaryIO, ending: str) -> RecordedTable:
    """The table of an open file of text. Raises WrongTable, InvalidCheckpoint."""
    raise NotImplementedError


def read_names(file: BinaryIO, ending: str) -> tuple[Kind, tuple[str, ...]]:
    """The names of rows in a file beside an array, and whether they are paths or ids. Raises WrongTable."""
    raise NotImplementedError
