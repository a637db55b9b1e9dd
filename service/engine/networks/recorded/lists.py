"""Columns of numbers, and columns of lists of numbers, where each number of a list is a unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.engine.networks.recorded.columns import Columns, checked_layer
from service.engine.networks.recorded.faults import ONE_LENGTH, bad_cell
from service.engine.networks.recorded.table import check_size


@dataclass(frozen=True, slots=True)
class UnitColumn:
    """A column of numbers, or of lists of numbers."""

    name: str

    width: int | None
    """How many numbers a list has; None for a column of numbers."""


def with_units_of_lists(columns: Columns, units: Sequence[UnitColumn]) -> Columns:
    """The columns, with a unit for each number of a list.

    Raises WrongTable where they are too many, where the first list of a column is empty, or where its name is not one
    that a layer can have.
    """
    names: list[str] = []
    for unit in units:
        if unit.width is None:
            names.append(unit.name)
        else:
            if not unit.width:
                raise bad_cell(1, unit.name, "has an empty list", ONE_LENGTH)
            layer = checked_layer(unit.name, unit.name)
            check_size(1, len(names) + unit.width)
            names += [f"{layer}/{place}" for place in range(unit.width)]
    return Columns(columns.names, tuple(names), columns.left_out)
