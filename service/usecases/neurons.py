"""Ask what a dissection found: its layers, their neurons, one neuron."""

from collections.abc import Iterable, Iterator
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from service.db import neurons as queries
from service.db.directions import LayerDirections, labels_of, read_directions
from service.domain.layers import canonical_layer, near_layers
from service.domain.neurons import LabelledNeuron, LayerDissection, LayerSummary, ListedNeuron, Neighbour, NeuronFilter
from service.domain.pages import Page, Position
from service.errors import NotFound
from service.usecases.jobs import choose_job


def list_layers(session: Session, job_id: UUID) -> list[LayerSummary]:
    """The dissected layers, in the order of the dissection."""
    return queries.list_layers(session, job_id)


def read_layers(session: Session, job_id: UUID) -> Iterator[LayerDissection]:
    """Everything a succeeded job found, layer by layer. Raises as `choose_job` does."""
    return queries.read_layers(session, choose_job(session, job_id=job_id, model=None))


def list_neurons(
    session: Session,
    job_id: UUID,
    layer: str,
    *,
    where: NeuronFilter,
    sort: queries.Sort,
    limit: int,
    after: Position | None,
) -> Page[ListedNeuron]:
    """One page of a layer's neurons in brief. Raises NotFound for a layer that was not dissected."""
    name = canonical_layer(layer)
    page = queries.list_neurons(session, job_id, name, where=where, sort=sort, limit=limit, after=after)
    if not page.items:
        check_layer(session, job_id, layer)
    return page


def find_neuron(session: Session, job_id: UUID, layer: str, unit: int) -> LabelledNeuron:
    """Everything that is known of one neuron. Raises NotFound for a layer or unit that is not there."""
    neuron = queries.find_neuron(session, job_id, canonical_layer(layer), unit)
    if neuron is None:
        units = check_layer(session, job_id, layer)
        raise _no_unit(canonical_layer(layer), unit, units)
    return neuron


def find_neighbours(session: Session, job_id: UUID, layer: str, unit: int, count: int) -> tuple[Neighbour, ...]:
    """The units of the job, of any layer, whose directions are most like the unit's, most like it first.

    Empty for a unit that never changes. Raises NotFound for a layer or unit that is not there, and for a job without
    directions.
    """
    name = canonical_layer(layer)
    units = check_layer(session, job_id, layer)
    if unit >= units:
        raise _no_unit(name, unit, units)

    own = next(read_directions(session, job_id, name), None)
    if own is None:
        raise NotFound(
            f"Job {job_id} has no directions: not all activations were kept, or an earlier release made it.",
            field="job",
            value=str(job_id),
            remedy="Submit the job again; its manifest says under 'activations' where they were too many to keep.",
        )

    nearest = _nearest(read_directions(session, job_id), name, unit, own.directions[unit], count)
    if not nearest:
        return ()
    labels = labels_of(session, job_id, [(of_layer, near) for _, of_layer, near in nearest])
    return tuple(Neighbour(of_layer, near, cosine, labels[of_layer, near]) for cosine, of_layer, near in nearest)


def _nearest(
    layers: Iterable[LayerDirections], layer: str, unit: int, direction: NDArray[np.float16], count: int
) -> list[tuple[float, str, int]]:
    """Cosine, layer and unit of the most like ones; of equal ones the first. Units that never change are left out."""
    wanted = direction.astype(np.float32)
    if not wanted.any():
        return []

    nearest: list[tuple[float, str, int]] = []
    for candidates in layers:
        cosines = candidates.directions.astype(np.float32) @ wanted
        cosines[candidates.lengths == 0] = -np.inf
        if candidates.layer == layer:
            cosines[unit] = -np.inf

        best = np.argsort(-cosines, kind="stable")[:count]
        found = [(float(cosines[near]), candidates.layer, int(near)) for near in best if cosines[near] > -np.inf]
        nearest = sorted([*nearest, *found], key=lambda neighbour: -neighbour[0])[:count]
    return nearest


def _no_unit(layer: str, unit: int, units: int) -> NotFound:
    return NotFound(
        f"Layer {layer} has units 0 to {units - 1}.", field="unit", value=unit, remedy="Ask for one of those."
    )


def check_layer(session: Session, job_id: UUID, layer: str) -> int:
    """How many units a dissected layer has. Raises NotFound for one that was not dissected."""
    units_of_layer = {summary.layer: summary.units for summary in queries.list_layers(session, job_id)}
    if canonical_layer(layer) not in units_of_layer:
        near = near_layers(layer, units_of_layer)
        raise NotFound(
            f"Job {job_id} did not dissect a layer '{layer[:120]}'.",
            field="layer",
            value=layer,
            remedy=f"Near matches: {', '.join(near)}." if near else f"List its layers with GET /layers?job={job_id}.",
        )
    return units_of_layer[canonical_layer(layer)]
