"""What a dissection found: layers, their neurons, one neuron."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field, FiniteFloat
from sqlalchemy.orm import Session

from api.dependencies import CallerDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Fields, FieldsChoice, LimitOfFields, PageOut, decode_cursor, next_cursor, page_size
from api.schemas.neurons import LayersOut, NeighbourOut, NeighboursOut, NeuronBriefOut, NeuronOut
from api.tags import tag
from service.db.neurons import Sort
from service.db.neurons_of_layers import NeuronQuery
from service.domain.layers import canonical_layer
from service.domain.neurons import ListedNeuron, NeuronFilter
from service.domain.pages import Page
from service.domain.verdicts import Verdict
from service.usecases import jobs, neurons, reviews
from service.usecases.evidence import concept_set_of_job, evidence_of

router = APIRouter(tags=["neurons"], route_class=OneThreadRoute)

_MOST_LAYERS = 100

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
def list_layers(session: SessionDep, request: Request, job: JobQuery = None, model: ModelQuery = None) -> LayersOut:
    """The dissected layers, each in one line."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    tag(request, chosen)
    evidence = evidence_of(jobs.find_job(session, chosen))
    verdicts = None if evidence is None else evidence.verdicts
    return LayersOut.of(chosen, neurons.list_layers(session, chosen), verdicts)


async def _filter(
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
) -> NeuronFilter:
    verdicts = None if verdict is None else tuple(verdict)
    return NeuronFilter(concept, category, broad_category, min_score, dead, significant, verdicts)


NeuronPage = PageOut[NeuronBriefOut] | PageOut[NeuronOut]
FilterDep = Annotated[NeuronFilter, Depends(_filter)]


@router.get("/neurons")
def list_all_neurons(
    session: SessionDep,
    caller: CallerDep,
    request: Request,
    response: Response,
    where: FilterDep,
    job: JobQuery = None,
    model: ModelQuery = None,
    layer: Annotated[
        list[Annotated[str, Field(max_length=200)]] | None,
        Query(description="Only neurons of this layer; repeated: of any of these.", max_length=_MOST_LAYERS),
    ] = None,
    sort: Annotated[
        Sort, Query(description="Sort by descending top score or z, or by layer, in the order of /layers, and unit.")
    ] = "-score",
    fields: Fields = "brief",
    limit: LimitOfFields = None,
    cursor: Cursor = None,
) -> NeuronPage:
    """The neurons of all layers in brief: labels and their evidence. GET /neurons/{layer}/{unit} has the rest."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    tag(request, chosen, caller, reviews.state_of(session, chosen))
    kind = tuple[UnitNumber, UnitNumber] if sort == "unit" else tuple[FiniteFloat | None, UnitNumber, UnitNumber]
    page = neurons.list_neurons_of_layers(
        session,
        NeuronQuery(chosen, layer, where, sort),
        limit=page_size(limit, fields),
        after=decode_cursor(cursor, kind),
    )

    next_page = next_cursor(request, response, page.next_position)
    return _page(session, chosen, page, fields, next_page, caller=caller)


@router.get("/neurons/{layer}")
def list_neurons(
    layer: Layer,
    session: SessionDep,
    caller: CallerDep,
    request: Request,
    response: Response,
    where: FilterDep,
    job: JobQuery = None,
    model: ModelQuery = None,
    sort: Annotated[Sort, Query(description="Sort by descending top score or z, or by unit.")] = "-score",
    fields: Fields = "brief",
    limit: LimitOfFields = None,
    cursor: Cursor = None,
) -> NeuronPage:
    """The neurons of a layer in brief: labels and their evidence. GET /neurons/{layer}/{unit} has the rest."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    tag(request, chosen, caller, reviews.state_of(session, chosen))
    positions = tuple[UnitNumber] if sort == "unit" else tuple[FiniteFloat | None, UnitNumber]
    page = neurons.list_neurons(
        session,
        chosen,
        layer,
        where=where,
        sort=sort,
        limit=page_size(limit, fields),
        after=decode_cursor(cursor, positions),
    )

    next_page = next_cursor(request, response, page.next_position)
    return _page(session, chosen, page, fields, next_page, caller=caller)


@router.get("/neurons/{layer}/{unit}")
def read_neuron(
    layer: Layer,
    unit: UnitNumber,
    session: SessionDep,
    request: Request,
    caller: CallerDep,
    job: JobQuery = None,
    model: ModelQuery = None,
) -> NeuronOut:
    """Everything that is known about one neuron."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    tag(request, chosen, caller, reviews.state_of(session, chosen))
    labelled = neurons.find_neuron(session, chosen, layer, unit)
    of_neuron = reviews.reviews_of(session, chosen, layer, unit, caller=caller)
    return NeuronOut.whole(chosen, labelled, concept_set_of_job(session, chosen).texts, of_neuron)


@router.get("/neurons/{layer}/{unit}/neighbours")
def list_neighbours(
    layer: Layer,
    unit: UnitNumber,
    session: SessionDep,
    request: Request,
    job: JobQuery = None,
    model: ModelQuery = None,
    count: Annotated[int, Query(ge=1, le=100, description="How many.")] = 5,
) -> NeighboursOut:
    """Units of this and other layers whose directions in the dissector's space are most like the neuron's."""
    chosen = jobs.choose_job(session, job_id=job, model=model)
    tag(request, chosen)
    found = neurons.find_neighbours(session, chosen, layer, unit, count)
    items = [NeighbourOut.model_validate(neighbour, from_attributes=True) for neighbour in found]
    return NeighboursOut(job=chosen, layer=canonical_layer(layer), unit=unit, items=items)


def _page(
    session: Session,
    job_id: UUID,
    page: Page[ListedNeuron],
    fields: FieldsChoice,
    next_page: str | None,
    *,
    caller: str,
) -> NeuronPage:
    if fields == "brief":
        places = [(neuron.layer, neuron.unit) for neuron in page.items]
        standings = reviews.standings_of(session, job_id, places, caller=caller)
        brief = [
            NeuronBriefOut.listed(job_id, neuron, standings.get(place))
            for neuron, place in zip(page.items, places, strict=True)
        ]
        return PageOut[NeuronBriefOut](items=brief, next=next_page)

    texts = concept_set_of_job(session, job_id).texts
    whole = []
    for labelled in neurons.read_listed(session, job_id, page.items):
        of_neuron = reviews.reviews_of(session, job_id, labelled.layer, labelled.neuron.unit, caller=caller)
        whole.append(NeuronOut.whole(job_id, labelled, texts, of_neuron))
    return PageOut[NeuronOut](items=whole, next=next_page)
