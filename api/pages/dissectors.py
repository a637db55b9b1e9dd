"""Dissectors, and one dissector: whether it works, and what it can see."""

from fastapi import APIRouter, Request, Response

from api.dependencies import QueueDep, SessionDep
from api.pages.forms import PageRoute, see_other
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from api.routes.resources import Ref, inspected_again
from service.db.work import find_check
from service.domain.resources import ResourceKind, ResourceState
from service.domain.specs import dissector_place
from service.reports.interval import auroc_interval
from service.usecases.dissectors import what_it_sees
from service.usecases.resources import find_resource, list_resources
from service.usecases.states import standing_of, states_of

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/ui/dissectors")
def show_dissectors(request: Request, session: SessionDep, cursor: Cursor = None) -> Response:
    """All dissectors, newest first."""
    listed = list_resources(session, ResourceKind.DISSECTOR, limit=PAGE_SIZE, after=decode_cursor(cursor))
    states = states_of(session, listed.items)
    return page(
        request,
        "dissectors.html",
        dissectors=[(dissector, states.get(dissector.id)) for dissector in listed.items],
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/dissectors/{name}")
def show_dissector(request: Request, name: Ref, session: SessionDep) -> Response:
    """One dissector. Raises NotFound."""
    dissector = find_resource(session, ResourceKind.DISSECTOR, name, field="name")
    place = dissector_place(dissector)
    state, problem = standing_of(session, dissector)
    check = find_check(session, dissector.id)
    return page(
        request,
        "dissector.html",
        dissector=dissector,
        place=place,
        prompts=place.get("prompts"),
        state=state,
        problem=problem,
        notes=() if check is None else check["notes"] or (),
        sights=what_it_sees(session, dissector),
        auroc_interval=auroc_interval,
        may_open_again=state is not ResourceState.CHECKING,
    )


@router.post("/ui/dissectors/{name}/inspect")
def inspect_dissector(name: Ref, session: SessionDep, queue: QueueDep, response: Response) -> Response:
    """Ask a worker to open the dissector again, unless one is doing so. Raises NotFound."""
    dissector = inspected_again(session, queue, ResourceKind.DISSECTOR, name)
    return see_other(response, f"/ui/dissectors/{dissector.reference}")
