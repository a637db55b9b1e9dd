"""Cursor pagination: an opaque cursor in the body and an RFC 8288 Link header."""

import base64
import json
from functools import cache
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel, TypeAdapter

from service.domain.pages import Position
from service.errors import InvalidInput

Item = TypeVar("Item", bound=BaseModel)

MOST_WHOLE = 20
"""Whole items on a page."""

Limit = Annotated[int, Query(ge=1, le=500, description="Items per page.")]
LimitOfFields = Annotated[
    int | None,
    Query(ge=1, le=500, description=f"Items per page. Left out: 50, or {MOST_WHOLE} whole ones, which are the most."),
]
FieldsChoice = Literal["brief", "full"]
Fields = Annotated[
    FieldsChoice,
    Query(description=f"`full`: whole items as each has for itself, {MOST_WHOLE} a page at most."),
]
Cursor = Annotated[str | None, Query(description="The `next` of the page before.", max_length=500)]


class PageOut(BaseModel, Generic[Item]):
    """One page of a list; `next` is the cursor of the following page, null on the last."""

    items: list[Item]
    next: str | None


def page_size(limit: int | None, fields: FieldsChoice) -> int:
    """How many items a page has. Raises InvalidInput for more whole ones than a page may have."""
    if fields == "brief":
        return 50 if limit is None else limit
    if limit is not None and limit > MOST_WHOLE:
        raise InvalidInput(
            f"A page has at most {MOST_WHOLE} whole items.",
            field="limit",
            value=limit,
            remedy=f"Ask for at most {MOST_WHOLE} and follow `next`, or leave out `fields=full`.",
        )
    return MOST_WHOLE if limit is None else limit


def decode_cursor(cursor: str | None, kind: type[Position] = tuple[UUID]) -> Position | None:
    """Cursor -> position. kind: the type of the list's positions.

    Raises InvalidInput for anything that cannot be a position of that list.
    """
    if cursor is None:
        return None

    try:
        values = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        return _positions(kind).validate_python(values)
    except ValueError:
        raise InvalidInput(
            "That cursor did not come from this list.",
            field="cursor",
            value=cursor,
            remedy="Start without a cursor and follow `next`.",
        ) from None


def next_cursor(request: Request, response: Response, position: Position | None) -> str | None:
    """Position -> cursor, and the Link header that leads to the next page."""
    if position is None:
        return None
    cursor = base64.urlsafe_b64encode(json.dumps(position).encode()).decode("ascii")
    response.headers["Link"] = f'<{request.url.include_query_params(cursor=cursor)}>; rel="next"'
    return cursor


@cache
def _positions(kind: type[Position]) -> TypeAdapter[Position]:
    return TypeAdapter(kind)
