"""`mammodissect jobs` against a real service, with a stand-in for the worker and for a proxy that loses answers."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.db.events import add_event
from service.db.jobs import move_job
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from tests.api.wire import listening
from tests.cli.conftest import Run
from tests.cli.nouns.conftest import Ask
from tests.usecases.factories import RecordingQueue, queued_job

PROBLEM = {"code": "x", "title": "X", "detail": "It has no weights.", "remedy": "Add them."}


class EndingQueue(RecordingQueue):
    """A queue whose worker ends every job at once."""

    def __init__(self, sessions: Sessions, status: JobStatus) -> None:
        super().__init__()
        self._sessions = sessions
        self._status = status

    def publish(self, task: str, identifier: UUID) -> None:
        super().publish(task, identifier)
        values: dict[str, Any] = {"manifest": {}} if self._status is JobStatus.SUCCEEDED else {"problem": PROBLEM}
        with transaction(self._sessions) as session:
            move_job(session, identifier, JobStatus.RUNNING)
            move_job(session, identifier, self._status, **values)


class LosingProxy:
    """What answers 502 or 503 in place of the application, which has heard the request or not, some times."""

    def __init__(self, app: ASGIApp, *, status: int, heard: bool, times: int = 1) -> None:
        self._app = app
        self._status = status
        self._heard = heard
        self.times = times
        self.keys: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/jobs" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return

        self.keys += [value for name, value in scope["headers"] if name == b"idempotency-key"]
        if self.times == 0:
            await self._app(scope, receive, send)
            return

        self.times -= 1
        if self._heard:
            await self._app(scope, receive, _nowhere)
        headers = [(b"content-length", b"0"), (b"retry-after", b"0")]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


async def _nowhere(_: Message) -> None: ...


def options(body: dict[str, Any]) -> Iterator[str]:
    """The options that ask for that job."""
    for name, value in body.items():
        yield f"--{name.replace('_', '-')}"
        yield ",".join(value) if isinstance(value, list) else value


def test_a_job_is_submitted_with_what_the_options_say(ask: Ask, client: httpx.Client, body: dict[str, Any]) -> None:
    job = ask(
        *("jobs", "submit", *options(body), "--top-k", "12", "--template", "a {}", "--draws", "0"),
        *("--batch-size", "4", "--priority", "3", "--purpose", "clinical"),
    )
    assert job == client.get(f"/jobs/{job['id']}").json() == ask("jobs", "show", job["id"])
    assert job["layers"] == ["blocks.1", "blocks.2"]
    assert (job["method"]["top_k"], job["method"]["prompts"]["templates"]) == (12, ["a {}"])
    assert (job["evidence"]["draws"], job["batch_size"], job["priority"], job["purpose"]) == (0, 4, 3, "clinical")


def test_a_file_with_the_request_and_options_upon_it(
    ask: Ask, body: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("request") / "job.json"
    file.write_text(json.dumps({**body, "method": {"similarity": "wpmi", "lam": 0.5}, "queue": "east"}))
    job = ask("jobs", "submit", "--body", str(file), "--top-k", "11", "--layers", "all")
    assert (job["method"]["similarity"], job["method"]["lam"], job["method"]["top_k"]) == ("wpmi", 0.5, 11)
    assert (job["queue"], job["layers"]) == ("east", "all")


def test_the_same_key_is_the_same_job(ask: Ask, body: dict[str, Any]) -> None:
    first, again, other = (
        ask("jobs", "submit", *options(body), *more)["id"]
        for more in (["--idempotency-key", "a"], ["--idempotency-key", "a"], [])
    )
    assert first == again != other


@pytest.mark.parametrize(("status", "heard"), [(502, True), (504, True), (503, False), (502, False)])
def test_a_lost_answer_makes_no_second_job(
    application: FastAPI,
    run: Run,
    url: str,
    client: httpx.Client,
    body: dict[str, Any],
    status: int,
    heard: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("client.retries._FIRST_S", 0.01)
    proxy = LosingProxy(application, status=status, heard=heard, times=2)
    with listening(proxy) as port:  # type: ignore[arg-type]  # uvicorn takes any ASGI application
        done = run("jobs", "submit", *options(body), "--json", "--url", f"http://127.0.0.1:{port}")
    assert done.status == 0, done.stderr
    assert [job["id"] for job in client.get("/jobs").json()["items"]] == [json.loads(done.stdout)["id"]]
    assert len(proxy.keys) == 3
    assert len(set(proxy.keys)) == 1


def test_patience_ends(
    application: FastAPI, run: Run, url: str, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.retries._FIRST_S", 0.01)
    monkeypatch.setattr("cli.connection.PATIENCE_S", 0.2)
    with listening(LosingProxy(application, status=504, heard=False, times=1000)) as port:  # type: ignore[arg-type]
        done = run("jobs", "submit", *options(body), "--url", f"http://127.0.0.1:{port}")
    assert (done.status, done.stderr) == (
        2,
        "mammodissect: The service is not available at the moment: 504 Gateway Timeout.\n",
    )


@pytest.mark.parametrize(
    ("status", "expected"), [(JobStatus.SUCCEEDED, 0), (JobStatus.FAILED, 2), (JobStatus.CANCELLED, 2)]
)
def test_waiting_ends_with_the_job(
    application: FastAPI, sessions: Sessions, run: Run, url: str, body: dict[str, Any], status: JobStatus, expected: int
) -> None:
    application.state.queue = EndingQueue(sessions, status)
    done = run("jobs", "submit", *options(body), "--wait", "--json")
    job = json.loads(done.stdout)
    assert (done.status, job["status"]) == (expected, status)
    if status is JobStatus.FAILED:
        assert done.stderr.splitlines()[-1] == (
            f"mammodissect: Job {job['id']} ended failed. It has no weights. Add them."
        )

    watched = run("jobs", "watch", job["id"], "--json")
    assert (watched.status, json.loads(watched.stdout)) == (expected, job)


def test_jobs_are_cancelled_and_tried_again(
    application: FastAPI, sessions: Sessions, ask: Ask, run: Run, body: dict[str, Any]
) -> None:
    waiting = ask("jobs", "submit", *options(body))["id"]
    assert ask("jobs", "cancel", waiting)["status"] == "cancelled"
    refused = run("jobs", "retry", waiting)
    assert (refused.status, refused.stderr.count("\n")) == (2, 1)

    application.state.queue = EndingQueue(sessions, JobStatus.FAILED)
    failed = ask("jobs", "submit", *options(body), "--idempotency-key", "other")["id"]
    application.state.queue = EndingQueue(sessions, JobStatus.SUCCEEDED)
    done = run("jobs", "retry", failed, "--wait", "--json")
    assert (done.status, json.loads(done.stdout)["status"]) == (0, "succeeded"), done.stderr


def test_the_logs_are_the_jobs_events(url: str, run: Run, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session).id
        for number in range(600):
            add_event(session, job, "item", {"number": number})
    done = run("jobs", "logs", str(job), "--json")
    assert done.status == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["data"]["number"] for event in events if event["event"] == "item"] == list(range(600))
    assert [event["data"]["status"] for event in events if event["event"] == "status"] == ["queued"]
    assert len({event["id"] for event in events}) == len(events)
    assert "item  number=599" in run("jobs", "logs", str(job)).stdout

    with transaction(sessions) as session:
        move_job(session, job, JobStatus.CANCELLED)
    followed = run("jobs", "logs", str(job), "--follow").stdout.splitlines()
    assert followed[-1].endswith("status  status=cancelled")
