"""POST /jobs and what follows, up to the worker's door."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.schemas.jobs import JobIn
from service.db.jobs import move_job
from service.db.resources import find_resource, save_inspection
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from service.domain.work import LayerListing
from service.errors import Unavailable
from service.ports import WORK_TASK
from tests.api.test_problems import problem
from tests.usecases.factories import RecordingQueue, refuse, resource

Post = Callable[..., Any]


@pytest.fixture
def body(sessions: Sessions) -> dict[str, Any]:
    """A job that can be posted: everything it names is registered; the target's layers are known."""
    with transaction(sessions) as session:
        model = resource(session, ResourceKind.MODEL, "screening", checkpoint="/x", architecture="a", sha256="0")
        save_inspection(
            session, model.id, layers=[{"name": f"blocks.{i}", "units": 8, "kind": "Conv2d"} for i in range(3)]
        )
        resource(session, ResourceKind.DISSECTOR, "reader", path="/x")
        resource(session, ResourceKind.PROBE_SET, "probes", images=120)
    return {
        "target": "screening",
        "layers": ["blocks[1]", "blocks.2"],
        "concept_set": "bi-rads",
        "probe_set": "probes",
        "dissector": "reader@1",
    }


_NOT_IN_LISTS = {"layers", "layers_asked", "terms", "manifest", "waits_for", "error_level"}


def brief(job: dict[str, Any]) -> dict[str, Any]:
    """The job as lists have it."""
    return {name: value for name, value in job.items() if name not in _NOT_IN_LISTS}


@pytest.mark.parametrize(
    ("asked", "layers"),
    [
        (["blocks.*"], ["blocks.0", "blocks.1", "blocks.2"]),
        (["blocks[2]", "blocks.?"], ["blocks.2", "blocks.0", "blocks.1"]),
        ("stages", ["blocks.0", "blocks.2"]),
    ],
)
def test_patterns_and_stages_become_names_before_the_job_is_stored(
    client: TestClient, sessions: Sessions, body: dict[str, Any], asked: Any, layers: list[str]
) -> None:
    with transaction(sessions) as session:
        model = resource(session, ResourceKind.MODEL, "staged", checkpoint="/y", architecture="a", sha256="1")
        listings = [
            LayerListing(name=f"blocks.{i}", units=8, kind="Conv2d", shape=[8, 4, 4], ends_stage=i != 1)
            for i in range(3)
        ]
        save_inspection(session, model.id, layers=listings)
    job = client.post("/jobs", json=body | {"target": "staged", "layers": asked}).json()
    assert job["layers"] == layers
    assert job["layers_asked"] == [name.replace("[2]", ".2") for name in ([asked] if asked == "stages" else asked)]
    assert client.get(f"/jobs/{job['id']}").json() == job
    shown = client.get("/models/staged").json()["layers"][0]
    assert (shown["shape"], shown["ends_stage"], shown["share"]) == ([8, 4, 4], True, None)


def test_a_pattern_that_no_layer_fits_is_refused_and_stages_wait_where_they_are_not_known(
    client: TestClient, body: dict[str, Any]
) -> None:
    refused = client.post("/jobs", json=body | {"layers": ["block.*"]})
    assert refused.status_code == 422
    assert (refused.json()["field"], refused.json()["value"]) == ("layers", "block.*")
    assert "blocks.0" in refused.json()["remedy"]
    waiting = client.post("/jobs", json=body | {"layers": "stages"}).json()
    assert (waiting["layers"], waiting["layers_asked"]) == (["stages"], ["stages"])


def test_a_posted_job_waits_for_a_worker(client: TestClient, queue: RecordingQueue, body: dict[str, Any]) -> None:
    response = client.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert queue.published == [(WORK_TASK, UUID(job["id"]))]
    assert job["status"] == "queued"
    assert job["target"] == "screening@1"
    assert job["concept_set"] == "bi-rads@1"
    assert job["layers"] == ["blocks.1", "blocks.2"]
    assert job["method"] == {
        "similarity": "contrast", "pooling": "avg", "top_k": 15, "temperature": 10.0, "lam": 1.0
    }, "an eighth of the 120 images"  # fmt: skip
    assert (job["problem"], job["manifest"], job["started_at"], job["replay_of"]) == (None, None, None, None)
    assert (job["batch_size"], job["shard_size"], job["queue"], job["priority"]) == (8, 256, "default", 0)
    (probe,) = job["progress"]
    assert [probe[name] for name in ("stage", "done", "total", "items", "items_done", "rate")] == [
        "probe", 0, 120, 1, 0, None
    ]  # fmt: skip
    assert client.get(response.headers["location"]).json() == job
    assert client.get("/jobs").json()["items"] == [brief(job)]


def test_the_published_defaults_belong_to_the_similarity(client: TestClient, body: dict[str, Any]) -> None:
    job = client.post("/jobs", json=body | {"method": {"similarity": "wpmi", "lam": 0.5}, "layers": "all"}).json()
    assert job["method"] == {"similarity": "wpmi", "pooling": "avg", "top_k": 28, "temperature": 2.0, "lam": 0.5}
    assert job["layers"] == "all"


def test_contrast_scan_looks_as_deep_as_a_quarter_of_the_images(client: TestClient, body: dict[str, Any]) -> None:
    job = client.post("/jobs", json=body | {"method": {"similarity": "contrast_scan"}}).json()
    assert (job["method"]["similarity"], job["method"]["top_k"]) == ("contrast_scan", 30)


@pytest.mark.parametrize(("field", "kind"), [("target", ResourceKind.MODEL), ("dissector", ResourceKind.DISSECTOR)])
def test_a_part_that_was_refused_takes_no_job(
    client: TestClient, sessions: Sessions, body: dict[str, Any], field: str, kind: ResourceKind
) -> None:
    name = body[field].partition("@")[0]
    done = client.post("/jobs", json=body)
    with transaction(sessions) as session:
        part = find_resource(session, kind, name, None)
        assert part is not None
        assert move_job(session, UUID(done.json()["id"]), JobStatus.RUNNING)
        assert move_job(session, UUID(done.json()["id"]), JobStatus.SUCCEEDED)
        refuse(session, part)

    for refusal in (client.post("/jobs", json=body), client.post(f"/jobs/{done.json()['id']}/replay")):
        told = problem(refusal, 409)
        assert told["type"].endswith(":part-refused")
        assert (told["field"], told["value"]) == (field, f"{name}@1")
        assert "It has no weights." in told["detail"]
        assert told["remedy"] == f"Add them. POST {kind.collection}/{name}@1/inspect tries again."

    assert client.post(f"{kind.collection}/{name}@1/inspect").status_code == 202
    assert client.post("/jobs", json=body).status_code == 202, "it is being opened again, and the job finds out"


PROMPTS = {"templates": ["a {}", "{} seen"], "synonyms": True, "subtract_empty": False}


def test_prompts_of_a_job_and_of_its_dissector(client: TestClient, sessions: Sessions, body: dict[str, Any]) -> None:
    with transaction(sessions) as session:
        registered = {"path": "/x", "content": "0", "prompts": {**PROMPTS, "synonyms": False}}
        resource(session, ResourceKind.DISSECTOR, "prompted", "1", **registered)

    def prompts(dissector: str, **method: Any) -> Any:
        response = client.post("/jobs", json=body | {"dissector": dissector, "method": method})
        assert response.status_code == 202, response.text
        return response.json()["method"].get("prompts")

    assert prompts("reader") is None
    assert prompts("reader", prompts=PROMPTS) == PROMPTS
    assert prompts("reader", prompts={"templates": ["{}"]}) is None
    assert prompts("prompted") == {**PROMPTS, "synonyms": False}
    assert prompts("prompted", prompts=PROMPTS) == PROMPTS
    assert prompts("prompted", prompts={"templates": ["{}"]}) is None, "each concept's text alone"
    (newest,) = client.get("/jobs", params={"limit": 1}).json()["items"]
    assert "prompts" not in newest["method"]


@pytest.mark.parametrize(
    ("prompts", "field", "value"),
    [
        ({"templates": ["a mammogram"]}, "method.prompts.templates", "a mammogram"),
        ({"templates": ["{} and {}"]}, "method.prompts.templates", "{} and {}"),
        ({"templates": []}, "method.prompts.templates", "0"),
        ({"templates": ["{}"], "subtract_empty": True}, "method.prompts.templates", "{}"),
        ({"synonyms": True}, "concept_set", "Lesion"),
        ({"templates": ["{}", "left {}"]}, "concept_set", "left mass"),
    ],
)
def test_prompts_that_cannot_be_used(
    client: TestClient, body: dict[str, Any], prompts: dict[str, Any], field: str, value: str
) -> None:
    concepts = [{"text": "mass", "synonyms": ["lesion"]}, "Lesion", "left mass"]
    assert client.post("/concept-sets", json={"name": "alike", "concepts": concepts}).status_code == 201
    asked = body | {"concept_set": "alike", "method": {"prompts": prompts}}
    told = problem(client.post("/jobs", json=asked), 422)
    assert (told["field"], told["value"]) == (field, value)
    assert told["remedy"]
    assert client.get("/jobs").json()["items"] == []


def test_an_idempotency_key_makes_one_job(client: TestClient, queue: RecordingQueue, body: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "nightly-7"}
    first, again = (client.post("/jobs", json=body, headers=headers) for _ in range(2))
    assert first.json() == again.json()
    assert again.status_code == 202
    assert len(queue.published) == 1
    other = problem(client.post("/jobs", json=body | {"layers": "all"}, headers=headers), 422)
    assert other["field"] == "Idempotency-Key"
    assert len(client.get("/jobs").json()["items"]) == 1


def test_a_broker_that_is_away_only_delays_the_job(
    client: TestClient, queue: RecordingQueue, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(task: str, identifier: UUID) -> None:
        raise Unavailable("The broker cannot be reached.")

    monkeypatch.setattr(queue, "publish", away)
    response = client.post("/jobs", json=body)
    assert response.status_code == 202
    assert client.get(response.headers["location"]).json()["status"] == "queued"


def test_nothing_is_published_for_a_job_that_was_not_stored(
    client: TestClient, queue: RecordingQueue, body: dict[str, Any], owner_sessions: Sessions
) -> None:
    with owner_sessions.begin() as session:  # a deferred trigger fails at the commit, after every statement has passed
        session.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
                "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    problem(client.post("/jobs", json=body), 500)
    assert queue.published == []


@pytest.mark.parametrize(
    ("changes", "status", "field", "hint"),
    [
        ({"target": "screeming"}, 404, "target", "screening"),
        ({"target": "screening@7"}, 404, "target", "screening"),
        ({"target": "a@b@c"}, 422, "target", "name@version"),
        ({"concept_set": "birads"}, 404, "concept_set", "bi-rads"),
        ({"probe_set": "vindr"}, 404, "probe_set", "POST /probe-sets"),
        ({"dissector": "mammo-clip"}, 404, "dissector", "POST /dissectors"),
        ({"layers": ["blocks.7"]}, 422, "layers", "blocks.1"),
        ({"method": {"top_k": 121}}, 422, "method.top_k", "at most 120"),
    ],
)
def test_a_job_that_cannot_run(
    client: TestClient, body: dict[str, Any], changes: dict[str, Any], status: int, field: str, hint: str
) -> None:
    answer = problem(client.post("/jobs", json=body | changes), status)
    assert answer["field"] == field
    assert hint in answer["remedy"]
    assert client.get("/jobs").json()["items"] == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"layers": []}, "layers"),
        ({"layers": "some"}, "layers"),
        ({"method": {"similarity": "euclid"}}, "method.similarity"),
        ({"method": {"temperature": 0}}, "method.temperature"),
        ({"concepts_per_neuron": 0}, "concepts_per_neuron"),
        ({"priority": 101}, "priority"),
        ({"queue": "A b"}, "queue"),
        ({"batch_size": 0}, "batch_size"),
        ({"shard_size": 0}, "shard_size"),
        ({"urgency": 3}, "urgency"),
    ],
)
def test_a_job_of_the_wrong_shape(
    client: TestClient, body: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    answer = problem(client.post("/jobs", json=body | changes), 422)
    assert answer["field"].startswith(field)


def test_a_target_may_come_inside_the_job(
    client: TestClient, queue: RecordingQueue, body: dict[str, Any], data_root: Path
) -> None:
    (data_root / "new.safetensors").write_bytes(b"weights")
    target = {"checkpoint": str(data_root / "new.safetensors"), "architecture": "timm/resnet18"}
    first, second = (client.post("/jobs", json=body | {"target": target}).json() for _ in range(2))
    assert first["target"] == second["target"]
    assert first["target"].startswith("inline-")
    assert [task for task, _ in queue.published] == [WORK_TASK] * 3, "for the model's layers, and for two jobs"
    assert client.get(f"/models/{first['target']}").json()["spec"]["architecture"] == "timm/resnet18"


def test_cancel_before_a_worker_came(client: TestClient, body: dict[str, Any]) -> None:
    job = client.post("/jobs", json=body).json()
    cancelled = client.post(f"/jobs/{job['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert cancelled.json()["finished_at"] is not None
    assert client.get("/jobs", params={"status": "cancelled"}).json()["items"] == [brief(cancelled.json())]
    assert client.get("/jobs", params={"status": "queued"}).json()["items"] == []


def test_a_job_is_cut_and_queued_as_asked(client: TestClient, queue: RecordingQueue, body: dict[str, Any]) -> None:
    cut = {"batch_size": 2, "shard_size": 50, "queue": "research", "priority": 7}
    job = client.post("/jobs", json=body | cut).json()
    assert {name: job[name] for name in cut} == cut
    assert [(stage["items"], stage["total"]) for stage in job["progress"]] == [(3, 120)]
    assert queue.published == [(WORK_TASK, UUID(job["id"]))]


def test_a_job_says_whether_it_asks_where_neurons_look(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post("/jobs", json=body).json()["localisation"] is None
    asked = client.post("/jobs", json=body | {"localisation": {}})
    assert (asked.status_code, asked.json()["localisation"]) == (202, {"findings": []})
    given = client.post("/jobs", json=body | {"localisation": {"findings": ["lesion", "lesion", "mass"]}}).json()
    assert given["localisation"] == {"findings": ["lesion", "mass"]}
    assert client.get(f"/jobs/{given['id']}").json()["localisation"] == given["localisation"]

    too_many = {"findings": [f"finding {number}" for number in range(6)]}
    refused = problem(client.post("/jobs", json=body | {"localisation": too_many}), 422)
    assert refused["field"] == "localisation.findings"
    refused = problem(client.post("/jobs", json=body | {"localisation": {"findings": [""]}}), 422)
    assert refused["field"].startswith("localisation.findings")


def test_a_request_that_does_not_ask_is_the_one_that_earlier_releases_got(
    client: TestClient, body: dict[str, Any]
) -> None:
    assert "localisation" not in JobIn.model_validate(body).as_asked()
    key = {"Idempotency-Key": "night"}
    first = client.post("/jobs", json=body, headers=key).json()
    assert client.post("/jobs", json=body | {"localisation": None}, headers=key).json()["id"] == first["id"]
    other = client.post("/jobs", json=body | {"localisation": {}}, headers=key)
    assert problem(other, 422)["field"] == "Idempotency-Key"


def end(sessions: Sessions, job: str, status: JobStatus) -> None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET status = 'withdrawn'"))
        assert move_job(session, UUID(job), JobStatus.RUNNING)
        assert move_job(session, UUID(job), status)


def test_retry_and_replay(client: TestClient, queue: RecordingQueue, body: dict[str, Any], sessions: Sessions) -> None:
    job = client.post("/jobs", json=body).json()["id"]
    assert problem(client.post(f"/jobs/{job}/retry"), 409)["value"] == "queued"
    assert problem(client.post(f"/jobs/{job}/replay"), 409)["field"] == "job"
    end(sessions, job, JobStatus.DEAD)
    again = client.post(f"/jobs/{job}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "queued")
    end(sessions, job, JobStatus.SUCCEEDED)
    replay = client.post(f"/jobs/{job}/replay")
    assert (replay.status_code, replay.json()["replay_of"]) == (202, job)
    assert client.get(replay.headers["location"]).json() == replay.json()
    assert [identifier for _, identifier in queue.published] == [UUID(job), UUID(job), UUID(replay.json()["id"])]
    for call in ("retry", "replay"):
        assert problem(client.post(f"/jobs/{uuid4()}/{call}"), 404)["field"] == "job"


def events_of(text: str) -> list[dict[str, str]]:
    """The stream's events, a dict of its fields each."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_a_jobs_events_can_be_followed_and_resumed(
    client: TestClient, body: dict[str, Any], sessions: Sessions
) -> None:
    job = client.post("/jobs", json=body).json()["id"]
    end(sessions, job, JobStatus.FAILED)
    answer = client.get(f"/jobs/{job}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    told = [event for event in events if "id" in event]
    assert [json.loads(event["data"])["status"] for event in told] == ["queued", "running", "failed"]
    assert {event["event"] for event in events} == {"status", "progress"}
    resumed = client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": told[0]["id"]})
    assert [event["id"] for event in events_of(resumed.text) if "id" in event] == [event["id"] for event in told[1:]]
    assert problem(client.get(f"/jobs/{uuid4()}/events"), 404)["field"] == "job"
    assert problem(client.get(f"/jobs/{job}/events", headers={"Last-Event-ID": "x"}), 422)["field"] == "last-event-id"


def test_unknown_jobs(client: TestClient) -> None:
    assert problem(client.get(f"/jobs/{uuid4()}"), 404)["field"] == "job"
    assert problem(client.post(f"/jobs/{uuid4()}/cancel"), 404)["field"] == "job"
    assert problem(client.get("/jobs/seven"), 422)["field"] == "job_id"


def test_a_probe_set_that_is_still_to_be_measured(client: TestClient, sessions: Sessions, body: dict[str, Any]) -> None:
    with transaction(sessions) as session:
        grid = {"size": 16, "stride": 16}
        resource(session, ResourceKind.PROBE_SET, "cut", manifest="/x", patches=grid, images=None)
    refused = problem(client.post("/jobs", json=body | {"probe_set": "cut"}), 409)
    assert refused["type"] == "urn:mammodissect:problem:not-measured"
    assert (refused["field"], refused["value"]) == ("probe_set", "cut@1")
    assert "GET /probe-sets/cut@1" in refused["remedy"]


def test_an_error_level_is_part_of_the_request_only_where_it_is_given(client: TestClient, body: dict[str, Any]) -> None:
    default = JobIn.model_validate(body).as_asked()
    assert default["evidence"] == {"draws": 10_000, "resamples": 200, "halves": 20}

    asked = JobIn.model_validate(body | {"evidence": {"error_level": 0.05}}).as_asked()
    assert asked["evidence"] == {**default["evidence"], "error_level": 0.05}
    job = client.post("/jobs", json=body | {"evidence": {"error_level": 0.05}}).json()
    assert client.get(f"/jobs/{job['id']}").json()["error_level"] == 0.05


@pytest.mark.parametrize("level", [0, 0.009, 0.51, "much", True])
def test_an_error_level_that_cannot_be_meant(client: TestClient, body: dict[str, Any], level: object) -> None:
    refused = problem(client.post("/jobs", json=body | {"evidence": {"error_level": level}}), 422)
    assert refused["field"] == "evidence.error_level"
