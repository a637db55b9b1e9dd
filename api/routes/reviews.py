"""What readers say of labels: each by themselves, and blind to the others until they have judged."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response, status

from api.dependencies import CallerDep, SessionDep
from api.one_thread import LongReadingRoute, OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.reviews import ReviewIn, ReviewOut, ReviewSummaryOut, WorkListOut
from service.domain.review_lists import DEFAULT_SEED, Draw
from service.domain.reviews import Decision, ReviewFilter
from service.errors import InvalidInput
from service.usecases import review_lists, reviews

router = APIRouter(prefix="/jobs", tags=["reviews"], route_class=OneThreadRoute)
lists = APIRouter(prefix="/jobs", tags=["reviews"], route_class=LongReadingRoute)

Seed = Annotated[int, Query(ge=0, lt=2**31, description="Decides the order of the random draw.")]
_VERSION_TAG = re.compile(r'(?:"(\d{1,9})"|(\d{1,9}))')


@router.post(
    "/{job_id}/reviews",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": ReviewOut, "description": "The same review was current already"}},
)
def post_review(
    job_id: UUID,
    body: ReviewIn,
    session: SessionDep,
    caller: CallerDep,
    response: Response,
    if_match: Annotated[str | None, Header(max_length=40, description="Version of the review to replace.")] = None,
) -> ReviewOut:
    """Say what a neuron's label is worth. A later review replaces your earlier one, which is kept.

    409 where you have reviewed the neuron and `version` or `If-Match` does not name that review: it says which it is.
    The same review again is answered with the current one.
    """
    if body.reader not in {None, caller}:
        raise InvalidInput(
            f"The key belongs to '{caller}': nobody reviews under another's name.",
            field="reader",
            value=body.reader,
            remedy="Leave it out, or call with the reader's own key.",
        )
    review, is_new = reviews.submit_review(session, caller, job_id, body.submission(_version(body.version, if_match)))
    if not is_new:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = f"/jobs/{job_id}/reviews/{review.id}"
    response.headers["ETag"] = f'"{review.version}"'
    return ReviewOut.of(review)


@router.get("/{job_id}/reviews")
def list_reviews(
    job_id: UUID,
    session: SessionDep,
    caller: CallerDep,
    request: Request,
    response: Response,
    layer: Annotated[str | None, Query(max_length=200, description="Only of neurons of that layer.")] = None,
    unit: Annotated[int | None, Query(ge=0, lt=2**31, description="Only of units with that number.")] = None,
    reader: Annotated[str | None, Query(max_length=200, description="Only by that reader.")] = None,
    decision: Annotated[Decision | None, Query(description="Only with that decision.")] = None,
    disputed: Annotated[
        bool | None,
        Query(description="true: only of neurons whose readers differ, as far as you see. false: of others."),
    ] = None,
    history: Annotated[bool, Query(description="true: replaced reviews too.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[ReviewOut]:
    """The job's current reviews that you may see, newest first: your own, and others' where you have judged, too."""
    where = ReviewFilter(layer, unit, reader, decision, disputed, history)
    page = reviews.list_reviews(session, job_id, caller=caller, where=where, limit=limit, after=decode_cursor(cursor))
    items = [ReviewOut.of(review) for review in page.items]
    return PageOut[ReviewOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{job_id}/reviews/{review_id}")
def read_review(job_id: UUID, review_id: UUID, session: SessionDep, caller: CallerDep) -> ReviewOut:
    """One review that you may see, replaced or not."""
    return ReviewOut.of(reviews.find_review(session, job_id, review_id, caller=caller))


@lists.get("/{job_id}/review-list")
def read_review_list(
    job_id: UUID,
    session: SessionDep,
    caller: CallerDep,
    draw: Annotated[Draw, Query(description="How neurons are drawn.")] = Draw.RANDOM,
    count: Annotated[int, Query(ge=1, le=500, description="How many are drawn.")] = 50,
    seed: Seed = DEFAULT_SEED,
) -> WorkListOut:
    """Neurons for you to review: `count` are drawn, and those that you have reviewed are left out.

    The same seed draws the same neurons, so that readers can go through one list independently.
    """
    work_list = review_lists.draw_work_list(session, job_id, draw, reader=caller, count=count, seed=seed)
    return WorkListOut.of(job_id, work_list)


@lists.get("/{job_id}/review-summary")
def read_review_summary(
    job_id: UUID, session: SessionDep, caller: CallerDep, seed: Seed = DEFAULT_SEED
) -> ReviewSummaryOut:
    """What readers say, in numbers: how far they agree, and how often they accept names, beside the estimated error.

    `seed`: of the random draw that the readers went through.
    """
    return ReviewSummaryOut.of(job_id, review_lists.sum_up_reviews(session, job_id, caller=caller, seed=seed))


def _version(of_body: int | None, if_match: str | None) -> int | None:
    """The version that a review is to replace. Raises InvalidInput for a header that names none, or another."""
    if if_match is None:
        return of_body
    tag = _VERSION_TAG.fullmatch(if_match.strip())
    if tag is None:
        raise InvalidInput(
            "If-Match is no version of a review.",
            field="If-Match",
            value=if_match,
            remedy='Give the version that you saw, like "2", or leave it out for a first review.',
        )
    version = int(tag[1] or tag[2])
    if of_body not in {None, version}:
        raise InvalidInput(
            f"If-Match names version {version}, the body version {of_body}.",
            field="If-Match",
            value=if_match,
            remedy="Give one of them.",
        )
    return version
