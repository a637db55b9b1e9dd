"""The layers of a dissection, and the neurons of one layer as cards or as a table."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import FiniteFloat

from api.dependencies import SessionDep
from api.pages import addresses, drawings
from api.pages.filters import read_filters
from api.pages.forms import PageRoute
from api.pages.paging import first_page, next_page
from api.pages.pictures import gallery
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from service.domain.layers import canonical_layer
from service.domain.neurons import total_verdicts
from service.domain.verdicts import Verdict
from service.errors import InvalidInput
from service.reports.neuron_wording import short_label
from service.usecases import known_concepts, neurons
from service.usecases.evidence import evidence_of
from service.usecases.jobs import find_job

router = APIRouter(include_in_schema=False, route_class=PageRoute)

CARDS = 48
ROWS = 100
_LABELS = 30
_OPTIONS = 500

LayerName = Annotated[str, Path(max_length=200)]
UnitNumber = Annotated[int, Path(ge=0, lt=2**31)]


@router.get("/ui/jobs/{job_id}/layers")
def show_layers(request: Request, job_id: UUID, session: SessionDep) -> Response:
    """The layers of a job, in the order of the network."""
    dissection = known_concepts.find_dissection(session, job_id)
    layers = neurons.list_layers(session, job_id)
    evidence = evidence_of(find_job(session, job_id))
    return page(
        request,
        "layers.html",
        at=addresses,
        drawings=drawings,
        dissection=dissection,
        layers=layers,
        verdicts=total_verdicts(layers),
        judged=None if evidence is None else evidence.verdicts,
        colours=drawings.category_colours(layers),
    )


@router.get("/ui/jobs/{job_id}/layers/{layer:path}")
def show_layer(
    request: Request,
    job_id: UUID,
    layer: LayerName,
    session: SessionDep,
    view: Annotated[str, Query(max_length=20)] = "cards",
    cursor: Cursor = None,
) -> Response:
    """The neurons of a layer. view: cards or table; the filters are in the query, too."""
    if view not in {"cards", "table"}:
        raise InvalidInput("There is no such view.", field="view", value=view, remedy="Choose cards or table.")
    dissection = known_concepts.find_dissection(session, job_id)
    asked = read_filters(request.query_params)
    positions = tuple[UnitNumber] if asked.sort == "unit" else tuple[FiniteFloat | None, UnitNumber]
    listed = known_concepts.look_at_layer(
        session,
        job_id,
        layer,
        where=asked.where,
        sort=asked.sort,
        limit=CARDS if view == "cards" else ROWS,
        after=decode_cursor(cursor, positions),
    )

    name = canonical_layer(layer)
    summary = next(summary for summary in neurons.list_layers(session, job_id) if summary.layer == name)
    labels = known_concepts.count_labels(session, job_id, name)
    images = [image for neuron in listed.items for image in neuron.images]

    return page(
        request,
        "layer.html",
        at=addresses,
        drawings=drawings,
        request=request,
        dissection=dissection,
        layer=name,
        summary=summary,
        view=view,
        asked_for=asked,
        neurons=listed.items,
        gallery=gallery(request, session, job_id, images),
        short_label=short_label,
        labels=labels[:_LABELS],
        label_options=sorted({label.concept for label in labels[:_OPTIONS]}),
        categories=sorted({label.category for label in labels if label.category}),
        broad_categories=sorted({label.broad_category for label in labels if label.broad_category}),
        verdict_options=[verdict.value for verdict in Verdict],
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )
