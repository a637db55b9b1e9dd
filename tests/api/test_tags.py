"""Entity tags of results: 304 for whoever has the answer, without the work for another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api import tags
from service.db.jobs import move_job
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.usecases import evidence, neurons, reports
from tests.usecases.factories import judged_neuron, neuron, queued_job, succeeded_job

LAYER = "blocks.0"

PATHS = [
    "/jobs/{job}",
    "/layers?job={job}",
    "/layers?model=screening",
    "/neurons?job={job}",
    "/neurons?job={job}&fields=full",
    "/neurons?job={job}&format=csv",
    "/neurons/{layer}?job={job}&sort=unit",
    "/neurons/{layer}/0?job={job}",
    "/jobs/{job}/coverage",
    "/jobs/{job}/watch-list",
    "/jobs/{job}/report",
    "/jobs/{job}/report?format=json",
    "/jobs/{job}/export?format=json",
]


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    with transaction(sessions) as session:
        judged = [judged_neuron(neuron(unit, 1.0 + unit), p=0.001, q=0.01, z=3.0) for unit in range(3)]
        return succeeded_job(session, judged, layer=LAYER)


def url(path: str, job: UUID) -> str:
    return path.format(job=job, layer=LAYER)


def ask(client: TestClient, path: str, entity_tag: str, **headers: str) -> Any:
    return client.get(path, headers={"If-None-Match": entity_tag, **headers})


@pytest.mark.parametrize("path", PATHS)
def test_who_has_the_answer_is_told_so(client: TestClient, job: UUID, path: str) -> None:
    path = url(path, job)
    first = client.get(path)
    assert first.status_code == 200, first.text
    entity_tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    second = ask(client, path, entity_tag)
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["etag"] == entity_tag
    assert ask(client, path, f'"other", {entity_tag.removeprefix("W/")}').status_code == 304
    assert ask(client, path, '"other"').content == first.content


def test_every_answer_has_a_tag_of_its_own(client: TestClient, job: UUID) -> None:
    entity_tags = {client.get(url(path, job)).headers["etag"] for path in PATHS}
    assert len(entity_tags) == len(PATHS)


@pytest.mark.parametrize(
    ("path", "room", "work"),
    [
        ("/neurons?job={job}", neurons, "list_neurons_of_layers"),
        ("/neurons/{layer}?job={job}", neurons, "list_neurons"),
        ("/neurons/{layer}/0?job={job}", neurons, "find_neuron"),
        ("/layers?job={job}", neurons, "list_layers"),
        ("/jobs/{job}/coverage", evidence, "read_coverage"),
        ("/jobs/{job}/watch-list", evidence, "read_watch_list"),
        ("/jobs/{job}/report", reports, "read_report"),
        ("/jobs/{job}/export", reports, "export_job"),
    ],
)
def test_nothing_is_computed_for_who_has_it(
    client: TestClient, job: UUID, monkeypatch: pytest.MonkeyPatch, path: str, room: Any, work: str
) -> None:
    entity_tag = client.get(url(path, job)).headers["etag"]
    monkeypatch.setattr(room, work, None)
    assert ask(client, url(path, job), entity_tag).status_code == 304
    assert ask(client, url(path, job), '"other"').status_code == 500


def test_another_form_or_release_is_another_answer(
    client: TestClient, job: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/jobs/{job}/report"
    entity_tag = client.get(path, headers={"Accept": "text/html"}).headers["etag"]
    assert ask(client, path, entity_tag, Accept="application/json").status_code == 200
    monkeypatch.setattr(tags, "version", lambda _: "9.9")
    assert ask(client, path, entity_tag, Accept="text/html").status_code == 200


def test_the_newest_job_of_a_model_is_another_answer(client: TestClient, job: UUID, sessions: Sessions) -> None:
    entity_tag = client.get("/layers", params={"model": "screening"}).headers["etag"]
    with transaction(sessions) as session:
        newer = succeeded_job(session, [neuron(0, 1.0)], layer=LAYER)
    answer = ask(client, "/layers?model=screening", entity_tag)
    assert answer.json()["job"] == str(newer)


def test_a_job_has_a_tag_once_it_has_ended_and_another_if_it_is_tried_again(
    client: TestClient, sessions: Sessions
) -> None:
    with transaction(sessions) as session:
        job = queued_job(session).id
    assert "etag" not in client.get(f"/jobs/{job}").headers
    failed = fail(client, sessions, job)
    assert ask(client, f"/jobs/{job}", failed).status_code == 304
    assert client.post(f"/jobs/{job}/retry").status_code == 202
    again = ask(client, f"/jobs/{job}", failed)
    assert (again.status_code, again.json()["status"]) == (200, "queued")
    assert fail(client, sessions, job) != failed


def fail(client: TestClient, sessions: Sessions, job: UUID) -> str:
    with transaction(sessions) as session:
        assert move_job(session, job, JobStatus.RUNNING)
        assert move_job(session, job, JobStatus.FAILED, problem={"code": "x", "title": "X", "detail": "X"})
    entity_tag: str = client.get(f"/jobs/{job}").headers["etag"]
    return entity_tag


def test_a_watch_list_changes_with_ablations(client: TestClient, job: UUID, sessions: Sessions) -> None:
    path = f"/jobs/{job}/watch-list"
    entity_tag = client.get(path).headers["etag"]
    with transaction(sessions) as session:
        session.execute(
            text(
                "INSERT INTO ablations (job_id, request, request_digest, status, result, finished_at) "
                "VALUES (:job, '{\"each\": false}', '0', 'succeeded', '{}', now())"
            ),
            {"job": job},
        )
    assert ask(client, path, entity_tag).status_code == 200


def test_coverage_changes_with_the_list_of_essential_concepts(tmp_path: Path) -> None:
    path = tmp_path / "must-have.txt"
    assert tags.version_of_file(None) == tags.version_of_file(path) == ""
    path.write_text("mass")
    first = tags.version_of_file(path)
    path.write_text("calcification")
    assert tags.version_of_file(path) != first


@pytest.mark.parametrize("make_path", [lambda: f"/jobs/{uuid4()}", lambda: f"/layers?job={uuid4()}"])
def test_what_is_not_there_was_not_seen(client: TestClient, make_path: Callable[[], str]) -> None:
    assert ask(client, make_path(), "*").status_code == 404


def test_a_changed_list_has_no_tag(client: TestClient, job: UUID) -> None:
    assert "etag" not in client.get("/jobs").headers
    assert "etag" not in client.get("/models").headers
