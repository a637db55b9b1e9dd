"""Register, list, read and open dissectors."""

from fastapi import APIRouter, Request, Response, status
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, RootsDep, SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut
from api.routes.resources import Ref, describe_registration, inspected_again, stated_page
from api.schemas.dissectors import DissectorIn, DissectorOut
from api.schemas.resources import ResourceOut, StatedOut
from service.db.work import find_check
from service.domain.resources import Resource, ResourceKind
from service.usecases import resources
from service.usecases.states import standing_of

router = APIRouter(prefix="/dissectors", tags=["dissectors"], route_class=OneThreadRoute)


@router.post("", status_code=status.HTTP_201_CREATED)
def register_dissector(
    body: DissectorIn, session: SessionDep, queue: QueueDep, roots: RootsDep, response: Response
) -> DissectorOut:
    """Register a dissector directory; a worker then opens it. Its `state` says whether that worked.

    If it has moved, the service reads it at its new path from then on.
    """
    prompts = None if body.prompts is None else body.prompts.prompts("prompts")
    dissector, new = resources.register_dissector(
        session, queue, name=body.name, path=body.path, roots=roots, prompts=prompts, terms=body.terms()
    )

    describe_registration(session, response, "/dissectors", dissector, new=new)
    return _dissector(session, dissector)


@router.get("")
def list_dissectors(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[StatedOut]:
    """All dissectors, newest first."""
    return stated_page(session, ResourceKind.DISSECTOR, request, response, limit, cursor)


@router.get("/{name}")
def read_dissector(name: Ref, session: SessionDep) -> DissectorOut:
    """One dissector, with the reason if a worker could not open it."""
    return _dissector(session, resources.find_resource(session, ResourceKind.DISSECTOR, name, field="name"))


@router.post("/{name}/inspect", status_code=status.HTTP_202_ACCEPTED)
def inspect_dissector(name: Ref, session: SessionDep, queue: QueueDep) -> DissectorOut:
    """Ask a worker to open the dissector again, unless one is doing so."""
    return _dissector(session, inspected_again(session, queue, ResourceKind.DISSECTOR, name))


def _dissector(session: Session, dissector: Resource) -> DissectorOut:
    state, problem = standing_of(session, dissector)
    check = find_check(session, dissector.id)
    notes = None if check is None else check["notes"]
    return DissectorOut(**ResourceOut.of(dissector).model_dump(), state=state, problem=problem, notes=notes)
