"""Storing and reading the directions of units in the dissector's space."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from service.db.direction_tables import LayerDirectionsRow
from service.db.tables import LayerRow, NeuronRow

_DIRECTION = np.dtype("<f2")
_LENGTH = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class LayerDirections:
    """The directions of a layer's units."""

    layer: str
    directions: NDArray[np.float16]
    """[U, D], of length 1; zeros for a unit that never changes."""
    lengths: NDArray[np.float32]
    """[U], by how much the activation rises for each unit of embedding along the direction."""


def add_directions(session: Session, job_id: UUID, layer: LayerDirections) -> None:
    """Store the directions of a layer that the job has already."""
    layer_id = session.scalars(select(LayerRow.id).where(LayerRow.job_id == job_id, LayerRow.name == layer.layer)).one()
    session.add(
        LayerDirectionsRow(
            layer_id=layer_id,
            width=layer.directions.shape[1],
            directions=layer.directions.astype(_DIRECTION).tobytes(),
            lengths=layer.lengths.astype(_LENGTH).tobytes(),
        )
    )


def read_directions(session: Session, job_id: UUID, layer: str | None = None) -> Iterator[LayerDirections]:
    """The directions of a job's layers, or of one of them, one layer at a time, in the order of the dissection."""
    layers = select(LayerRow.id, LayerRow.name).where(LayerRow.job_id == job_id).order_by(LayerRow.position)
    if layer is not None:
        layers = layers.where(LayerRow.name == layer)

    columns = (LayerDirectionsRow.width, LayerDirectionsRow.directions, LayerDirectionsRow.lengths)
    for layer_id, name in session.execute(layers).all():
        stored = session.execute(select(*columns).where(LayerDirectionsRow.layer_id == layer_id)).first()
        if stored is not None:
            directions = np.frombuffer(stored.directions, _DIRECTION).reshape(-1, stored.width)
            yield LayerDirections(name, directions, np.frombuffer(stored.lengths, _LENGTH))


def labels_of(session: Session, job_id: UUID, neurons: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str | None]:
    """What neurons (layer, unit) are called; see `ListedNeuron.concept`."""
    places = [and_(LayerRow.name == layer, NeuronRow.unit == unit) for layer, unit in neurons]
    query = (
        select(LayerRow.name, NeuronRow.unit, NeuronRow.concept)
        .join(LayerRow, NeuronRow.layer_id == LayerRow.id)
        .where(LayerRow.job_id == job_id, or_(*places))
    )
    return {(layer, unit): concept for layer, unit, concept in session.execute(query)}
