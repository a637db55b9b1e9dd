"""Compare: choose two to eight dissections, and have them compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api.dependencies import SessionDep
from api.pages.checked import checked
from api.pages.forms import FormDep, PageRoute, see_other
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from api.schemas.comparisons import ComparisonIn
from service.domain.jobs import Job, JobFilter, JobStatus
from service.errors import Conflict, DissectError, NotFound
from service.usecases import comparisons, jobs
from service.usecases.job_lists import list_jobs

router = APIRouter(include_in_schema=False, route_class=PageRoute)

COMPARE = "/ui/compare"
_MOST_ASKED = 50
_SUCCEEDED = JobFilter(statuses=(JobStatus.SUCCEEDED,))
_SAME = ("dissector", "probe_set", "concept_set")


@dataclass(frozen=True, slots=True)
class ChosenJob:
    """A dissection that was chosen."""

    job: Job
    without: str
    """The page without it."""
    as_reference: str
    """The page with it as the first."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A dissection that could be chosen."""

    job: Job
    chosen: bool
    differs_in: tuple[str, ...]
    """In which parts it differs from the reference, so that the two cannot be compared."""


@router.get(COMPARE)
def show_choice(
    request: Request,
    session: SessionDep,
    job: Annotated[list[UUID], Query(max_length=_MOST_ASKED)] = [],  # noqa: B006 - FastAPI makes a new one each time
    cursor: Cursor = None,
) -> Response:
    """The dissections that were chosen, whether they can be compared, and those that could be. Raises NotFound."""
    chosen_ids = list(dict.fromkeys(job))
    chosen = [jobs.find_job(session, job_id) for job_id in chosen_ids]
    listed = list_jobs(session, _SUCCEEDED, limit=PAGE_SIZE, after=decode_cursor(cursor))
    reference = chosen[0] if chosen else None

    return page(
        request,
        "compare.html",
        chosen=[_chosen(found, chosen_ids) for found in chosen],
        problem=_problem(session, chosen_ids),
        candidates=[Candidate(found, found.id in chosen_ids, _differences(reference, found)) for found in listed.items],
        most=comparisons.MOST,
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.post(COMPARE)
def compare(form: FormDep, session: SessionDep, response: Response) -> Response:
    """Compare the dissections with the first of them.

    Raises InvalidInput unless there are 2 to 8, NotFound, and Conflict for dissections that cannot be compared.
    """
    wanted = checked(ComparisonIn, {"jobs": form.texts("job")})
    comparison, _ = comparisons.compare_jobs(session, wanted.jobs)
    return see_other(response, f"/ui/comparisons/{comparison.id}", made=f"/comparisons/{comparison.id}")


def _chosen(job: Job, chosen_ids: Sequence[UUID]) -> ChosenJob:
    others = [chosen for chosen in chosen_ids if chosen != job.id]
    return ChosenJob(job, without=_address(others), as_reference=_address([job.id, *others]))


def _address(job_ids: Sequence[UUID]) -> str:
    query = urlencode([("job", str(job_id)) for job_id in job_ids])
    return f"{COMPARE}?{query}" if query else COMPARE


def _problem(session: Session, job_ids: Sequence[UUID]) -> DissectError | None:
    """What keeps the chosen dissections from being compared; None where nothing does, or too few are chosen."""
    if not 2 <= len(job_ids) <= comparisons.MOST:
        return None
    try:
        comparisons.comparable_jobs(session, job_ids)
    except (Conflict, NotFound) as problem:
        return problem
    return None


def _differences(reference: Job | None, job: Job) -> tuple[str, ...]:
    if reference is None:
        return ()
    return tuple(
        part.replace("_", " ") for part in _SAME if getattr(reference.request, part) != getattr(job.request, part)
    )
