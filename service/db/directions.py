"""Storing the directions of units in the dissector's space, and asking for the units most like one of a job."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select
from sqlalchemy.orm import Session, aliased

from service.db.direction_tables import LayerDirectionsRow, NeuronDirectionRow, stored_width
from service.db.half_vectors import Vector
from service.db.tables import LayerRow, NeuronRow
from service.domain.neurons import Neighbour

_ROWS_PER_INSERT = 1_000


@dataclass(frozen=True, slots=True)
class LayerDirections:
    """The directions of a layer's units."""

    layer: str
    directions: NDArray[np.float16]
    """[U, D], of length 1; zeros for a unit that never changes."""
    lengths: NDArray[np.float32]
    """[U], by how much the activation rises for each unit of embedding along the direction."""


def add_directions(session: Session, job_id: UUID, layer: LayerDirections, *, dissector: str) -> None:
    """Store the directions of a layer that the job has already. dissector: its digest."""
    layer_id = session.scalars(select(LayerRow.id).where(LayerRow.job_id == job_id, LayerRow.name == layer.layer)).one()
    units = np.flatnonzero(layer.lengths).tolist()
    width = layer.directions.shape[1]
    session.add(LayerDirectionsRow(layer_id=layer_id, dissector=dissector, width=width, neurons=len(units)))
    session.flush()

    for start in range(0, len(units), _ROWS_PER_INSERT):
        rows = [
            {
                "layer_id": layer_id,
                "unit": unit,
                "length": float(layer.lengths[unit]),
                "direction": filled_up(layer.directions[unit]),
            }
            for unit in units[start : start + _ROWS_PER_INSERT]
        ]
        session.execute(insert(NeuronDirectionRow), rows)


def filled_up(vector: Vector) -> Vector:
    """The vector with as many zeros as an index needs."""
    filled: Vector = np.pad(vector, (0, stored_width(len(vector)) - len(vector)))
    return filled


def read_directions(session: Session, job_id: UUID) -> Iterator[LayerDirections]:
    """The directions of a job's layers, one layer at a time, in the order of the dissection."""
    layers = (
        select(LayerRow.id, LayerRow.name, LayerRow.units, LayerDirectionsRow.width)
        .join(LayerDirectionsRow, LayerDirectionsRow.layer_id == LayerRow.id)
        .where(LayerRow.job_id == job_id)
        .order_by(LayerRow.position)
    )
    for layer_id, name, units, width in session.execute(layers).all():
        directions = np.zeros((units, width), np.float16)
        lengths = np.zeros(units, np.float32)

        rows = select(NeuronDirectionRow.unit, NeuronDirectionRow.length, NeuronDirectionRow.direction)
        for unit, length, direction in session.execute(rows.where(NeuronDirectionRow.layer_id == layer_id)):
            directions[unit] = direction[:width]
            lengths[unit] = length
        yield LayerDirections(name, directions, lengths)


def has_directions(session: Session, job_id: UUID, layer: str) -> bool:
    """Do the units of a job's layer have directions?"""
    query = (
        select(LayerDirectionsRow.layer_id)
        .join(LayerRow, LayerRow.id == LayerDirectionsRow.layer_id)
        .where(LayerRow.job_id == job_id, LayerRow.name == layer)
    )
    return session.scalar(query) is not None


def nearest_in_job(session: Session, job_id: UUID, layer: str, unit: int, count: int) -> tuple[Neighbour, ...]:
    """The units of the job whose directions are most like the unit's, most like it first; of equal ones the first.

    Empty for a unit without a direction. All are compared, whatever an index would find.
    """
    own = aliased(NeuronDirectionRow)
    of_own = aliased(LayerRow)
    opposite = NeuronDirectionRow.direction.op("<#>", return_type=NeuronRow.score.type)(own.direction)
    nearest = (
        select(
            LayerRow.id.label("layer_id"),
            LayerRow.name,
            LayerRow.position,
            NeuronDirectionRow.unit,
            opposite.label("opposite"),
        )
        .select_from(of_own)
        .join(own, own.layer_id == of_own.id)
        .join(LayerRow, LayerRow.job_id == of_own.job_id)
        .join(NeuronDirectionRow, NeuronDirectionRow.layer_id == LayerRow.id)
        .where(
            of_own.job_id == job_id,
            of_own.name == layer,
            own.unit == unit,
            (LayerRow.id != of_own.id) | (NeuronDirectionRow.unit != unit),
        )
        .order_by(opposite, LayerRow.position, NeuronDirectionRow.unit)
        .limit(count)
        .subquery()
    )
    query = (
        select(nearest.c.name, nearest.c.unit, -nearest.c.opposite, NeuronRow.concept)
        .join(NeuronRow, (NeuronRow.layer_id == nearest.c.layer_id) & (NeuronRow.unit == nearest.c.unit))
        .order_by(nearest.c.opposite, nearest.c.position, nearest.c.unit)
    )
    return tuple(Neighbour(*row) for row in session.execute(query))
