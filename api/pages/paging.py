"""Pages of lists: the address of the next one."""

from fastapi import Request, Response

from api.pagination import next_cursor
from service.domain.pages import Position

PAGE_SIZE = 50


def next_page(request: Request, position: Position | None) -> str | None:
    """The address of the page behind that position, with the filters of this one; None where this is the last."""
    cursor = next_cursor(request, Response(), position)
    if cursor is None:
        return None
    address = request.url.include_query_params(cursor=cursor)
    return f"{address.path}?{address.query}"


def first_page(request: Request) -> str | None:
    """The address of the first page of the list, with the filters of this one; None where this is it."""
    if "cursor" not in request.query_params:
        return None
    address = request.url.remove_query_params("cursor")
    return f"{address.path}?{address.query}" if address.query else address.path
