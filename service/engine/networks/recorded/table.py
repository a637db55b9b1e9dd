"""A table as it was read: rows by image, columns by unit, all in memory as 32-bit numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import torch
from torch import Tensor

from service.domain.table_targets import TableNotes
from service.engine.networks.recorded.columns import NameColumn
from service.engine.networks.recorded.faults import WrongTable

MOST_ROWS = 2_000_000
MOST_NUMBERS = 1 << 30
"""4 GiB of them."""

MOST_NAME_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Names:
    """What a column calls the images, row by row."""

    column: NameColumn
    values: Sequence[str]


@dataclass(frozen=True)
class RecordedTable:
    """Numbers by image and unit."""

    values: Tensor
    """float32 [R, U], on the CPU, all finite."""

    layers: Mapping[str, tuple[int, ...]]
    """For each layer the columns of its units."""

    names: tuple[Names, ...]
    """What names the rows; the first are all different."""

    notes: TableNotes

    def rows_of(self, layer: str, rows: Tensor) -> Tensor:
        """float32 [n, units of the layer]. rows: int64 [n]."""
        columns = self.layers[layer]
        values = self.values.index_select(0, rows)
        if columns == tuple(range(values.shape[1])):
            return values
        return values[:, torch.tensor(columns)]


def plain_path(path: str) -> str:
    """A path as this machine would write it, whichever machine wrote it."""
    slashed = path.replace("\\", "/")
    # A million of them are compared: most are plain already.
    is_plain = not (slashed.startswith("./") or "/./" in slashed or "//" in slashed or slashed.endswith(("/", "/.")))
    return slashed if is_plain else str(PurePosixPath(slashed))


def check_size(rows: int, units: int) -> None:
    """Raise WrongTable for more numbers than are taken into memory."""
    if rows > MOST_ROWS:
        raise WrongTable(
            f"The table has more than {MOST_ROWS:,} rows.", "Leave out the rows of images that are not shown."
        )
    if rows * units > MOST_NUMBERS:
        raise WrongTable(
            f"The table has {rows * units:,} numbers; at most {MOST_NUMBERS:,} are taken.",
            "Make several tables, with some of the units each.",
        )


def check_names(column: str, values: Sequence[str]) -> None:
    """Raise WrongTable for a row without a name, or one that is too long for any path."""
    for row, value in enumerate(values, start=1):
        if not value:
            raise WrongTable(
                f"Row {row} of the table names no image in the column '{column[:120]}'.",
                "Give every row the path, the file name or the id of its image.",
                value=f"row {row}, column '{column[:120]}'",
            )
        if len(value) > MOST_NAME_CHARACTERS:
            raise WrongTable(
                f"Row {row} of the table names its image by more than {MOST_NAME_CHARACTERS:,} characters.",
                "Give every row the path, the file name or the id of its image.",
                value=f"row {row}, column '{column[:120]}'",
            )


def check_unlike(names: Names, values: Tensor, units: Sequence[str]) -> None:
    """Raise WrongTable where two rows name the same image, saying whether they contradict each other."""
    first_row: dict[str, int] = {}
    is_path = names.column.kind == "image"
    for row, name in enumerate(names.values):
        earlier = first_row.setdefault(plain_path(name) if is_path else name, row)
        if earlier != row:
            raise _named_twice(names.column.name, earlier, row, values, units)


def _named_twice(column: str, earlier: int, later: int, values: Tensor, units: Sequence[str]) -> WrongTable:
    rows = f"rows {earlier + 1} and {later + 1}"
    differing = (values[earlier] != values[later]).nonzero()
    if len(differing):
        unit = units[int(differing[0])][:120]
        what = f"{rows.capitalize()} of the table are about the same image and contradict each other in '{unit}'."
        remedy = "Keep the row that is right."
        value = f"{rows}, column '{unit}'"
    else:
        what = f"{rows.capitalize()} of the table are about the same image, with the same numbers."
        remedy = "Keep one row for each image."
        value = f"{rows}, column '{column[:120]}'"
    return WrongTable(what, remedy, value=value)
