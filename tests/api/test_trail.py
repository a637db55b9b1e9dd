"""Every call that may change something leaves exactly one entry in the trail, whichever route it takes."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient

from api.dependencies import SessionDep, check_one_thread, check_recorded, recorded
from api.one_thread import OneThreadRoute
from api.trail import READING
from service.db.session import Sessions, transaction
from service.domain.digests import digest_of
from service.domain.jobs import JobStatus
from service.domain.trail import SCHEDULER, check_chain
from service.usecases.trail import record
from service.usecases.work import begin_item, reap
from tests.api.changing_calls import CALLS, Caller, trail
from tests.api.test_problems import problem
from tests.usecases.factories import queued_job, taken

IT = {"Authorization": "Bearer second"}


@pytest.fixture
def caller(client: TestClient, sessions: Sessions, data_root: Path) -> Caller:
    return Caller(client, sessions, data_root)


def mutating(document: dict[str, Any]) -> set[str]:
    return {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
        if method.upper() not in READING
    }


def test_these_calls_are_all_that_may_change_something(client: TestClient) -> None:
    assert set(CALLS) == mutating(client.get("/openapi.json").json())


@pytest.mark.parametrize("operation", CALLS)
def test_each_leaves_exactly_one_entry(caller: Caller, operation: str) -> None:
    response = CALLS[operation](caller)
    assert response.is_success, response.text
    (entry,) = trail(caller.sessions)
    actor = "registry" if operation == "POST /registry-events" else "api"
    assert (entry.actor, entry.action) == (actor, operation)
    sent = response.request.content
    assert entry.request == (hashlib.sha256(sent).hexdigest() if sent else None)
    location = response.headers.get("location")
    subject = str(entry.subject)
    assert subject.endswith(location) if location else response.request.url.path.startswith(subject)
    again = caller.client.request(response.request.method, response.request.url.path, content=sent, headers={
        "Content-Type": "application/json"})  # fmt: skip
    assert len(trail(caller.sessions)) == 1 + again.is_success, "a repeat is a call too, unless it is refused"
    assert check_chain(trail(caller.sessions)).fault is None


def test_the_entry_says_what_became_of_what(caller: Caller) -> None:
    response = caller.post("/concept-sets", {"name": "c", "concepts": ["mass"]})
    job = caller.job()
    caller.post(f"/jobs/{job}/cancel")
    original = caller.job(JobStatus.SUCCEEDED)
    replayed = caller.post(f"/jobs/{original}/replay").json()["id"]
    registered, cancelled, replay = trail(caller.sessions)
    assert (registered.subject, registered.before) == ("/concept-sets/c@1", None)
    assert registered.after == response.json()["digest"]
    assert (cancelled.subject, cancelled.request) == (f"/jobs/{job}", None)
    assert cancelled.before == digest_of({"status": "queued"})
    assert cancelled.after == digest_of({"status": "cancelled"})
    assert replay.subject == f"/jobs/{original} -> /jobs/{replayed}"


def test_what_is_refused_and_what_only_reads_leaves_none(caller: Caller) -> None:
    client = caller.client
    job = caller.job(JobStatus.SUCCEEDED)
    for path in ("/jobs", f"/jobs/{job}", "/concept-sets", "/concept-sets/bi-rads", "/health/ready", "/models"):
        assert client.get(path).is_success
    problem(client.post(f"/jobs/{job}/cancel"), 409)
    problem(client.post("/models/none/inspect"), 404)
    problem(client.post("/concept-sets", json={"name": "No Name", "concepts": ["mass"]}), 422)
    problem(client.post("/concept-sets", content="{"), 422)
    problem(client.post("/concept-sets", json={"name": "c", "concepts": ["m"]}, headers={"Authorization": ""}), 401)
    assert trail(caller.sessions) == []


def test_a_call_that_crashes_leaves_none(named: FastAPI, sessions: Sessions) -> None:
    router = APIRouter(route_class=OneThreadRoute)

    @router.post("/crash")
    def crash(session: SessionDep) -> None:
        record(session, actor="a", action="b", subject="c")
        raise RuntimeError

    named.include_router(router)
    with TestClient(named, headers=IT, raise_server_exceptions=False) as client:
        problem(client.post("/crash"), 500)
    assert trail(sessions) == []


def test_a_route_that_nobody_thought_of_is_recorded_too(named: FastAPI, sessions: Sessions) -> None:
    router = APIRouter(prefix="/things", route_class=OneThreadRoute)

    @router.put("/{thing}/parts/{part}/turn")
    async def turn(thing: str, part: int, body: dict[str, Any]) -> None:
        """Without a session of its own."""

    @router.delete("/{thing}")
    def remove(thing: str, session: SessionDep) -> None:
        record(session, actor="the use case", action="remove", subject=thing, before="0" * 64)

    named.include_router(router, dependencies=[Depends(recorded)])
    check_recorded(named)
    with TestClient(named, headers=IT) as client:
        client.put("/things/a%20b/parts/7/turn", json={})
        client.request("DELETE", "/things/c", content=b"why")
    first, second = trail(sessions)
    assert (first.actor, first.action) == ("it", "PUT /things/{thing}/parts/{part}/turn")
    assert first.subject == "/things/a%20b/parts/7"
    assert (second.actor, second.action, second.subject) == ("the use case", "remove", "c")
    assert second.request == hashlib.sha256(b"why").hexdigest(), "the use case's own entry is the call's"


def test_a_route_that_would_not_be_recorded_is_refused_at_the_start(named: FastAPI) -> None:
    router = APIRouter()

    @router.post("/silent")
    def silent() -> None:
        """Changes something without a session."""

    @router.get("/loud")
    def loud() -> None:
        """Reads."""

    named.include_router(router)
    with pytest.raises(TypeError, match="/silent changes things without a trail"):
        check_recorded(named)


def test_a_route_that_could_wait_for_a_second_thread_is_refused_at_the_start(named: FastAPI) -> None:
    def in_a_thread() -> None:
        """What FastAPI would send to another thread."""

    waiting, blocking = APIRouter(route_class=OneThreadRoute), APIRouter()
    waiting.add_api_route("/waiting", lambda: None, dependencies=[Depends(in_a_thread)])
    blocking.add_api_route("/blocking", lambda: None, dependencies=[Depends(recorded)])

    for router, message in ((waiting, "/waiting is no coroutine"), (blocking, "/blocking has a session")):
        app = FastAPI()
        app.include_router(router)
        with pytest.raises(TypeError, match=message):
            check_one_thread(app)
    check_one_thread(named)


def test_the_scheduler_acts_under_its_name(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session)
        lease = taken(session, lease=timedelta(microseconds=1))
        assert lease is not None
        begin_item(session, lease)
    reap(sessions, max_attempts=1)
    (entry,) = trail(sessions)
    assert (entry.actor, entry.action, entry.subject) == (SCHEDULER, "give up job", f"/jobs/{job.id}")
    assert entry.after == digest_of({"status": "dead"})
