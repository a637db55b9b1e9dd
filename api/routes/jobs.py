"""Post, read, list and cancel dissection jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response, status

from api.dependencies import QueueDep, SessionDep, SettingsDep
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas import CheckpointIn, JobIn, JobOut
from service.domain.jobs import JobStatus
from service.usecases import jobs
from service.usecases.resources import register_model

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("", status_code=status.HTTP_202_ACCEPTED)
def post_job(
    body: JobIn,
    session: SessionDep,
    queue: QueueDep,
    settings: SettingsDep,
    response: Response,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> JobOut:
    """Ask for a dissection. The answer comes at once; a worker does the work."""
    target = body.target
    if isinstance(target, CheckpointIn):
        target = register_model(
            session,
            queue,
            name=None,
            checkpoint=target.checkpoint,
            architecture=target.architecture,
            sha256=target.sha256,
            roots=settings.data_root_paths,
        )[0].reference
    job = jobs.submit_job(
        session,
        queue,
        body.submission(target),
        request=body.model_dump(mode="json"),
        idempotency_key=idempotency_key,
    )
    response.headers["Location"] = f"/jobs/{job.id}"
    return JobOut.of(job)


@router.get("")
def list_jobs(
    session: SessionDep,
    request: Request,
    response: Response,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[JobOut]:
    """All jobs, newest first."""
    page = jobs.list_jobs(session, status=status, limit=limit, after=decode_cursor(cursor, length=1))
    items = [JobOut.of(job) for job in page.items]
    return PageOut[JobOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{job_id}")
def read_job(job_id: UUID, session: SessionDep) -> JobOut:
    """One job: status, progress per stage, what made its result, why it failed."""
    return JobOut.of(jobs.find_job(session, job_id))


@router.post("/{job_id}/cancel")
def cancel_job(job_id: UUID, session: SessionDep) -> JobOut:
    """Cancel a job: at once while it waits, within one batch while it runs; 409 once it has ended."""
    return JobOut.of(jobs.cancel_job(session, job_id))
