"""`mammodissect jobs`: dissections that a service runs."""

from collections.abc import Generator
from contextlib import closing
from itertools import takewhile
from typing import Annotated, Any

import typer
from rich.console import Console

from cli.client import Answer, ServiceClient, ServiceError, path_of
from cli.nouns.answers import Answers, Column, cell
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, limit_of, noun, verb
from cli.progress import ProgressBars
from client import Event
from service.domain.jobs import JobStatus, Progress, Stage

jobs = noun("jobs", "Dissections: submit, list, show, watch, cancel, retry, logs.")

JobId = Annotated[str, typer.Argument(help="Id of the job.")]

_COLUMNS = (
    Column("job", "id"),
    Column("status", "status"),
    Column("target", "target"),
    Column("probe set", "probe_set"),
    Column("concept set", "concept_set"),
    Column("dissector", "dissector"),
    Column("asked for", "created_at"),
    Column("ended", "finished_at"),
)


@verb(jobs, "list")
def list_jobs(
    client: ServiceClient,
    answers: Answers,
    status: Annotated[
        list[JobStatus] | None, typer.Option(help="Only with this status; repeat it for any of several.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only on this model: `name` or `name@version`.")] = None,
    probe_set: Annotated[str | None, typer.Option(help="Only on this probe set.")] = None,
    created_after: Annotated[str | None, typer.Option(help="Only asked for later, as 2026-03-01T08:00:00Z.")] = None,
    created_before: Annotated[str | None, typer.Option(help="Only asked for earlier.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    everything: All = False,
) -> None:
    """List jobs in brief, newest first."""
    filters = {
        "status": status or None,
        "model": model,
        "probe_set": probe_set,
        "created_after": created_after,
        "created_before": created_before,
    }
    pages = client.pages("/jobs", filters, limit=limit_of(limit, everything=everything))
    answers.show_list(pages, _COLUMNS)


@verb(jobs, "show")
def show_job(client: ServiceClient, answers: Answers, job: JobId) -> None:
    """Show one job: its progress, what made its result, why it failed."""
    answers.show(client.get(path_of("jobs", job)))


@verb(jobs, "watch")
def watch_job(client: ServiceClient, answers: Answers, job: JobId) -> None:
    """Show a job's progress until it ends, then the job. Status 2 unless it succeeds."""
    finish(client, answers, job)


@verb(jobs, "cancel")
def cancel_job(client: ServiceClient, answers: Answers, job: JobId) -> None:
    """Cancel a job: waiting work never starts, running work stops within a batch."""
    answers.show(client.post(path_of("jobs", job, "cancel"), {}, repeatable=True))


@verb(jobs, "retry")
def retry_job(
    client: ServiceClient,
    answers: Answers,
    job: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it ends; status 2 unless it succeeds.")] = False,
) -> None:
    """Put a failed or dead job back into the queue. It continues where it stopped."""
    queued = client.post(path_of("jobs", job, "retry"), {})
    if wait:
        finish(client, answers, job)
    else:
        answers.show(queued)


@verb(jobs, "logs")
def show_logs(
    client: ServiceClient,
    answers: Answers,
    job: JobId,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the job has ended.")] = False,
) -> None:
    """Print what has happened to a job, a line each."""
    events = client.job_events(job) if follow else _history(client, job)
    with closing(events):
        for event in events:
            if event.id is not None:
                answers.stream(event.as_json(), _sentence(event))


def finish(client: ServiceClient, answers: Answers, job_id: str) -> None:
    """Show progress until the job ends, then the job. Raises ServiceError unless it succeeded."""
    with ProgressBars(Console(stderr=True, markup=False)) as bars, closing(client.job_events(job_id)) as events:
        for event in events:
            for stage in _known_stages(event):
                bars(Progress(Stage(stage["stage"]), stage["done"], stage["total"]))

    job = client.get(path_of("jobs", job_id))
    answers.show(job)
    if job["status"] != JobStatus.SUCCEEDED:
        raise _why(job)


def _known_stages(event: Event) -> list[Answer]:
    """The stages of which an event tells; a newer service may have others, too."""
    known = {stage.value for stage in Stage}
    return [stage for stage in event.data.get("progress", ()) if stage["stage"] in known]


def _why(job: Answer) -> ServiceError:
    problem = job["problem"] or {"detail": "Nothing more is known."}
    return ServiceError(
        f"Job {job['id']} ended {job['status']}. {problem['detail']}",
        field=problem.get("field"),
        value=problem.get("value"),
        remedy=problem.get("remedy"),
    )


def _history(client: ServiceClient, job_id: str) -> Generator[Event, None, None]:
    """What has happened so far. A stream begins with some of it, and then says how far the job is."""
    last_event_id = 0
    while True:
        with closing(client.events(path_of("jobs", job_id, "events"), last_event_id=last_event_id)) as stream:
            news = list(takewhile(lambda event: event.id is not None, stream))
        if not news:
            return

        yield from news
        last_event_id = news[-1].id or last_event_id


def _sentence(event: Event) -> str:
    fields: dict[str, Any] = {name: value for name, value in event.data.items() if name != "at"}
    words = " ".join(f"{name}={cell(value)}" for name, value in fields.items())
    return f"{event.data.get('at', '-')}  {event.kind}  {words}"
