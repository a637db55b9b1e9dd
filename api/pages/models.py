"""Models: all of them, and one with its layers, its dissections and its versions side by side."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.orm import Session

from api.dependencies import SessionDep
from api.pages import addresses, drawings
from api.pages.filters import read_job
from api.pages.forms import PageRoute
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from service.db.resources import find_inspected
from service.domain.glances import DissectionLine
from service.domain.neurons import LayerSummary, total_verdicts
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.specs import model_spec
from service.domain.verdicts import VerdictCounts
from service.usecases import neurons
from service.usecases.known_concepts import (
    count_labels,
    find_dissection,
    list_dissections,
    newest_dissections,
)
from service.usecases.resources import find_resource, list_resources, list_versions
from service.usecases.states import standing_of, states_of

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_VERSIONS = 8
_LABELS = 24

Reference = Annotated[str, Path(max_length=80)]


class VersionLine:
    """A version of a model beside the others."""

    def __init__(
        self,
        model: Resource,
        state: ResourceState | None,
        dissection: DissectionLine | None,
        layers: list[LayerSummary],
    ) -> None:
        self.model = model
        self.state = state
        self.architecture = model_spec(model)["architecture"]
        self.dissection = dissection
        self.layers = len(layers)
        self.units = sum(layer.units for layer in layers)
        self.dead = sum(layer.dead_units for layer in layers)
        self.verdicts: VerdictCounts | None = total_verdicts(layers)
        tested = [layer.significant for layer in layers if layer.significant is not None]
        self.significant = sum(tested) if tested else None


@router.get("/ui/models")
def show_models(request: Request, session: SessionDep, cursor: Cursor = None) -> Response:
    """All versions of all models, newest first."""
    listed = list_resources(session, ResourceKind.MODEL, limit=PAGE_SIZE, after=decode_cursor(cursor))
    return page(
        request,
        "models.html",
        at=addresses,
        models=listed.items,
        states=states_of(session, listed.items),
        newest=newest_dissections(session, listed.items),
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/models/{name}")
def show_model(
    request: Request, name: Reference, session: SessionDep, job: str = "", cursor: Cursor = None
) -> Response:
    """One model. job: which of its dissections the layers are of; the newest of this version where none is given."""
    model = find_resource(session, ResourceKind.MODEL, name, field="name")
    state, problem = standing_of(session, model)
    inspected = find_inspected(session, model.id)

    versions = list_versions(session, ResourceKind.MODEL, model.name, limit=_VERSIONS)
    newest = newest_dissections(session, versions)
    chosen = read_job(job)
    dissection = newest.get(model.id) if chosen is None else find_dissection(session, chosen)
    layers = [] if dissection is None else neurons.list_layers(session, dissection.job)
    listed = list_dissections(session, model=model.name, limit=PAGE_SIZE, after=decode_cursor(cursor))

    return page(
        request,
        "model.html",
        at=addresses,
        drawings=drawings,
        model=model,
        spec=model_spec(model),
        state=state,
        problem=problem,
        inspected=inspected,
        dissection=dissection,
        layers=layers,
        verdicts=total_verdicts(layers),
        labels=[] if dissection is None else count_labels(session, dissection.job)[:_LABELS],
        versions=_side_by_side(session, versions, newest),
        dissections=listed.items,
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


def _side_by_side(session: Session, versions: list[Resource], newest: dict[UUID, DissectionLine]) -> list[VersionLine]:
    states = states_of(session, versions)
    lines = []
    for version in versions:
        dissection = newest.get(version.id)
        layers = [] if dissection is None else neurons.list_layers(session, dissection.job)
        lines.append(VersionLine(version, states.get(version.id), dissection, layers))
    return lines
