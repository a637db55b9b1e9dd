"""`Prefer: wait=N`: answers that wait for the end of a job."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from api.preferences import preferred_wait
from api.waiting import LONGEST_WAIT_S
from service.db.jobs import move_job
from service.db.resources import save_inspection
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from service.errors import Unavailable
from tests.api.test_problems import problem
from tests.usecases.factories import neuron, queued_job, resource, succeeded_job

WAIT = {"Prefer": "wait=20"}


@pytest.fixture
def body(sessions: Sessions) -> dict[str, Any]:
    with transaction(sessions) as session:
        model = resource(session, ResourceKind.MODEL, "screening", checkpoint="/x", architecture="a", sha256="0")
        save_inspection(session, model.id, layers=[{"name": "blocks.0", "units": 8, "kind": "Conv2d"}])
        resource(session, ResourceKind.DISSECTOR, "reader", path="/x")
        resource(session, ResourceKind.PROBE_SET, "probes", images=120)
    names = {"target": "screening", "concept_set": "bi-rads", "probe_set": "probes", "dissector": "reader"}
    return {**names, "layers": ["blocks.0"]}


@pytest.mark.parametrize(
    ("preferences", "seconds"),
    [
        (["wait=5"], 5),
        (["respond-async, wait=10"], 10),
        (["respond-async", "Wait = 3 ; x=y"], 3),
        (['wait="7"'], 7),
        (["wait=5, wait=9"], 5),
        (["wait=3600"], LONGEST_WAIT_S),
        (["wait=0"], 0),
        (["wait=-1"], None),
        (["wait=soon"], None),
        (["waiting=5"], None),
        (["return=minimal"], None),
        ([], None),
    ],
)
def test_what_a_caller_prefers(preferences: list[str], seconds: int | None) -> None:
    assert preferred_wait(preferences, LONGEST_WAIT_S) == seconds


def ended_after_a_moment(sessions: Sessions, wait_for_job: Callable[[], UUID | None]) -> Thread:
    """A worker, as it were: the job ends while somebody waits for it."""

    def work() -> None:
        while (job_id := wait_for_job()) is None:
            time.sleep(0.05)
        time.sleep(0.6)
        with transaction(sessions) as session:
            assert move_job(session, job_id, JobStatus.RUNNING)
            assert move_job(session, job_id, JobStatus.SUCCEEDED, manifest={"device": "cpu"})

    thread = Thread(target=work)
    thread.start()
    return thread


def test_a_read_waits_for_the_end_of_the_job(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session).id
    worker = ended_after_a_moment(sessions, lambda: job)
    answer = client.get(f"/jobs/{job}", headers=WAIT)
    worker.join()
    assert answer.json()["status"] == "succeeded"
    assert answer.headers["preference-applied"] == "wait=20"


def test_a_post_answers_with_the_job_as_it_has_ended(
    client: TestClient, sessions: Sessions, body: dict[str, Any]
) -> None:
    def posted_job() -> UUID | None:
        items = client.get("/jobs").json()["items"]
        return UUID(items[0]["id"]) if items else None

    worker = ended_after_a_moment(sessions, posted_job)
    answer = client.post("/jobs", json=body, headers=WAIT)
    worker.join()
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "succeeded"
    assert answer.json() == client.get(answer.headers["location"]).json()
    assert answer.headers["preference-applied"] == "wait=20"
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_wait_that_is_over_answers_with_the_job_as_it_is(client: TestClient, body: dict[str, Any]) -> None:
    begun = time.monotonic()
    posted = client.post("/jobs", json=body, headers={"Prefer": "wait=1"})
    assert (posted.status_code, posted.json()["status"]) == (202, "queued")
    read = client.get(posted.headers["location"], headers={"Prefer": "wait=1"})
    assert (read.status_code, read.json()["status"]) == (200, "queued")
    assert read.headers["preference-applied"] == "wait=1"
    assert time.monotonic() - begun >= 2


def test_nobody_waits_who_does_not_ask_to_or_for_nothing(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        waiting, ended = queued_job(session).id, succeeded_job(session, [neuron(0, 1.0)])
    assert "preference-applied" not in client.get(f"/jobs/{waiting}").headers
    client.app.state.job_look.close()  # type: ignore[attr-defined] # nothing looks any more
    assert client.get(f"/jobs/{waiting}", headers={"Prefer": "wait=0"}).headers["preference-applied"] == "wait=0"
    assert client.get(f"/jobs/{ended}").json()["status"] == "succeeded"


def test_a_job_that_is_not_there_is_not_waited_for(client: TestClient) -> None:
    assert problem(client.get(f"/jobs/{uuid4()}", headers=WAIT), 404)["field"] == "job"
    assert problem(client.get("/jobs/nonsense", headers=WAIT), 422)["field"] == "job_id"


def test_a_refused_request_does_not_wait(client: TestClient, body: dict[str, Any]) -> None:
    assert problem(client.post("/jobs", json=body | {"target": "unknown"}, headers=WAIT), 404)["field"] == "target"


def test_a_job_is_answered_with_even_where_nobody_can_look_for_its_end(
    client: TestClient, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(_: object) -> None:
        raise Unavailable("The database cannot be reached.")

    monkeypatch.setattr(client.app.state.job_look, "ask", ask)  # type: ignore[attr-defined]
    answer = client.post("/jobs", json=body, headers=WAIT)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


def test_waiting_takes_no_place_of_the_gate(client: TestClient, sessions: Sessions) -> None:
    """More wait than there are places, and others are served meanwhile."""
    places = client.app.state.settings.requests_at_once  # type: ignore[attr-defined]
    with transaction(sessions) as session:
        jobs = [queued_job(session).id for _ in range(places + 4)]
    answers: list[int] = []

    def wait(job: UUID) -> None:
        answers.append(client.get(f"/jobs/{job}", headers={"Prefer": "wait=4"}).status_code)

    waiting = [Thread(target=wait, args=(job,)) for job in jobs]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)
    assert client.get("/jobs").status_code == 200
    assert answers == []
    for thread in waiting:
        thread.join()
    assert answers == [200] * len(jobs)
