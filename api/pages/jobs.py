"""Jobs, and one job: how far it is, what made it, what it has found."""

from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import QueueDep, SessionDep
from api.pages.forms import PageRoute, see_other
from api.pages.navigation import Navigation
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from service.domain.jobs import ENDED, Job, JobFilter, JobStatus, Stage
from service.domain.layers import words_of_layers
from service.errors import InvalidInput
from service.reports.provenance import manifest_lines, method_words, weights_words
from service.usecases import jobs
from service.usecases.job_lists import list_jobs

Status = Annotated[str, Query(max_length=40)]
Model = Annotated[str, Query(max_length=80)]

router = APIRouter(include_in_schema=False, route_class=PageRoute)

STAGES = {
    Stage.LOAD: ("Opening the networks", "files"),
    Stage.PROBE: ("Showing images", "images"),
    Stage.SCORE: ("Naming layers", "layers"),
    Stage.STORE: ("Storing the result", "results"),
}
"""Each stage in words, and what it counts."""


@router.get("/ui/jobs")
def show_jobs(
    request: Request, session: SessionDep, status: Status = "", model: Model = "", cursor: Cursor = None
) -> Response:
    """Jobs, newest first. status, model: empty for all, as a form sends them."""
    wanted = _status(status)
    where = JobFilter(model=model or None, statuses=None if wanted is None else (wanted,))
    listed = list_jobs(session, where, limit=PAGE_SIZE, after=decode_cursor(cursor))
    return page(
        request,
        "jobs.html",
        jobs=listed.items,
        statuses=list(JobStatus),
        status=wanted,
        model=model,
        stages=STAGES,
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/jobs/{job_id}")
def show_job(request: Request, job_id: UUID, session: SessionDep) -> Response:
    """One job."""
    job = jobs.find_job(session, job_id)
    manifest = {name: value for name, value in (job.manifest or {}).items() if name != "evidence"}
    options = job.request.options
    return page(
        request,
        "job.html",
        job=job,
        asked_for=job.request,
        stages=STAGES,
        has_ended=job.status in ENDED,
        layers="all blocks" if options.layers is None else words_of_layers(options.layers),
        layers_asked=None if options.layers_asked is None else words_of_layers(options.layers_asked),
        method_words=method_words(options.method),
        weights=weights_words(job.manifest),
        manifest=manifest_lines(manifest),
        another=_another(job),
        links=_links(request.app.state.navigation, job),
    )


@router.post("/ui/jobs/{job_id}/cancel")
def cancel(job_id: UUID, session: SessionDep, response: Response) -> Response:
    """End a job. Raises NotFound, and Conflict where it has ended."""
    jobs.cancel_job(session, job_id)
    return see_other(response, f"/ui/jobs/{job_id}")


@router.post("/ui/jobs/{job_id}/retry")
def retry(job_id: UUID, session: SessionDep, queue: QueueDep, response: Response) -> Response:
    """Put a failed or dead job back into the queue. Raises NotFound, and Conflict for any other."""
    jobs.retry_job(session, queue, job_id)
    return see_other(response, f"/ui/jobs/{job_id}")


@router.post("/ui/jobs/{job_id}/replay")
def replay(job_id: UUID, session: SessionDep, queue: QueueDep, response: Response) -> Response:
    """Compute a result again, and go to the job that does. Raises NotFound, Conflict, PartRefused."""
    job = jobs.replay_job(session, queue, job_id)
    return see_other(response, f"/ui/jobs/{job.id}", made=f"/jobs/{job.id}")


def _status(word: str) -> JobStatus | None:
    """The status that was asked for; None for an empty word. Raises InvalidInput for another."""
    if not word:
        return None
    try:
        return JobStatus(word)
    except ValueError:
        remedy = f"Choose one of {', '.join(JobStatus)}."
        raise InvalidInput("There is no such status.", field="status", value=word, remedy=remedy) from None


def _links(navigation: Navigation, job: Job) -> dict[str, str]:
    """Where a result is read: the page, or what the API says where there is no page."""
    apis = {
        "layers": f"/layers?job={job.id}",
        "coverage": f"/jobs/{job.id}/coverage",
        "watch_list": f"/jobs/{job.id}/watch-list",
    }
    return {
        name: f"/ui/jobs/{job.id}/{name.replace('_', '-')}"
        if navigation.serves(f"/ui/jobs/{{}}/{name.replace('_', '-')}")
        else path
        for name, path in apis.items()
    }


def _another(job: Job) -> str:
    """The address of a form for a job with the same parts."""
    request = job.request
    parts = {
        "model": request.target,
        "dissector": request.dissector,
        "probe_set": request.probe_set if request.part is None else request.part.probe_set,
        "concept_set": request.concept_set,
    }
    return f"/ui/jobs/new?{urlencode(parts)}"
