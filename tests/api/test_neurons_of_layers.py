"""GET /neurons: all layers of a dissection at once."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.domain.neurons import LayerDissection
from tests.api.test_problems import problem
from tests.usecases.factories import dissected_job, judged_neuron, neuron

FIRST, SECOND, THIRD = "blocks.0", "blocks.1", "blocks.10"

Place = tuple[str, int]

# Scores tie at 2.0 within a layer and between layers; two neurons are dead; of three there is no z.
LAYERS = {
    FIRST: [
        judged_neuron(neuron(0, 2.0), p=0.001, q=0.01, z=3.0),
        judged_neuron(neuron(1, 0.5, 2), p=0.9, q=0.9, z=1.0),
        neuron(2, None),
    ],
    SECOND: [
        neuron(0, None),
        judged_neuron(neuron(1, 2.0), p=0.001, q=0.01, z=4.0),
        judged_neuron(neuron(2, 2.0, 1), p=0.001, q=0.01, z=3.0),
    ],
    THIRD: [judged_neuron(neuron(0, 3.0), p=0.001, q=0.01, z=2.0), neuron(1, -1.0)],
}

ORDERS: dict[str, list[Place]] = {
    "-score": [
        (THIRD, 0), (FIRST, 0), (SECOND, 1), (SECOND, 2), (FIRST, 1), (THIRD, 1), (FIRST, 2), (SECOND, 0),
    ],
    "-z": [(SECOND, 1), (FIRST, 0), (SECOND, 2), (THIRD, 0), (FIRST, 1), (FIRST, 2), (SECOND, 0), (THIRD, 1)],
    "unit": [(layer, neuron.unit) for layer, neurons in LAYERS.items() for neuron in neurons],
}  # fmt: skip


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    with transaction(sessions) as session:
        job_id = dissected_job(session, [LayerDissection(name, tuple(neurons)) for name, neurons in LAYERS.items()])
        dissected_job(session, [LayerDissection(FIRST, (neuron(7, 9.0),))], model="other")
        return job_id


def listed(client: TestClient, job: UUID, **params: Any) -> list[Place]:
    answer = client.get("/neurons", params={"job": str(job), **params})
    assert answer.status_code == 200, answer.text
    return places(answer.json())


def places(page: dict[str, Any]) -> list[Place]:
    return [(item["layer"], item["unit"]) for item in page["items"]]


@pytest.mark.parametrize("sort", list(ORDERS))
def test_neurons_of_all_layers_in_one_order(client: TestClient, job: UUID, sort: str) -> None:
    assert listed(client, job, sort=sort) == ORDERS[sort]


@pytest.mark.parametrize("sort", list(ORDERS))
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_follow_each_other_without_gap_or_overlap(client: TestClient, job: UUID, sort: str, limit: int) -> None:
    answer = client.get("/neurons", params={"job": str(job), "sort": sort, "limit": limit})
    seen = places(answer.json())
    while "next" in answer.links:
        answer = client.get(answer.links["next"]["url"])
        seen += places(answer.json())
    assert answer.json()["next"] is None
    assert seen == ORDERS[sort]


def test_an_item_is_the_same_as_in_the_list_of_its_layer(client: TestClient, job: UUID) -> None:
    everywhere = client.get("/neurons", params={"job": str(job), "layer": SECOND}).json()
    assert everywhere == client.get(f"/neurons/{SECOND}", params={"job": str(job)}).json()
    by_model = client.get("/neurons", params={"model": "screening", "layer": SECOND}).json()
    assert by_model == everywhere


def test_filters(client: TestClient, job: UUID) -> None:
    assert listed(client, job, concept="spiculated mass") == [(THIRD, 0), (FIRST, 0), (SECOND, 1), (THIRD, 1)]
    assert listed(client, job, min_score=2.0, broad_category="findings", limit=2) == [(THIRD, 0), (FIRST, 0)]
    assert listed(client, job, dead=True) == [(FIRST, 2), (SECOND, 0)]
    assert listed(client, job, dead=True, sort="unit") == [(FIRST, 2), (SECOND, 0)]
    assert listed(client, job, significant=False) == [(FIRST, 1)]
    assert listed(client, job, layer=["blocks[1]", THIRD], sort="unit") == ORDERS["unit"][3:]


def test_what_is_not_there_is_named(client: TestClient, job: UUID) -> None:
    assert problem(client.get("/neurons"), 422)["field"] == "job"
    assert problem(client.get("/neurons", params={"job": str(uuid4())}), 404)["field"] == "job"
    unknown = problem(client.get("/neurons", params={"job": str(job), "layer": [FIRST, "blocks.11"]}), 404)
    assert (unknown["field"], unknown["value"]) == ("layer", "blocks.11")
    assert SECOND in unknown["remedy"]


@pytest.mark.parametrize("sort", list(ORDERS))
def test_a_cursor_of_a_single_layer_is_refused(client: TestClient, job: UUID, sort: str) -> None:
    first = client.get(f"/neurons/{FIRST}", params={"job": str(job), "sort": sort, "limit": 1}).json()
    answer = client.get("/neurons", params={"job": str(job), "sort": sort, "cursor": first["next"]})
    assert problem(answer, 422)["field"] == "cursor"
