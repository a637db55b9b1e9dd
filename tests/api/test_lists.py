"""Lists are brief, and single resources whole."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from service.db.session import Sessions, transaction
from service.domain.evidence import Evidence, Significance
from service.domain.neurons import LayerDissection
from tests.db.realistic import CONCEPTS, realistic_neurons
from tests.usecases.factories import dissected_job, neuron

LAYER = "blocks.0"
MOST_BYTES = 60_000


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What the database is asked from here on."""
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield asked
    event.remove(Engine, "before_cursor_execute", note)


def items(client: TestClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    listed: list[dict[str, Any]] = answer.json()["items"]
    return listed


@pytest.fixture
def real(sessions: Sessions) -> UUID:
    """A job with a layer of neurons that are as heavy as real ones."""
    with transaction(sessions) as session:
        bare = replace(neuron(193, 1.0), evidence=Evidence(significance=Significance(0.5, 0.1, 0.9)))
        layer = LayerDissection(LAYER, (*realistic_neurons(192), neuron(192, None), bare))
        return dissected_job(session, [layer], concept_set=CONCEPTS)


@pytest.mark.parametrize("sort", ["-score", "-z", "unit"])
def test_a_page_of_fifty_real_neurons_is_small(client: TestClient, real: UUID, sort: str) -> None:
    page = client.get(f"/neurons/{LAYER}", params={"job": str(real), "limit": 50, "sort": sort})
    assert len(page.json()["items"]) == 50
    assert len(page.content) < MOST_BYTES


def test_a_neuron_in_a_list_says_the_same_as_alone_in_fewer_words(client: TestClient, real: UUID) -> None:
    listed = items(client, f"/neurons/{LAYER}", job=str(real), limit=500, sort="unit")
    assert len(listed) == 194
    for unit in (0, 77, 192, 193):
        alone = client.get(f"/neurons/{LAYER}/{unit}", params={"job": str(real)}).json()
        assert listed[unit] == shortened(alone)
    assert len(client.get(f"/neurons/{LAYER}/0", params={"job": str(real)}).json()["evidence"]["watched"]) == 40


def shortened(alone: dict[str, Any]) -> dict[str, Any]:
    left_out = {"concepts", "images", "activation", "reviews"}
    short = {name: value for name, value in alone.items() if name not in left_out}
    if (evidence := alone["evidence"]) is not None:
        whole = evidence["stability"]
        stability = None if whole is None else {name: whole[name] for name in ("label", "category")}
        direction = evidence["direction"]
        if direction is not None:
            direction = {name: direction[name] for name in ("fit", "explained")}
        watched = [{name: one[name] for name in ("text", "z", "q")} for one in evidence["watched"][:3]]
        figures = {name: value for name, value in evidence.items() if name != "localisations"}
        short["evidence"] = {**figures, "stability": stability, "direction": direction, "watched": watched}
    return short


def test_the_database_reads_no_more_of_a_neuron_than_its_list_shows(
    client: TestClient, real: UUID, statements: list[str]
) -> None:
    items(client, f"/neurons/{LAYER}", job=str(real))
    (asked,) = (statement for statement in statements if "FROM neurons" in statement)
    selected = asked.partition("FROM")[0]
    assert [name for name in ("images", "concepts", "activation", "resampled", "halves") if name in selected] == []
    assert not any("jobs.manifest" in statement for statement in statements)


def test_jobs_are_listed_without_layers_and_manifests(
    client: TestClient, sessions: Sessions, statements: list[str]
) -> None:
    layers = [LayerDissection(f"blocks.{number}", (neuron(0, 1.0),)) for number in range(100)]
    manifest = {"layers": {f"blocks.{number}": "0" * 64 for number in range(2_000)}}
    with transaction(sessions) as session:
        job = dissected_job(session, layers, manifest=manifest)
    statements.clear()
    answer = client.get("/jobs")
    assert len(answer.content) < 2_000
    (listed,) = answer.json()["items"]
    assert not any("jobs.manifest" in statement for statement in statements)
    alone = client.get(f"/jobs/{job}").json()
    assert alone["manifest"]["layers"] == manifest["layers"]
    assert len(alone["layers"]) == 100
    absent = {"layers", "layers_asked", "terms", "manifest", "waits_for", "error_level"}
    assert listed == {name: value for name, value in alone.items() if name not in absent}


def test_concepts_and_rules_are_counted_in_lists(client: TestClient, statements: list[str]) -> None:
    client.post("/concept-sets", json={"name": "long", "concepts": [f"concept {number}" for number in range(5_000)]})
    rules = [{"rule": "required-concepts", "concepts": [f"concept {number}" for number in range(500)]}]
    client.post("/policies", json={"name": "long", "policy": {"rules": rules}})
    statements.clear()
    listed = {one["reference"]: one["spec"]["concepts"] for one in items(client, "/concept-sets")}
    assert listed == {"long@1": 5_000, "bi-rads@1": len(CONCEPTS.concepts)}
    (policy,) = items(client, "/policies")
    assert policy["spec"]["rules"] == 1
    assert len(client.get("/concept-sets/long").json()["spec"]["concepts"]) == 5_000
    assert len(client.get("/policies/long").json()["spec"]["rules"][0]["concepts"]) == 500
