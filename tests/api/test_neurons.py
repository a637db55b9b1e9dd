"""GET /layers and GET /neurons."""

import base64
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from tests.api.test_problems import problem
from tests.usecases.factories import judged_neuron, neuron, queued_job, succeeded_job

LAYER = "image_encoder._blocks.38"
# Scores tie at 2.0, unit 3 is dead; by score the order is 4, 0, 2, 1, 3.
NEURONS = [neuron(0, 2.0, 1), neuron(1, 0.5, 2), neuron(2, 2.0), neuron(3, None), neuron(4, 3.25)]


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    with transaction(sessions) as session:
        return succeeded_job(session, NEURONS, layer=LAYER)


def units(client: TestClient, job: UUID, **params: Any) -> list[int]:
    response = client.get(f"/neurons/{LAYER}", params={"job": str(job), **params})
    assert response.status_code == 200, response.text
    return [item["unit"] for item in response.json()["items"]]


def test_layers(client: TestClient, job: UUID) -> None:
    body = client.get("/layers", params={"job": str(job)}).json()
    assert body["items"] == [
        {
            "layer": LAYER,
            "units": 5,
            "dead_units": 1,
            "mean_top_score": 1.5,
            "threshold_met": 2,
            "top_categories": [{"category": "findings", "neurons": 2}],
            "significant": None,
            "verdicts": None,
            "error": None,
        }
    ]
    assert (body["verdicts"], body["judged_by"]) == (None, None)
    assert client.get("/layers", params={"model": "screening"}).json() == body
    assert client.get("/layers", params={"model": "screening@1"}).json() == body


def test_neurons_by_score_and_by_unit(client: TestClient, job: UUID) -> None:
    assert units(client, job) == [4, 0, 2, 1, 3]
    assert units(client, job, sort="unit") == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("sort", "position"),
    [("unit", '["x"]'), ("unit", "[3000000000]"), ("unit", "[1.5, 1]"), ("-score", '["x", 1]'), ("-score", "[1]")],
)
def test_a_cursor_of_another_list_is_refused(client: TestClient, job: UUID, sort: str, position: str) -> None:
    cursor = base64.urlsafe_b64encode(position.encode()).decode()
    answer = client.get(f"/neurons/{LAYER}", params={"job": str(job), "sort": sort, "cursor": cursor})
    assert problem(answer, 422)["field"] == "cursor"


@pytest.mark.parametrize("sort", ["-score", "unit"])
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_follow_each_other_without_gap_or_overlap(client: TestClient, job: UUID, sort: str, limit: int) -> None:
    response = client.get(f"/neurons/{LAYER}", params={"job": str(job), "sort": sort, "limit": limit})
    seen = [item["unit"] for item in response.json()["items"]]
    while "next" in response.links:
        response = client.get(response.links["next"]["url"])
        seen += [item["unit"] for item in response.json()["items"]]
    assert response.json()["next"] is None
    assert seen == units(client, job, sort=sort)


def test_filters(client: TestClient, job: UUID) -> None:
    assert units(client, job, concept="spiculated mass") == [4, 2]
    assert units(client, job, category="vehicles") == [1]
    assert units(client, job, broad_category="findings") == [4, 0, 2]
    assert units(client, job, min_score=2.0) == [4, 0, 2]
    assert units(client, job, dead=True) == [3]
    assert units(client, job, dead=False, min_score=3.5) == []


@pytest.mark.parametrize("spelling", ["image_encoder._blocks[38]", "image_encoder._blocks%5B38%5D", LAYER])
def test_one_neuron_whatever_the_spelling_of_its_layer(client: TestClient, job: UUID, spelling: str) -> None:
    body = client.get(f"/neurons/{spelling}/2", params={"job": str(job)}).json()
    assert body == {
        "job": str(job),
        "layer": LAYER,
        "unit": 2,
        "dead": False,
        "concept": "spiculated mass",
        "category": "mass margin",
        "broad_category": "findings",
        "score": 2.0,
        "significant": None,
        "verdict": None,
        "name": None,
        "level": None,
        "error": None,
        "review": None,
        "evidence": None,
        "concepts": [{"concept": "spiculated mass", "score": 2.0}],
        "images": [
            {
                "image_id": "img-7",
                "row": 7,
                "activation": 2.0,
                "box": None,
                "region": None,
                "frame": None,
                "places": [],
            },
            {
                "image_id": "img-3@0,64",
                "row": 3,
                "activation": 1.5,
                "box": {"left": 0, "top": 64, "width": 32, "height": 32},
                "region": None,
                "frame": None,
                "places": [],
            },
        ],
        "activation": {"mean": 0.5, "std": 0.25, "minimum": 0.0, "maximum": 2.0},
        "reviews": {"own": None, "others": [], "reviewers": [], "reviewed_name": None},
    }


@pytest.fixture
def judged(sessions: Sessions) -> UUID:
    """Units 0, 1 and 2 with rising z; unit 1 is not significant. Nothing was inferred of unit 3."""
    neurons = [
        judged_neuron(neuron(0, 2.0), p=0.001, q=0.01, z=3.0),
        judged_neuron(neuron(1, 9.0), p=0.9, q=0.9, z=4.0),
        judged_neuron(neuron(2, 1.0), p=0.001, q=0.05, z=5.0),
        neuron(3, 0.5),
    ]
    with transaction(sessions) as session:
        return succeeded_job(session, neurons, layer=LAYER)


def test_a_neuron_that_is_not_significant_is_labelled_no_concept(client: TestClient, judged: UUID) -> None:
    body = client.get(f"/neurons/{LAYER}/1", params={"job": str(judged)}).json()
    assert (body["concept"], body["category"], body["broad_category"]) == ("no concept", None, None)
    assert (body["significant"], body["score"], body["concepts"][0]["concept"]) == (False, 9.0, "spiculated mass")
    assert units(client, judged, concept="no concept") == [1]
    assert units(client, judged, concept="spiculated mass") == [0, 2, 3]
    assert units(client, judged, significant=True) == [0, 2]
    assert units(client, judged, significant=False) == [1]
    assert units(client, judged, sort="-z") == [2, 1, 0, 3]


def test_evidence_comes_with_its_texts(client: TestClient, judged: UUID) -> None:
    evidence = client.get(f"/neurons/{LAYER}/2", params={"job": str(judged)}).json()["evidence"]
    assert evidence == {
        "significance": {"p": 0.001, "z": 5.0, "q": 0.05},
        "stability": {"label": 0.75, "category": 1.0, "prediction_set": ["spiculated mass", "red sports car"]},
        "agreement": None,
        "quality": {"clarity": 0.5, "polysemanticity": 0.25, "redundancy": None, "duplicate_of": None},
        "direction": None,
        "watched": [
            {"text": "red sports car", "p": 0.01, "z": 2.0, "q": 0.04, "partial": None, "partial_p": None},
        ],
        "localisations": [],
    }


def test_a_dead_neuron_has_no_concept(client: TestClient, job: UUID) -> None:
    body = client.get(f"/neurons/{LAYER}/3", params={"job": str(job)}).json()
    assert (body["dead"], body["concept"], body["score"], body["concepts"], body["images"]) == (
        True,
        None,
        None,
        [],
        [],
    )


def test_the_newest_succeeded_job_of_a_model_is_meant(client: TestClient, job: UUID, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        newer = succeeded_job(session, NEURONS[:1], layer=LAYER)
        succeeded_job(session, NEURONS[:1], layer=LAYER, shuffled=1)
        queued_job(session)
    assert client.get(f"/neurons/{LAYER}/0", params={"model": "screening"}).json()["job"] == str(newer)


def test_what_is_not_there_is_named(client: TestClient, job: UUID, sessions: Sessions) -> None:
    body = problem(client.get("/neurons/image_encoder.blocks.38", params={"job": str(job)}), 404)
    assert body["field"] == "layer"
    assert LAYER in body["remedy"]
    assert "units 0 to 4" in problem(client.get(f"/neurons/{LAYER}/5", params={"job": str(job)}), 404)["detail"]
    assert problem(client.get(f"/neurons/{LAYER}/-1", params={"job": str(job)}), 422)["field"] == "unit"
    assert problem(client.get(f"/neurons/{LAYER}", params={"job": str(uuid4())}), 404)["field"] == "job"
    assert "screening" in problem(client.get("/layers", params={"model": "screeming"}), 404)["remedy"]
    assert problem(client.get("/layers"), 422)["field"] == "job"
    with transaction(sessions) as session:
        waiting = queued_job(session, model="other").id
    assert "queued" in problem(client.get("/layers", params={"job": str(waiting)}), 409)["detail"]
    assert problem(client.get("/layers", params={"model": "other"}), 404)["field"] == "model"
