"""What the words on the pages mean, and how the figures beside them are computed."""

from fastapi import APIRouter, Request, Response

from api.pages.forms import PageRoute
from api.pages.rendering import page

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/ui/words")
def show_words(request: Request) -> Response:
    """All words, each under its own anchor: /ui/words#q-value."""
    return page(request, "glossary.html")
