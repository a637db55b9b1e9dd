"""Fleet: all deployments in one table."""

from fastapi import APIRouter, Request, Response

from api.dependencies import SessionDep
from api.pages.forms import PageRoute
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pages.spans import span_words
from api.pagination import Cursor, decode_cursor
from service.usecases.fleet import list_fleet

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/ui/fleet")
def show_fleet(request: Request, session: SessionDep, cursor: Cursor = None) -> Response:
    """Every deployment with its last verdict, its age, its next audit and what nobody has acknowledged."""
    listed = list_fleet(session, limit=PAGE_SIZE, after=decode_cursor(cursor))
    return page(
        request,
        "fleet.html",
        lines=listed.items,
        span_words=span_words,
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )
