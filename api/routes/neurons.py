"""What a dissection found: layers, their neurons, one neuron."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import FiniteFloat

from api.dependencies import CallerDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.neurons import LayersOut, NeighbourOut, NeighboursOut, NeuronBriefOut, NeuronOut
from service.db.neurons import Sort
from service.domain.layers import canonical_layer
from service.domain.neurons import NeuronFilter
from service.domain.verdicts import Verdict
from service.usecases import jobs, neurons, reviews
from service.usecases.evidence import concept_set_of_job, evidence_of

router = APIRouter(tags=["neurons"], route_class=OneThreadRoute)

JobQuery = Annotated[UUID | None, Query(description="The dissection.")]
ModelQuery = Annotated[
    str | None, Query(max_length=80, description="Instead of job: the newest succeeded dissection of that model.")
]
UnitNumber = Annotated[int, Path(ge=0, lt=2**31)]
Layer = Annotated[
    str,
    Path(
        max_length=200,
        description="`image_encoder._blocks[38]` and `image_encoder._blocks.38` are the same layer.",
        examples=["image_encoder._blocks[38]"],
    ),
]


@router.get("/layers")
def list_layers(session: SessionDep, job: JobQuery = None, model: ModelQuery = None) -> LayersOut:
    """The dissected layers, each in one line."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    evidence = evidence_of(jobs.find_job(session, chosen))
    verdicts = None if evidence is None else evidence.verdicts
    return LayersOut.of(chosen, neurons.list_layers(session, chosen), verdicts)


@router.get("/neurons/{layer}")
def list_neurons(
    layer: Layer,
    session: SessionDep,
    caller: CallerDep,
    request: Request,
    response: Response,
    job: JobQuery = None,
    model: ModelQuery = None,
    concept: Annotated[str | None, Query(max_length=300, description="Only neurons with this label.")] = None,
    category: Annotated[str | None, Query(max_length=300)] = None,
    broad_category: Annotated[str | None, Query(max_length=300)] = None,
    min_score: Annotated[
        float | None, Query(allow_inf_nan=False, description="Only neurons with at least this top score.")
    ] = None,
    dead: Annotated[bool | None, Query(description="true: only dead neurons. false: only live neurons.")] = None,
    significant: Annotated[
        bool | None,
        Query(
            description="true: only labels that beat the null, right or wrong. false: only others. `verdict` says more."
        ),
    ] = None,
    verdict: Annotated[
        list[Verdict] | None,
        Query(description="Only neurons with this verdict; repeated: with any of these.", max_length=len(Verdict)),
    ] = None,
    sort: Annotated[Sort, Query(description="Sort by descending top score or z, or by unit.")] = "-score",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[NeuronBriefOut]:
    """The neurons of a layer in brief: labels and their evidence. GET /neurons/{layer}/{unit} has the rest."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    verdicts = None if verdict is None else tuple(verdict)
    where = NeuronFilter(concept, category, broad_category, min_score, dead, significant, verdicts)
    positions = tuple[UnitNumber] if sort == "unit" else tuple[FiniteFloat | None, UnitNumber]
    page = neurons.list_neurons(
        session,
        chosen,
        layer,
        where=where,
        sort=sort,
        limit=limit,
        after=decode_cursor(cursor, positions),
    )

    units = [neuron.unit for neuron in page.items]
    standings = reviews.standings_of(session, chosen, layer, units, caller=caller)
    items = [NeuronBriefOut.listed(chosen, neuron, standings.get(neuron.unit)) for neuron in page.items]
    return PageOut[NeuronBriefOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/neurons/{layer}/{unit}")
def read_neuron(
    layer: Layer,
    unit: UnitNumber,
    session: SessionDep,
    caller: CallerDep,
    job: JobQuery = None,
    model: ModelQuery = None,
) -> NeuronOut:
    """Everything that is known about one neuron."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    labelled = neurons.find_neuron(session, chosen, layer, unit)
    of_neuron = reviews.reviews_of(session, chosen, layer, unit, caller=caller)
    return NeuronOut.whole(chosen, labelled, concept_set_of_job(session, chosen).texts, of_neuron)


@router.get("/neurons/{layer}/{unit}/neighbours")
def list_neighbours(
    layer: Layer,
    unit: UnitNumber,
    session: SessionDep,
    job: JobQuery = None,
    model: ModelQuery = None,
    count: Annotated[int, Query(ge=1, le=100, description="How many.")] = 5,
) -> NeighboursOut:
    """Units of this and other layers whose directions in the dissector's space are most like the neuron's."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    found = neurons.find_neighbours(session, chosen, layer, unit, count)
    items = [NeighbourOut.model_validate(neighbour, from_attributes=True) for neighbour in found]
    return NeighboursOut(job=chosen, layer=canonical_layer(layer), unit=unit, items=items)
