"""Lists of jobs."""

from dataclasses import replace

from sqlalchemy.orm import Session

from service.db import jobs as queries
from service.domain.jobs import Job, JobFilter, JobStatus
from service.domain.pages import Page, Position
from service.domain.resources import ResourceKind
from service.usecases.checks import what_job_waits_for
from service.usecases.resources import find_resource


def list_jobs(
    session: Session, where: JobFilter, *, whole: bool = False, limit: int, after: Position | None
) -> Page[Job]:
    """Jobs, newest first, without their manifests unless they are to be whole.

    Raises NotFound for a model or probe set that there is not, with near matches.
    """
    if where.model is not None:
        find_resource(session, ResourceKind.MODEL, where.model, field="model")
    if where.probe_set is not None:
        find_resource(session, ResourceKind.PROBE_SET, where.probe_set, field="probe_set")

    page = queries.list_jobs(session, where, whole=whole, limit=limit, after=after)
    if not whole:
        return page
    return replace(page, items=tuple(_with_what_it_waits_for(session, job) for job in page.items))


def _with_what_it_waits_for(session: Session, job: Job) -> Job:
    if job.status is not JobStatus.QUEUED:
        return job
    return replace(job, waits_for=what_job_waits_for(session, job.id))
