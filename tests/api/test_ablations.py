"""POST and GET /jobs/{id}/ablations, on dissections that were made without a network."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from sqlalchemy import text

from service.db.ablations import move_ablation
from service.db.session import Sessions, transaction
from service.domain.ablations import AblationResult, AblationStatus, Effect, OutputChange, UnitEffect
from service.domain.neurons import LayerDissection
from tests.api.test_comparisons import EVIDENCE, layer
from tests.api.test_problems import problem
from tests.usecases.factories import RecordingQueue, dissected_job, judged_neuron, neuron, queued_job, succeeded_job

RESULT = TypeAdapter(AblationResult)


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    """Two layers; of the units of the first, 0 and 1 are masses, 2 is a calcification; unit 1 of the second is dead."""
    with transaction(sessions) as session:
        second = LayerDissection("blocks.1", (*layer("blocks.1", 0).neurons, neuron(1, None)))
        return dissected_job(session, [layer("blocks.0", 0, 0, 1), second], evidence=EVIDENCE)


def post(client: TestClient, job: UUID, **body: Any) -> dict[str, Any]:
    response = client.post(f"/jobs/{job}/ablations", json=body)
    assert response.status_code == 202, response.text
    posted: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/jobs/{job}/ablations/{posted['id']}"
    return posted


def refused(client: TestClient, job: UUID, status: int = 422, **body: Any) -> dict[str, Any]:
    return problem(client.post(f"/jobs/{job}/ablations", json=body), status)


def test_named_units(client: TestClient, job: UUID, queue: RecordingQueue) -> None:
    posted = post(client, job, layer="blocks[1]", units=[1, 0])
    assert posted["layers"] == [{"layer": "blocks.1", "units": [0, 1], "dead": [1]}]
    assert (posted["status"], posted["held"], posted["value"], posted["each"]) == ("queued", 2, "mean", False)
    assert (posted["done"], posted["total"]) == (0, 200)
    assert posted["result"] is None
    assert UUID(posted["id"]) in {identifier for _, identifier in queue.published}


def test_units_with_a_label(client: TestClient, job: UUID) -> None:
    everywhere = post(client, job, concept="spiculated mass")
    assert [(units["layer"], units["units"]) for units in everywhere["layers"]] == [
        ("blocks.0", [0, 1]),
        ("blocks.1", [0]),
    ]
    within = post(client, job, concept="spiculated mass", layer="blocks.0", value="zero", each=True)
    assert [(units["layer"], units["units"]) for units in within["layers"]] == [("blocks.0", [0, 1])]
    listed = client.get(f"/jobs/{job}/ablations").json()["items"]
    assert [item["id"] for item in listed] == [within["id"], everywhere["id"]]


def test_units_with_a_verdict(client: TestClient, sessions: Sessions, job: UUID) -> None:
    body = refused(client, job, layer="blocks.0", verdict="unnamed")
    assert "has a verdict" in body["detail"]
    with transaction(sessions) as session:
        session.execute(text("UPDATE neurons SET verdict = 'named' WHERE NOT dead"))
        session.execute(text("UPDATE neurons SET verdict = 'unnamed' WHERE unit = 1 AND NOT dead"))
    posted = post(client, job, layer="blocks.0", verdict="unnamed")
    assert posted["layers"][0]["units"] == [1]
    assert "is unverified" in refused(client, job, layer="blocks.0", verdict="unverified")["detail"]


def test_units_that_respond_to_watched_concepts(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        watchful = [judged_neuron(neuron(unit, 2.0, 2), p=0.001, q=0.01, z=3.0) for unit in range(70)]
        many = dissected_job(session, [LayerDissection("blocks.0", tuple(watchful))], evidence=EVIDENCE)
        none = dissected_job(session, [LayerDissection("blocks.0", (neuron(0, None),))], evidence=EVIDENCE)
    posted = post(client, many, watched=True)
    assert (posted["held"], posted["left_out"], posted["each"]) == (64, 6, True)
    assert "responds to watched concepts" in refused(client, none, watched=True)["detail"]


def test_the_same_again_is_the_same(client: TestClient, job: UUID) -> None:
    first = post(client, job, layer="blocks.0", units=[0])
    assert post(client, job, layer="blocks.0", units=[0])["id"] == first["id"]
    cancelled = client.post(f"/jobs/{job}/ablations/{first['id']}/cancel").json()
    assert cancelled["status"] == "cancelled"
    assert client.post(f"/jobs/{job}/ablations/{first['id']}/cancel").json() == cancelled
    again = post(client, job, layer="blocks.0", units=[0])
    assert (again["id"], again["status"]) == (first["id"], "queued")


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"layer": "blocks.0", "units": [0, 3, 7]}, "units", "has 3 units, counted from 0: there is no unit 3, 7."),
        ({"layer": "blocks.0", "units": [1, 1]}, "units", "Unit 1 is named more than once."),
        ({"layer": "block.0", "units": [1]}, "layers", "The target has no layer 'block.0'."),
        ({"units": [1]}, "layer", "Nothing says of which layer"),
        ({"verdict": "unnamed"}, "layer", "Nothing says of which layer"),
        ({"concept": "frog"}, "concept", "No unit of the job has the label 'frog'."),
        ({"concept": "frog", "layer": "blocks.1"}, "concept", "No unit of layer 'blocks.1' has the label 'frog'."),
    ],
)
def test_units_that_cannot_be_held(client: TestClient, job: UUID, body: Any, field: str, said: str) -> None:
    answer = refused(client, job, **body)
    assert answer["field"] == field
    assert said in answer["detail"]
    assert answer["remedy"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"layer": "blocks.0"},
        {"layer": "blocks.0", "units": []},
        {"layer": "blocks.0", "units": [-1]},
        {"layer": "blocks.0", "units": [0], "concept": "spiculated mass"},
        {"concept": "spiculated mass", "watched": True},
        {"layer": "blocks.0", "verdict": "sure"},
        {"layer": "blocks.0", "units": [0], "value": "noise"},
        {"layer": "blocks.0", "units": [0], "more": 1},
    ],
)
def test_bodies_that_say_too_little_or_too_much(client: TestClient, job: UUID, body: Any) -> None:
    refused(client, job, **body)


def test_too_many_units_by_themselves(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = succeeded_job(session, [neuron(unit, 1.0) for unit in range(65)])
    answer = refused(client, job, layer="blocks.0", units=list(range(65)), each=True)
    assert answer["detail"] == "65 units are chosen, and at most 64 are held each by itself."
    post(client, job, layer="blocks.0", units=list(range(65)))


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ("table", "a table of activations"),
        ("onnx", "an ONNX graph"),
        ("open_clip/ViT-B-32", "returns an embedding"),
        ("mammo-clip/b5", "returns an embedding"),
    ],
)
def test_targets_that_run_nothing_here(
    client: TestClient, sessions: Sessions, job: UUID, architecture: str, said: str
) -> None:
    with transaction(sessions) as session:
        session.execute(
            text("UPDATE resources SET spec = spec || jsonb_build_object('architecture', CAST(:a AS text))"),
            {"a": architecture},
        )
    answer = refused(client, job, layer="blocks.0", units=[0])
    assert answer["type"] == "urn:mammodissect:problem:no-outputs"
    assert said in answer["detail"]


def test_latents_are_beside_the_network(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = dissected_job(session, [layer("blocks.0", 0), layer("blocks.0.latents", 0, 1)], evidence=EVIDENCE)
        reading = '{"latents": {"layer": "blocks.0"}}'
        session.execute(
            text("UPDATE resources SET spec = spec || CAST(:r AS jsonb) WHERE kind = 'model'"), {"r": reading}
        )
    assert "latents of an autoencoder" in refused(client, job, layer="blocks.0.latents", units=[0])["detail"]
    posted = post(client, job, concept="spiculated mass")
    assert [units["layer"] for units in posted["layers"]] == ["blocks.0"]
    of_latents_alone = refused(client, job, concept="clustered calcification")
    assert "The units of 'blocks.0.latents' are latents of an autoencoder" in of_latents_alone["detail"]


def test_jobs_without_a_result(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session).id
    refused(client, job, 409, layer="blocks.0", units=[0])
    refused(client, uuid4(), 404, layer="blocks.0", units=[0])


def test_ablations_of_other_jobs_are_not_found(client: TestClient, sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        other = dissected_job(session, [layer("blocks.0", 0)], evidence=EVIDENCE)
    posted = post(client, job, layer="blocks.0", units=[0])
    problem(client.get(f"/jobs/{other}/ablations/{posted['id']}"), 404)
    problem(client.get(f"/jobs/{job}/ablations/{uuid4()}"), 404)
    problem(client.get(f"/jobs/{uuid4()}/ablations"), 404)


def test_an_ended_one_cannot_be_cancelled(client: TestClient, sessions: Sessions, job: UUID) -> None:
    posted = post(client, job, layer="blocks.0", units=[0])
    succeed(sessions, posted["id"], 0)
    assert "has ended: succeeded" in problem(client.post(f"/jobs/{job}/ablations/{posted['id']}/cancel"), 409)["detail"]


def succeed(sessions: Sessions, ablation: str, *units: int, absolute: float = 0.5) -> None:
    """End it with a result in which the second output depends on the units by that much."""
    changes = (
        OutputChange(0, 1.0, 0.0, -0.1, 0.1, 0.1, 0.05, 0.2),
        OutputChange(1, 1.0, -absolute, -0.6, -0.4, absolute, absolute - 0.1, absolute + 0.1),
    )
    effect = Effect(changes, ())
    result = AblationResult(
        outputs=2,
        output_of="head",
        images=200,
        drawn_by="exam",
        drawn=50,
        resamples=1000,
        effect=effect,
        findings=(),
        units=tuple(UnitEffect("blocks.0", unit, effect) for unit in units),
        device="cpu",
    )
    with transaction(sessions) as session:
        stored = RESULT.dump_python(result, mode="json")
        move_ablation(session, UUID(ablation), AblationStatus.SUCCEEDED, result=stored)


def test_the_watch_list_says_whether_the_outputs_depend_on_a_unit(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        watchful = [judged_neuron(neuron(unit, 2.0, 2), p=0.001, q=0.01, z=3.0 - unit) for unit in range(2)]
        job = dissected_job(session, [LayerDissection("blocks.0", tuple(watchful))], evidence=EVIDENCE)
    listed = client.get(f"/jobs/{job}/watch-list").json()["neurons"]
    assert [neuron["dependence"] for neuron in listed] == [None, None]

    at_zero = post(client, job, layer="blocks.0", units=[0, 1], value="zero", each=True)
    at_mean = post(client, job, layer="blocks.0", units=[0], each=True)
    succeed(sessions, at_mean["id"], 0, absolute=0.5)
    succeed(sessions, at_zero["id"], 0, 1, absolute=0.9)
    first, second = (neuron["dependence"] for neuron in client.get(f"/jobs/{job}/watch-list").json()["neurons"])
    assert (first["ablation"], first["value"], first["change"]["output"]) == (at_mean["id"], "mean", 1)
    assert first["change"]["absolute"] == 0.5
    assert (second["ablation"], second["value"], second["change"]["absolute"]) == (at_zero["id"], "zero", 0.9)
