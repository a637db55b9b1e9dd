"""Ask what a dissection found: its layers, their neurons, one neuron."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import neurons as queries
from service.db import neurons_of_layers as queries_of_layers
from service.db.directions import has_directions, nearest_in_job
from service.db.neurons_of_layers import NeuronQuery
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


def list_neurons_of_layers(
    session: Session, query: NeuronQuery, *, limit: int, after: Position | None
) -> Page[ListedNeuron]:
    """One page of the neurons of all layers in brief, or of those that the query names.

    Raises NotFound for a layer that was not dissected.
    """
    names = None
    if query.layers is not None:
        _check_layers(session, query.job_id, query.layers)
        names = {canonical_layer(layer) for layer in query.layers}
    return queries_of_layers.list_neurons_of_layers(session, replace(query, layers=names), limit=limit, after=after)


def read_listed(session: Session, job_id: UUID, listed: Iterable[ListedNeuron]) -> list[LabelledNeuron]:
    """Everything that is known of the neurons of a list, in its order."""
    return queries.read_neurons(session, job_id, [(neuron.layer, neuron.unit) for neuron in listed])


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

    if not has_directions(session, job_id, name):
        raise no_directions(job_id)
    return nearest_in_job(session, job_id, name, unit, count)


def no_directions(job_id: UUID) -> NotFound:
    """The error for a job whose units have no directions."""
    return NotFound(
        f"Job {job_id} has no directions: not all activations were kept, or an earlier release made it.",
        field="job",
        value=str(job_id),
        remedy="Submit the job again; its manifest says under 'activations' where they were too many to keep.",
    )


def _no_unit(layer: str, unit: int, units: int) -> NotFound:
    return NotFound(
        f"Layer {layer} has units 0 to {units - 1}.", field="unit", value=unit, remedy="Ask for one of those."
    )


def check_layer(session: Session, job_id: UUID, layer: str) -> int:
    """How many units a dissected layer has. Raises NotFound for one that was not dissected."""
    return _check_layers(session, job_id, (layer,))[canonical_layer(layer)]


def _check_layers(session: Session, job_id: UUID, layers: Iterable[str]) -> dict[str, int]:
    units_of_layer = {summary.layer: summary.units for summary in queries.list_layers(session, job_id)}
    for layer in layers:
        if canonical_layer(layer) not in units_of_layer:
            near = near_layers(layer, units_of_layer)
            raise NotFound(
                f"Job {job_id} did not dissect a layer '{layer[:120]}'.",
                field="layer",
                value=layer,
                remedy=f"Near matches: {', '.join(near)}."
                if near
                else f"List its layers with GET /layers?job={job_id}.",
            )
    return units_of_layer
