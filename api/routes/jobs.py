"""Post, read, list and cancel dissection jobs."""

from collections.abc import AsyncIterable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep, SettingsDep
from api.job_events import check_job, job_stream
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Fields, LimitOfFields, PageOut, decode_cursor, next_cursor, page_size
from api.schemas.jobs import DissectionIn, JobBriefOut, JobIn, JobOut, StrataIn, StrataOut
from api.schemas.models import CheckpointIn
from api.tags import tag
from api.targets import target_of
from api.waiting import WaitingRoute, prefers
from service.domain.jobs import Job, JobFilter, JobStatus
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases import jobs
from service.usecases.job_lists import list_jobs as list_of_jobs
from service.usecases.jobs import JobSubmission
from service.usecases.readings import Readings
from service.usecases.strata import StrataJobs, find_strata, on_part, submit_strata

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=OneThreadRoute)
waiting = APIRouter(prefix="/jobs", tags=["jobs"], route_class=WaitingRoute, dependencies=[Depends(prefers)])
events = APIRouter(prefix="/jobs", tags=["jobs"])
"""Streams: they take no place of the gate, and no thread and no connection of their own."""


_ENDED = "It has ended within the time that `Prefer` gave it."

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200)]


@waiting.post("", status_code=status.HTTP_202_ACCEPTED, responses={200: {"model": JobOut, "description": _ENDED}})
def post_job(
    body: JobIn,
    session: SessionDep,
    queue: QueueDep,
    settings: SettingsDep,
    roots: RootsDep,
    readings: ReadingsDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobOut:
    """Start a dissection. The answer comes at once; a worker runs the dissection.

    409 `purpose-not-allowed` if a part may not be used for the job's purpose and nothing overrides that. 422
    `too-few-images` where `where` leaves fewer than 10 units that count as independent.
    """

    def choose_part(submission: JobSubmission) -> JobSubmission:
        return submission if body.where is None else on_part(session, submission, body.where, roots, readings)

    def submit() -> Job:
        return jobs.submit_job(
            session,
            queue,
            body.submission(_target(body, session, queue, roots, readings), settings),
            request=body.as_asked(),
            idempotency_key=idempotency_key,
            choose_part=choose_part,
        )

    job = readings.complete(session, submit)
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobOut.of(job)


@router.post("/strata", status_code=status.HTTP_202_ACCEPTED)
def post_strata(
    body: StrataIn,
    session: SessionDep,
    queue: QueueDep,
    settings: SettingsDep,
    roots: RootsDep,
    readings: ReadingsDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> StrataOut:
    """Start a dissection on each of several parts of a probe set, all with one method so that they can be compared.

    422 `too-few-images` where a part has fewer than 10 units that count as independent; then no job is started.
    """

    def submit() -> StrataJobs:
        return submit_strata(
            session,
            queue,
            body.submission(_target(body, session, queue, roots, readings), settings),
            body.strata,
            request=body.as_asked(),
            roots=roots,
            readings=readings,
            idempotency_key=idempotency_key,
        )

    strata = readings.complete(session, submit)
    response.headers["Location"] = f"/jobs/strata/{strata.id}"
    return StrataOut.of(strata)


@router.get("/strata/{strata_id}")
def read_strata(strata_id: UUID, session: SessionDep) -> StrataOut:
    """The jobs of one request for several parts of a probe set as they stand now, and their comparison if any."""
    return StrataOut.of(find_strata(session, strata_id))


@router.get("")
def list_jobs(
    session: SessionDep,
    request: Request,
    response: Response,
    model: Annotated[
        str | None,
        Query(max_length=80, description="Only jobs on this target: `name`, any version, or `name@version`."),
    ] = None,
    probe_set: Annotated[
        str | None,
        Query(
            max_length=80, description="Only jobs on this probe set: `name` or `name@version`. A part is one itself."
        ),
    ] = None,
    status: Annotated[
        list[JobStatus] | None,
        Query(description="Only jobs with this status; repeated: with any of these.", max_length=len(JobStatus)),
    ] = None,
    created_after: Annotated[
        AwareDatetime | None, Query(description="Only jobs posted later.", examples=["2026-03-01T08:00:00Z"])
    ] = None,
    created_before: Annotated[AwareDatetime | None, Query(description="Only jobs posted earlier.")] = None,
    fields: Fields = "brief",
    limit: LimitOfFields = None,
    cursor: Cursor = None,
) -> PageOut[JobBriefOut] | PageOut[JobOut]:
    """All jobs in brief, newest first. GET /jobs/{id} has their layers and manifests, as `fields=full` has."""
    where = JobFilter(model, probe_set, status, created_after, created_before)
    size, after = page_size(limit, fields), decode_cursor(cursor)
    page = list_of_jobs(session, where, whole=fields == "full", limit=size, after=after)
    next_page = next_cursor(request, response, page.next_position)
    if fields == "full":
        return PageOut[JobOut](items=[JobOut.of(job) for job in page.items], next=next_page)
    return PageOut[JobBriefOut](items=[JobBriefOut.of(job) for job in page.items], next=next_page)


@waiting.get("/{job_id}")
def read_job(job_id: UUID, session: SessionDep, request: Request) -> JobOut:
    """One job: status, progress per stage, what produced its result, why it failed."""
    end = jobs.find_end(session, job_id)
    if end is not None:
        tag(request, job_id, *end)
    return JobOut.of(jobs.find_job(session, job_id))


@router.post("/{job_id}/cancel")
def cancel_job(job_id: UUID, session: SessionDep) -> JobOut:
    """Cancel a job: waiting work never starts, running work stops within a batch. 409 if the job has already ended."""
    return JobOut.of(jobs.cancel_job(session, job_id))


@router.post("/{job_id}/retry", status_code=status.HTTP_202_ACCEPTED)
def retry_job(job_id: UUID, session: SessionDep, queue: QueueDep) -> JobOut:
    """Put a failed or dead job back into the queue. It continues where it stopped. 409 for any other job."""
    return JobOut.of(jobs.retry_job(session, queue, job_id))


@router.post("/{job_id}/replay", status_code=status.HTTP_202_ACCEPTED)
def replay_job(job_id: UUID, session: SessionDep, queue: QueueDep, response: Response) -> JobOut:
    """Compute a succeeded job's result again from scratch; the new job's manifest says whether it is bit-identical."""
    job = jobs.replay_job(session, queue, job_id)
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobOut.of(job)


async def _check_job(job_id: UUID, request: Request) -> None:
    await check_job(request.app.state.job_look, job_id)


# The check comes before the stream begins: after that, no error can be answered any more.
@events.get("/{job_id}/events", response_class=EventSourceResponse, dependencies=[Depends(_check_job)])
async def follow_job(
    job_id: UUID, request: Request, last_event_id: Annotated[int, Header(ge=0, lt=2**63)] = 0
) -> AsyncIterable[ServerSentEvent]:
    """The job's history as server-sent events, until it ends.

    `status`, `item`, `accident` and `artifact-lost` events have ids: a client that reconnects with `Last-Event-ID`
    gets what it has missed. `progress` events in between have none: they carry the job's progress as it is now.
    """
    async for event in job_stream(request.app.state.job_look, job_id, last_event_id):
        yield event


def _target(body: DissectionIn, session: Session, queue: JobQueue, roots: DataRoots, readings: Readings) -> str:
    """The registered target that the body names, or registers."""
    if isinstance(body.target, CheckpointIn):
        return target_of(session, queue, roots, body.target, readings=readings).reference
    return body.target
