"""GET /search/neurons and GET /search."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from service.db import neuron_search
from service.db.directions import LayerDirections, add_directions
from service.db.search_vectors import save_search_vector
from service.db.session import Sessions, transaction
from service.db.text_embeddings import keep_texts
from service.domain.neurons import Neuron
from service.domain.resources import ResourceKind
from service.domain.search import SearchKind
from service.domain.verdicts import UnitVerdict, Verdict
from tests.api.test_problems import problem
from tests.usecases.factories import (
    WORDS,
    RecordingQueue,
    judged_neuron,
    neuron,
    queued_job,
    resource,
    succeeded_job,
)

LAYER = "image_encoder._blocks.38"
WIDTH = 16
TEXTS = np.random.default_rng(7).normal(size=(3, WIDTH)).astype(np.float32)
"""Where the dissector `reader` has the words."""


def directions(seed: int, units: int = 6) -> NDArray[np.float16]:
    vectors = np.random.default_rng(seed).normal(size=(units, WIDTH))
    of_length_one: NDArray[np.float16] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    return of_length_one


def judged(unit: int, z: float, concept: int, verdict: Verdict) -> Neuron:
    plain = judged_neuron(neuron(unit, 2.0, concept), p=0.001, q=0.01, z=z)
    name = "a name" if verdict is Verdict.NAMED else None
    assert plain.evidence is not None
    return replace(plain, evidence=replace(plain.evidence, verdict=UnitVerdict(verdict, name)))


NEURONS = [
    judged(0, 1.0, 0, Verdict.NAMED),
    judged(1, 2.0, 1, Verdict.UNVERIFIED),
    judged(2, 3.0, 2, Verdict.NAMED),
    judged(3, 4.0, 0, Verdict.UNNAMED),
    judged(4, 5.0, 1, Verdict.NAMED),
    neuron(5, None),
]


def stored(sessions: Sessions, seed: int, *, dissector: str = "reader", **more: Any) -> UUID:
    """A job whose units have the directions of that seed; its unit 5 is dead."""
    lengths = np.array([1, 1, 1, 1, 1, 0], np.float32)
    with transaction(sessions) as session:
        digest = "0" if dissector == "reader" else dissector
        named = resource(session, ResourceKind.DISSECTOR, dissector, digest, path="/dissectors/x")
        job = succeeded_job(session, NEURONS, layer=LAYER, dissector=named, **more)
        add_directions(session, job, LayerDirections(LAYER, directions(seed), lengths), dissector=digest)
        keep_texts(session, digest, WORDS.digest, "cpu", TEXTS)
    return job


@pytest.fixture
def jobs(sessions: Sessions) -> list[UUID]:
    return [stored(sessions, seed, model=f"model-{seed}") for seed in range(3)]


def found(client: TestClient, **params: Any) -> dict[str, Any]:
    response = client.get("/search/neurons", params=params)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def places(body: dict[str, Any]) -> list[tuple[str, int]]:
    return [(item["job"], item["unit"]) for item in body["items"]]


def nearest(jobs: list[UUID], vector: NDArray[np.float32]) -> list[tuple[str, int]]:
    """All living units of these jobs by their cosine."""
    cosines = {
        (str(job), unit): float(directions(seed)[unit].astype(np.float32) @ vector)
        for seed, job in enumerate(jobs)
        for unit in range(5)
    }
    return sorted(cosines, key=lambda place: -cosines[place])


def test_a_known_concept_answers_at_once(client: TestClient, jobs: list[UUID], queue: RecordingQueue) -> None:
    body = found(client, concept="Red Sports Car")
    assert places(body) == nearest(jobs, TEXTS[2])
    assert body["searched_by"] == "the concept 'red sports car'"
    assert (body["dissector"], body["neurons"], body["jobs"], body["exact"]) == ("reader@1", 15, 3, True)
    assert body["left_out"] == {"without_directions": 0, "of_other_dissectors": 0, "jobs": []}
    assert queue.published == []

    first = body["items"][0]
    direction = directions(jobs.index(UUID(first["job"])))[first["unit"]].astype(np.float32)
    expected = float(direction @ TEXTS[2] / np.linalg.norm(TEXTS[2]) / np.linalg.norm(direction))
    assert first["cosine"] == pytest.approx(expected, abs=2e-3)
    neuron_there = client.get(first["link"]).json()
    assert (neuron_there["unit"], neuron_there["concept"]) == (first["unit"], first["concept"])
    assert neuron_there["name"] == first["name"]
    assert first["model"] == f"model-{jobs.index(UUID(first['job']))}@1"


def test_pages_by_links_without_gaps(client: TestClient, jobs: list[UUID]) -> None:
    response = client.get("/search/neurons", params={"concept": "spiculated mass", "limit": 4})
    seen = places(response.json())
    while "next" in response.links:
        response = client.get(response.links["next"]["url"])
        seen += places(response.json())
    assert seen == nearest(jobs, TEXTS[0])


def test_a_neuron_finds_its_like_in_its_own_space(client: TestClient, jobs: list[UUID], sessions: Sessions) -> None:
    twin = str(stored(sessions, 1, model="twin"))
    other = stored(sessions, 1, dissector="other", model="elsewhere")
    body = found(client, neuron=f"{jobs[1]}/image_encoder._blocks[38]/3")
    assert places(body)[0] == (twin, 3)
    assert (str(jobs[1]), 3) not in places(body)
    assert len(places(body)) == 19
    assert body["left_out"]["of_other_dissectors"] == 1
    assert {item["job"] for item in found(client, neuron=f"{other}/{LAYER}/3")["items"]} == {str(other)}

    refused = problem(
        client.get("/search/neurons", params={"neuron": f"{other}/{LAYER}/3", "dissector": "reader"}), 422
    )
    assert (refused["field"], "other@1" in refused["remedy"]) == ("dissector", True)


def test_filters(client: TestClient, jobs: list[UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    everything = nearest(jobs, TEXTS[0])

    def units(**params: Any) -> list[tuple[str, int]]:
        return places(found(client, concept="spiculated mass", **params))

    def only(*units_listed: int) -> list[tuple[str, int]]:
        return [place for place in everything if place[1] in units_listed]

    for most in (50_000, 3):
        monkeypatch.setattr(neuron_search, "MOST_COMPARED", most)
        assert units(verdict="named") == only(0, 2, 4)
        assert units(verdict=["unnamed", "unverified"]) == only(1, 3)
        assert units(category="vehicles") == only(2)
        assert units(min_z=4.0) == only(3, 4)
        assert units(min_z=4.0, verdict="named") == only(4)
        assert units(category="nothing") == []
        assert units(job=str(jobs[1])) == [place for place in everything if place[0] == str(jobs[1])]
        assert units(model="model-2") == [place for place in everything if place[0] == str(jobs[2])]
        assert units(layer="image_encoder._blocks[38]") == everything


def test_controls_replays_and_jobs_without_directions_are_left_out(
    client: TestClient, jobs: list[UUID], sessions: Sessions
) -> None:
    control = stored(sessions, 1, shuffled=1)
    with transaction(sessions) as session:
        bare = succeeded_job(session, NEURONS, layer=LAYER)
    body = found(client, concept="spiculated mass")
    assert str(control) not in {item["job"] for item in body["items"]}
    assert body["left_out"] == {"without_directions": 1, "of_other_dissectors": 0, "jobs": [str(bare)]}
    assert len(found(client, concept="spiculated mass", job=str(control))["items"]) == 5


def test_of_several_dissectors_one_is_chosen(client: TestClient, jobs: list[UUID], sessions: Sessions) -> None:
    other = stored(sessions, 0, dissector="other", model="elsewhere")
    refused = problem(client.get("/search/neurons", params={"concept": "spiculated mass"}), 409)
    assert refused["field"] == "dissector"
    assert "other@1, reader@1" in refused["remedy"]

    body = found(client, concept="spiculated mass", dissector="other")
    assert {item["job"] for item in body["items"]} == {str(other)}
    assert places(found(client, concept="spiculated mass", dissector="reader@1")) == nearest(jobs, TEXTS[0])
    assert found(client, concept="spiculated mass", job=str(other))["dissector"] == "other@1"

    with transaction(sessions) as session:
        resource(session, ResourceKind.DISSECTOR, "unused", "9", path="/dissectors/y")
    unused = problem(client.get("/search/neurons", params={"concept": "spiculated mass", "dissector": "unused"}), 409)
    assert "reader@1" in unused["remedy"]


def test_a_text_is_read_by_a_worker_once(
    client: TestClient, jobs: list[UUID], sessions: Sessions, queue: RecordingQueue
) -> None:
    params = {"text": "  something   else "}
    waiting = client.get("/search/neurons", params=params, headers={"Prefer": "wait=0"})
    body = problem(waiting, 503)
    assert body["type"].endswith(":not-read-yet")
    assert body["field"] == "text"
    assert int(waiting.headers["retry-after"]) > 0
    assert len(queue.published) == 1
    assert problem(client.get("/search/neurons", params=params, headers={"Prefer": "wait=0.5"}), 503)
    assert len(queue.published) == 1, "it is asked for already"

    with transaction(sessions) as session:
        dissector = resource(session, ResourceKind.DISSECTOR, "reader", path="/dissectors/x")
        save_search_vector(session, dissector.id, SearchKind.TEXT, "something else", TEXTS[1])
    assert places(found(client, **params)) == nearest(jobs, TEXTS[1])


def test_what_a_worker_could_not_read_is_said(client: TestClient, jobs: list[UUID], sessions: Sessions) -> None:
    no_wait = {"Prefer": "wait=0"}
    client.get("/search/neurons", params={"text": "odd"}, headers=no_wait)
    with transaction(sessions) as session:
        dissector = resource(session, ResourceKind.DISSECTOR, "reader", path="/dissectors/x")
        why: Any = {
            "code": "invalid-dissector",
            "title": "Invalid dissector",
            "detail": "It is gone.",
            "remedy": "Copy it.",
        }
        save_search_vector(session, dissector.id, SearchKind.TEXT, "odd", why)
    refused = problem(client.get("/search/neurons", params={"text": "odd"}, headers=no_wait), 409)
    assert refused["detail"].endswith("It is gone.")
    assert refused["remedy"] == "Copy it."


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({}, "concept", "exactly one"),
        ({"concept": "a", "text": "b"}, "text", "exactly one"),
        ({"concept": "a", "neuron": "b", "text": "c", "image": "d"}, "neuron", "exactly one"),
        ({"text": "  "}, "text", "Say what"),
        ({"neuron": "nonsense"}, "neuron", "JOB/LAYER/UNIT"),
        ({"neuron": "not-an-id/a.b/3"}, "neuron", "JOB/LAYER/UNIT"),
        ({"neuron": f"{uuid4()}/a.b/-3"}, "neuron", "JOB/LAYER/UNIT"),
        ({"neuron": f"{uuid4()}//3"}, "neuron", "JOB/LAYER/UNIT"),
        ({"neuron": f"{uuid4()}/a.b/99999999999"}, "neuron", "JOB/LAYER/UNIT"),
        ({"image": "3"}, "image", "JOB/ROW"),
        ({"image": f"{uuid4()}/x"}, "image", "JOB/ROW"),
        ({"concept": "spiculated mass", "cursor": "WzFd"}, "cursor", "Start without"),
        ({"concept": "spiculated mass", "min_z": "nan"}, "min_z", ""),
        ({"concept": "spiculated mass", "verdict": "good"}, "verdict", ""),
        ({"concept": "spiculated mass", "limit": "501"}, "limit", ""),
    ],
)
def test_wrong_input_is_named(
    client: TestClient, jobs: list[UUID], params: dict[str, str], field: str, says: str
) -> None:
    body = problem(client.get("/search/neurons", params=params), 422)
    assert body["field"].startswith(field)
    assert says in body.get("remedy", "")


def test_what_is_not_there_is_named(client: TestClient, jobs: list[UUID], sessions: Sessions) -> None:
    unknown = problem(client.get("/search/neurons", params={"concept": "spiculatd mass"}), 404)
    assert "spiculated mass" in unknown["remedy"]
    assert "text=" in unknown["remedy"]
    assert problem(client.get("/search/neurons", params={"neuron": f"{uuid4()}/a/1"}), 404)["field"] == "job"
    layer = problem(client.get("/search/neurons", params={"neuron": f"{jobs[0]}/image_encoder._blocks.3/1"}), 404)
    assert LAYER in layer["remedy"]
    assert problem(client.get("/search/neurons", params={"neuron": f"{jobs[0]}/{LAYER}/6"}), 404)["field"] == "unit"
    dead = problem(client.get("/search/neurons", params={"neuron": f"{jobs[0]}/{LAYER}/5"}), 409)
    assert "no direction" in dead["detail"]
    assert "model-0" in problem(client.get("/search/neurons", params={"text": "a", "model": "model-x"}), 404)["remedy"]
    with transaction(sessions) as session:
        bare = succeeded_job(session, NEURONS, layer=LAYER)
        waiting = queued_job(session).id
    for by in (f"neuron={bare}/{LAYER}/0", f"image={bare}/1"):
        assert "no directions" in problem(client.get(f"/search/neurons?{by}"), 404)["detail"]
    assert problem(client.get("/search/neurons", params={"neuron": f"{waiting}/a/1"}), 409)["field"] == "job"
    assert problem(client.get("/search/neurons", params={"text": "a", "job": str(bare)}), 409)


def test_nothing_dissected_is_nothing_to_search(client: TestClient) -> None:
    assert "Submit a job" in problem(client.get("/search/neurons", params={"text": "a"}), 409)["remedy"]


def test_the_one_box(client: TestClient, jobs: list[UUID]) -> None:
    body = client.get("/search", params={"q": "MODEL-1"}).json()
    assert [(thing["kind"], thing["name"]) for thing in body["models"]] == [("model", "model-1@1")]
    assert [thing["name"] for thing in body["jobs"]] == [str(jobs[1])]
    for listed in (body["models"], body["jobs"]):
        assert client.get(listed[0]["link"]).status_code == 200

    body = client.get("/search", params={"q": str(jobs[2])}).json()
    assert [thing["name"] for thing in body["jobs"]] == [str(jobs[2])]

    body = client.get("/search", params={"q": "spiculated"}).json()
    assert body["concepts"][0]["name"].startswith("spiculated")
    body = client.get("/search", params={"q": "sports  car"}).json()
    assert [(thing["name"], thing["detail"]) for thing in body["concepts"]] == [("red sports car", "words@1")]
    assert places(client.get(body["concepts"][0]["link"]).json()) == nearest(jobs, TEXTS[2])
    body = client.get("/search", params={"q": "vehicles"}).json()
    assert [(thing["kind"], thing["name"]) for thing in body["categories"]] == [("category", "vehicles")]
    assert client.get(body["categories"][0]["link"]).status_code == 200

    body = client.get("/search", params={"q": f"{jobs[0]}/{LAYER}/4"}).json()
    assert client.get(body["neurons"][0]["link"]).json()["unit"] == 4
    assert client.get("/search", params={"q": f"{jobs[0]}/{LAYER}/400"}).json()["neurons"] == []


def test_a_box_with_odd_words_finds_nothing(client: TestClient, jobs: list[UUID]) -> None:
    for odd in ("%", "_", "\\", "';--", "::", "zzzz"):
        body = client.get("/search", params={"q": odd}).json()
        assert [body[kind] for kind in ("models", "jobs", "concepts", "categories", "neurons")] == [[]] * 5, odd
    assert problem(client.get("/search", params={"q": "  "}), 422)["field"] == "q"
    assert problem(client.get("/search"), 422)["field"] == "q"
    assert len(client.get("/search", params={"q": "model", "limit": 2}).json()["models"]) == 2
