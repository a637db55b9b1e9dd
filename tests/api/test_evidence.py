"""GET /jobs/{id}/coverage and GET /jobs/{id}/watch-list."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.domain.evidence import JobEvidence, LayerNull, Qualification
from service.domain.neurons import LayerDissection
from tests.api.test_problems import problem
from tests.usecases.factories import dissected_job, judged_neuron, neuron, queued_job

NULL = LayerNull(100, 0.0, 1.0, (0.0, 1.0), ((0, 0.5), (2, 0.5)))
NOT_QUALIFIED = Qualification(1, "clustered calcification", "calcification", "untestable", 9, 9, 0.5, 0.4, 0.6)
EVIDENCE = JobEvidence("exam", 50, None, ("calcification",), None, (NOT_QUALIFIED,), tests=3, largest_p=0.02)


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    """Of four units one is significant, two respond to the watched car, one is dead."""
    neurons = (
        judged_neuron(neuron(0, 2.0), p=0.001, q=0.01, z=3.0),
        judged_neuron(neuron(1, 1.0, 1), p=0.5, q=0.5, z=0.1),
        neuron(2, None),
    )
    with transaction(sessions) as session:
        return dissected_job(session, [LayerDissection("blocks.0", neurons, NULL)], evidence=EVIDENCE)


def coverage(client: TestClient, job: UUID) -> dict[str, Any]:
    response = client.get(f"/jobs/{job}/coverage")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_coverage(client: TestClient, job: UUID) -> None:
    body = coverage(client, job)
    assert (body["job"], body["refused"]) == (str(job), None)
    assert (body["units"], body["tested"], body["significant"], body["must_have"]) == (3, 2, 1, 33)
    # Two tested units x 0.02 x one half.
    counts = {"neurons": 1, "expected": 0.02, "layers": [{"layer": "blocks.0", "neurons": 1, "expected": 0.02}]}
    counts |= {"low": pytest.approx(0.02, abs=1e-3), "high": pytest.approx(1.98, abs=1e-3)}
    first = {"text": "spiculated mass", "category": "mass margin", "broad_category": "findings"}
    assert body["concepts"][0] == {**first, **counts}
    assert body["categories"][0] == {"name": "mass margin", "concepts": 1, "represented": 1, "share": 1.0, **counts}
    reasons = {missing["text"]: missing["reason"] for missing in body["missing"]}
    assert "spiculated mass" not in reasons
    assert reasons["skin thickening"] == "not in the concept set"


def test_essential_concepts_of_one_s_own(client: TestClient, job: UUID, tmp_path: Path) -> None:
    own = tmp_path / "ward.txt"
    own.write_text("spiculated mass\nclustered calcification\n")
    app = client.app
    assert isinstance(app, FastAPI)
    app.state.settings = app.state.settings.model_copy(update={"must_have": str(own)})
    body = coverage(client, job)
    assert body["must_have"] == 2
    assert body["missing"] == [
        {
            "text": "clustered calcification",
            "reason": "untestable",
            "findings": [],
            "category": "calcification distribution",
            "category_neurons": 0,
        }
    ]
    own.write_text("spiculated mass\nspiculated mass\n")
    assert "Line 2" in problem(client.get(f"/jobs/{job}/coverage"), 422)["detail"]


def test_the_watch_list(client: TestClient, job: UUID) -> None:
    body = client.get(f"/jobs/{job}/watch-list").json()
    assert (body["refused"], body["watched"], body["live"], body["responding"], body["share"]) == (None, 1, 2, 2, 1.0)
    assert [(one["unit"], one["concept"]) for one in body["neurons"]] == [(0, "spiculated mass"), (1, "no concept")]
    assert body["neurons"][0]["responding_to"] == 1
    assert body["neurons"][0]["responses"] == [
        {"text": "red sports car", "p": 0.01, "z": 2.0, "q": 0.04, "partial": None, "partial_p": None}
    ]
    assert [image["image_id"] for image in body["neurons"][0]["images"]] == ["img-7", "img-3@0,64"]
    (car,) = body["concepts"]
    assert (car["text"], car["category"], car["responding"], car["share"]) == ("red sports car", "vehicles", 2, 1.0)
    assert car["neurons"][0] == {"layer": "blocks.0", "unit": 0, "p": 0.01, "z": 2.0, "q": 0.04}
    first = client.get(f"/jobs/{job}/watch-list", params={"limit": 1}).json()
    assert (first["responding"], len(first["neurons"]), len(first["concepts"][0]["neurons"])) == (2, 1, 1)


def test_without_evidence_it_is_said_why_nothing_is_counted(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        bare = dissected_job(session, [LayerDissection("blocks.0", (neuron(0, 1.0),))])
    body = coverage(client, bare)
    assert body["refused"] == "No evidence was asked for when the job was posted."
    assert (body["concepts"], body["missing"]) == ([], [])
    assert client.get(f"/jobs/{bare}/watch-list").json()["refused"] == body["refused"]


@pytest.mark.parametrize("what", ["coverage", "watch-list"])
def test_a_job_without_a_result_has_neither(client: TestClient, sessions: Sessions, what: str) -> None:
    with transaction(sessions) as session:
        waiting = queued_job(session).id
    assert "queued" in problem(client.get(f"/jobs/{waiting}/{what}"), 409)["detail"]
    assert problem(client.get(f"/jobs/{uuid4()}/{what}"), 404)["field"] == "job"
