"""Collecting a table piece by piece: the names as texts, the numbers as one float32 array."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from service.domain.table_targets import TableNotes
from service.engine.networks.recorded.columns import Columns, layers_of, names_of_units
from service.engine.networks.recorded.faults import WrongTable, not_finite
from service.engine.networks.recorded.table import Names, RecordedTable, check_names, check_size, check_unlike


class Collector:
    """Takes rows in their order and gives the table."""

    def __init__(self, columns: Columns) -> None:
        """Raises WrongTable where the columns make no layers."""
        _check_distinct(columns.units)
        self._columns = columns
        self._layers = layers_of(columns.units)
        self._names: list[list[str]] = [[] for _ in columns.names]
        self._pieces: list[NDArray[np.float32]] = []
        self._rows = 0

    @property
    def rows(self) -> int:
        """How many were taken."""
        return self._rows

    def take(self, names: Sequence[Sequence[str]], numbers: NDArray[np.float64] | NDArray[np.float32]) -> None:
        """Take the next rows. names: of each name column. numbers: [rows, units]. Raises WrongTable."""
        count = len(numbers)
        check_size(self._rows + count, len(self._columns.units))
        self._pieces.append(in_32_bits(numbers, self._rows, self._columns.units))

        for known, more in zip(self._names, names, strict=True):
            known.extend(more)
        self._rows += count

    def table(self, *, file_format: str, decided: Sequence[str]) -> RecordedTable:
        """All rows together. Raises WrongTable."""
        if not self._rows:
            raise WrongTable("The table has no rows.", "Write one row for each image.")

        values = torch.from_numpy(np.concatenate(self._pieces))
        self._pieces.clear()
        names = [Names(column, tuple(values)) for column, values in zip(self._columns.names, self._names, strict=True)]
        check_names(names[0].column.name, names[0].values)
        check_unlike(names[0], values, self._columns.units)

        notes = TableNotes(
            format=file_format,
            rows=self._rows,
            named_by=[column.name for column in self._columns.names],
            columns=names_of_units(self._columns.units, self._layers),
            left_out=list(self._columns.left_out),
            decided=list(decided),
        )
        return RecordedTable(values, self._layers, tuple(names), notes)


def _check_distinct(units: Sequence[str]) -> None:
    for unit, times in Counter(units).items():
        if times > 1:
            raise WrongTable(
                f"The table has the unit '{unit[:120]}' twice.",
                "Name each unit once; the numbers of a list are units `column/0`, `column/1`, and so on.",
                value=f"column '{unit[:120]}'",
            )


def in_32_bits(
    numbers: NDArray[np.float64] | NDArray[np.float32], first_row: int, units: Sequence[str]
) -> NDArray[np.float32]:
    """The numbers as float32. Raises WrongTable for the first that is not finite, or is not any more then."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.ascontiguousarray(numbers, dtype=np.float32)
    finite = np.isfinite(narrow)
    if finite.all():
        return narrow

    row, unit = (int(place) for place in np.argwhere(~finite)[0])
    raise not_finite(first_row + row + 1, units[unit], float(numbers[row, unit]))
