"""Post, read, list and cancel dissection jobs."""

from collections.abc import AsyncIterable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy.orm import Session

from api.dependencies import QueueDep, ReadingsDep, RootsDep, SessionDep, SettingsDep
from api.job_events import check_job, job_stream
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.jobs import DissectionIn, JobBriefOut, JobIn, JobOut, StrataIn, StrataOut
from api.schemas.models import CheckpointIn
from api.targets import target_of
from service.domain.jobs import Job, JobStatus
from service.files import DataRoots
from service.ports import JobQueue
from service.usecases import jobs
from service.usecases.jobs import JobSubmission
from service.usecases.readings import Readings
from service.usecases.strata import StrataJobs, find_strata, on_part, submit_strata

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=OneThreadRoute)
events = APIRouter(prefix="/jobs", tags=["jobs"])
"""Streams: they take no place of the gate, and no thread and no connection of their own."""


IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=200)]


@router.post("", status_code=status.HTTP_202_ACCEPTED)
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
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[JobBriefOut]:
    """All jobs in brief, newest first. GET /jobs/{id} has their layers and manifests."""
    page = jobs.list_jobs(session, status=status, limit=limit, after=decode_cursor(cursor))
    items = [JobBriefOut.of(job) for job in page.items]
    return PageOut[JobBriefOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{job_id}")
def read_job(job_id: UUID, session: SessionDep) -> JobOut:
    """One job: status, progress per stage, what produced its result, why it failed."""
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
