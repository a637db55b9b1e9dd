"""Home: where everybody begins."""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from api.dependencies import SessionDep
from api.key_check import PAGES
from api.pages.forms import PageRoute
from api.pages.rendering import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)
entry = APIRouter(include_in_schema=False)
"""Served without a key."""


@entry.get("/")
async def lead_to_pages() -> Response:
    """From the service's address to its pages."""
    return RedirectResponse(PAGES, 303)


@router.get(PAGES)
def show_home(request: Request, _: SessionDep) -> Response:
    """What runs, what failed, and where to begin."""
    return page(request, "home.html")
