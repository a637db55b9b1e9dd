"""GET /jobs: filters, and whole items."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.pagination import MOST_WHOLE
from service.db.jobs import move_job
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from tests.api.test_problems import problem
from tests.usecases.factories import neuron, queued_job, resource, succeeded_job

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


@pytest.fixture
def jobs(sessions: Sessions) -> dict[str, UUID]:
    """Five jobs, an hour apart."""
    with transaction(sessions) as session:
        posted = {"first": queued_job(session).id}
        resource(session, ResourceKind.MODEL, "screening", digest="1", checkpoint="/x", architecture="a", sha256="1")
        posted["second version"] = queued_job(session, model="later").id
        session.execute(
            text(
                "UPDATE jobs SET target_id = (SELECT id FROM resources WHERE kind = 'model' AND name = 'screening' AND "
                "version = 2) WHERE id = :id"
            ),
            {"id": posted["second version"]},
        )
        other_set = resource(session, ResourceKind.PROBE_SET, "other", "7", images=200)
        posted["other set"] = queued_job(session, model="diagnostic", probe_set=other_set).id
        posted["failed"] = queued_job(session, model="diagnostic").id
        assert move_job(session, posted["failed"], JobStatus.RUNNING)
        assert move_job(session, posted["failed"], JobStatus.FAILED, problem={"code": "x", "detail": "X"})
        posted["succeeded"] = succeeded_job(session, [neuron(0, 1.0)], model="diagnostic")
        for hours, job_id in enumerate(posted.values()):
            values = {"at": START + timedelta(hours=hours), "id": job_id}
            session.execute(text("UPDATE jobs SET created_at = :at WHERE id = :id"), values)
    return posted


def listed(client: TestClient, jobs: dict[str, UUID], **params: Any) -> list[str]:
    answer = client.get("/jobs", params=params)
    assert answer.status_code == 200, answer.text
    names = {str(job_id): name for name, job_id in jobs.items()}
    return [names[item["id"]] for item in answer.json()["items"]]


def test_filters(client: TestClient, jobs: dict[str, UUID]) -> None:
    assert listed(client, jobs) == ["succeeded", "failed", "other set", "second version", "first"]
    assert listed(client, jobs, model="screening") == ["second version", "first"]
    assert listed(client, jobs, model="screening@1") == ["first"]
    assert listed(client, jobs, model="later") == []
    assert listed(client, jobs, probe_set="other") == ["other set"]
    assert listed(client, jobs, probe_set="other@1", model="screening") == []
    assert listed(client, jobs, status="failed") == ["failed"]
    assert listed(client, jobs, status=["failed", "succeeded"]) == ["succeeded", "failed"]


def test_times_are_bounds_that_are_not_met(client: TestClient, jobs: dict[str, UUID]) -> None:
    after, before = START + timedelta(hours=1), START + timedelta(hours=4)
    assert listed(client, jobs, created_after=after.isoformat()) == ["succeeded", "failed", "other set"]
    within = {"created_after": after.isoformat(), "created_before": before.isoformat()}
    assert listed(client, jobs, **within) == ["failed", "other set"]
    assert problem(client.get("/jobs", params={"created_after": "2026-03-01T08:00:00"}), 422)["field"] == (
        "created_after"
    )


def test_filtered_pages_follow_each_other(client: TestClient, jobs: dict[str, UUID]) -> None:
    answer = client.get("/jobs", params={"model": "diagnostic", "status": ["queued", "succeeded"], "limit": 1})
    seen = [item["id"] for item in answer.json()["items"]]
    while "next" in answer.links:
        answer = client.get(answer.links["next"]["url"])
        seen += [item["id"] for item in answer.json()["items"]]
    assert seen == [str(jobs["succeeded"]), str(jobs["other set"])]


@pytest.mark.parametrize("name", ["model", "probe_set"])
def test_what_is_not_registered_is_named(client: TestClient, jobs: dict[str, UUID], name: str) -> None:
    assert problem(client.get("/jobs", params={name: "unheard-of"}), 404)["field"] == name
    assert problem(client.get("/jobs", params={name: "screening@x"}), 422)["field"] == name


def test_whole_jobs_are_as_each_is_alone(client: TestClient, jobs: dict[str, UUID]) -> None:
    whole = client.get("/jobs", params={"fields": "full"}).json()["items"]
    assert whole == [client.get(f"/jobs/{job['id']}").json() for job in whole]
    assert len(whole) == len(jobs)


def test_whole_neurons_are_as_each_is_alone(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = str(succeeded_job(session, [neuron(0, 1.0), neuron(1, 2.0, 2), neuron(2, None)], layer="blocks.0"))
    alone = [client.get(f"/neurons/blocks.0/{unit}", params={"job": job}).json() for unit in (1, 0, 2)]
    for path in ("/neurons", "/neurons/blocks.0"):
        first = client.get(path, params={"job": job, "fields": "full", "limit": 2})
        second = client.get(first.links["next"]["url"])
        assert first.json()["items"] + second.json()["items"] == alone


@pytest.mark.parametrize("path", ["/jobs", "/neurons", "/neurons/blocks.0"])
def test_a_page_has_few_whole_items(client: TestClient, sessions: Sessions, path: str) -> None:
    with transaction(sessions) as session:
        job = succeeded_job(session, [neuron(unit, 1.0) for unit in range(MOST_WHOLE + 1)], layer="blocks.0")
        for _ in range(MOST_WHOLE):
            queued_job(session)
    params = {"fields": "full"} if path == "/jobs" else {"fields": "full", "job": str(job)}
    refused = problem(client.get(path, params={**params, "limit": MOST_WHOLE + 1}), 422)
    assert (refused["field"], refused["value"]) == ("limit", str(MOST_WHOLE + 1))
    page = client.get(path, params=params)
    assert len(page.json()["items"]) == MOST_WHOLE
    assert "next" in page.links
    assert len(client.get(path, params={**params, "fields": "brief"}).json()["items"]) == MOST_WHOLE + 1


def test_an_unknown_choice_of_fields_is_refused(client: TestClient) -> None:
    assert problem(client.get("/jobs", params={"fields": "some"}), 422)["field"] == "fields"
    assert problem(client.get("/neurons", params={"fields": "some", "job": str(uuid4())}), 422)["field"] == "fields"
