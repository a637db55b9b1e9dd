"""Dissections side by side."""

from uuid import UUID

from fastapi import APIRouter, Request, Response, status

from api.dependencies import SessionDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.comparisons import ComparisonBriefOut, ComparisonIn, ComparisonOut
from service.usecases import comparisons

router = APIRouter(prefix="/comparisons", tags=["comparisons"], route_class=OneThreadRoute)


@router.post("", status_code=status.HTTP_201_CREATED)
def post_comparison(body: ComparisonIn, session: SessionDep, response: Response) -> ComparisonOut:
    """Compare succeeded jobs with the first of them. Posting the same jobs again returns that comparison with 200.

    409 if they differ in dissector, probe set, concept set, method or evidence, naming what differs.
    """
    comparison, new = comparisons.compare_jobs(session, body.jobs)
    response.headers["Location"] = f"/comparisons/{comparison.id}"
    if not new:
        response.status_code = status.HTTP_200_OK
    return ComparisonOut.of(comparison)


@router.get("")
def list_comparisons(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[ComparisonBriefOut]:
    """All comparisons, newest first, without their results."""
    page = comparisons.list_comparisons(session, limit=limit, after=decode_cursor(cursor))
    items = [ComparisonBriefOut.model_validate(comparison, from_attributes=True) for comparison in page.items]
    return PageOut[ComparisonBriefOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{comparison_id}")
def read_comparison(comparison_id: UUID, session: SessionDep) -> ComparisonOut:
    """One comparison with its results."""
    return ComparisonOut.of(comparisons.find_comparison(session, comparison_id))
