"""Registering, listing and reading models, dissectors, probe sets and concept sets."""

import hashlib
import shutil
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from service.db.resources import find_resource, save_inspection
from service.db.session import Sessions, transaction
from service.db.work import claim_item
from service.domain.concepts import Concept
from service.domain.resources import ResourceKind
from service.domain.work import LayerListing, PreparationLease
from service.errors import ProblemFields
from service.ports import WORK_TASK
from service.usecases.preparation_work import complete_preparation, fail_preparation
from service.usecases.resources import find_parts
from tests.api.test_problems import problem
from tests.usecases.factories import RecordingQueue, refuse, resource, without_preparations

WEIGHTS = b"weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def checkpoint(data_root: Path) -> Path:
    path = data_root / "model.safetensors"
    path.write_bytes(WEIGHTS)
    return path


@pytest.fixture
def manifest(data_root: Path) -> Path:
    for index in range(3):
        Image.new("L", (64, 48), color=index * 40).save(data_root / f"{index}.png")
    path = data_root / "probes.csv"
    path.write_text("image,view\n0.png,CC\n1.png,MLO\n2.png,CC\n")
    return path


def model_body(path: Path, **changes: Any) -> dict[str, Any]:
    return {"name": "screening", "checkpoint": str(path), "architecture": "mammo-clip/b5"} | changes


def test_a_model_is_registered_once_per_content(client: TestClient, queue: RecordingQueue, checkpoint: Path) -> None:
    first = client.post("/models", json=model_body(checkpoint, sha256=SHA256.upper()))
    assert first.status_code == 201
    assert first.headers["location"] == "/models/screening@1"
    body = first.json()
    assert body["spec"] == {"checkpoint": str(checkpoint), "architecture": "mammo-clip/b5", "sha256": SHA256}
    again = client.post("/models", json=model_body(checkpoint))
    assert (again.status_code, again.json()["reference"]) == (200, "screening@1")
    checkpoint.write_bytes(b"other weights")
    newer = client.post("/models", json=model_body(checkpoint))
    assert (newer.status_code, newer.json()["reference"]) == (201, "screening@2")
    assert client.get("/models/screening").json()["version"] == 2
    assert client.get("/models/screening@1").json() == body
    assert [task for task, _ in queue.published] == [WORK_TASK] * 2, "a worker is asked once per version"


def test_other_weights_of_a_file_are_other_content(client: TestClient, checkpoint: Path) -> None:
    first = client.post("/models", json=model_body(checkpoint)).json()
    other = client.post("/models", json=model_body(checkpoint, weights="state_dict_ema")).json()
    assert "weights" not in first["spec"]
    assert (other["version"], other["spec"]["weights"]) == (2, "state_dict_ema")
    assert first["digest"] != other["digest"]
    assert client.post("/models", json=model_body(checkpoint, weights="state_dict_ema")).status_code == 200
    assert problem(client.post("/models", json=model_body(checkpoint, weights="")), 422)["field"] == "weights"


def test_a_checkpoint_that_has_moved_is_the_same_version_read_where_it_is_now(
    client: TestClient, queue: RecordingQueue, checkpoint: Path
) -> None:
    before = client.post("/models", json=model_body(checkpoint)).json()
    moved = checkpoint.rename(checkpoint.with_name("moved.safetensors"))
    again = client.post("/models", json=model_body(moved))
    assert (again.status_code, again.json()) == (200, before | {"spec": before["spec"] | {"checkpoint": str(moved)}})
    assert client.get("/models/screening@1").json() == again.json()
    assert len(queue.published) == 1


def test_the_layers_appear_once_a_worker_has_looked(
    client: TestClient, queue: RecordingQueue, checkpoint: Path, sessions: Sessions
) -> None:
    client.post("/models", json=model_body(checkpoint))
    assert client.get("/models/screening").json()["layers"] is None
    layers: list[LayerListing] = [{"name": "blocks.0", "units": 16, "kind": "conv"}]
    with transaction(sessions) as session:
        model = find_resource(session, ResourceKind.MODEL, "screening", None)
        assert model is not None
        save_inspection(session, model.id, problem={"code": "x", "title": "X", "detail": "x"})
        save_inspection(session, model.id, layers=layers)
    read = client.get("/models/screening").json()
    unknown = dict.fromkeys(("shape", "multiply_adds", "share", "is_main", "ends_stage"))
    assert (read["layers"], read["problem"]) == ([{**layers[0], **unknown}], None)
    assert client.post("/models/screening/inspect").status_code == 202
    assert queue.published == [(WORK_TASK, model.id)], "it is being opened already"
    with transaction(sessions) as session:
        without_preparations(session)
    assert client.post("/models/screening/inspect").status_code == 202
    assert queue.published == [(WORK_TASK, model.id)] * 2
    assert client.get("/models/screening").json() == read, "what is known stays until there is more"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "No Spaces"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a@2"}, "name"),
        ({"sha256": "0" * 64}, "sha256"),
        ({"sha256": "12"}, "sha256"),
        ({"checkpoint": "relative/path"}, "checkpoint"),
        ({"checkpoint": "https://user@example.org/x"}, "checkpoint"),
        ({"checkpoint": "/etc/passwd"}, "checkpoint"),
    ],
)
def test_a_model_that_cannot_be_used(client: TestClient, checkpoint: Path, changes: dict[str, str], field: str) -> None:
    body = problem(client.post("/models", json=model_body(checkpoint, **changes)), 422)
    assert body["field"] == field
    assert client.get("/models").json()["items"] == []


def test_the_data_roots_cannot_be_left(client: TestClient, data_root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(WEIGHTS)
    (data_root / "link").symlink_to(outside)
    for path in (data_root / "link", data_root / ".." / "outside.bin", outside):
        body = problem(client.post("/models", json=model_body(path)), 422)
        assert "data roots" in body["detail"]
    missing = problem(client.post("/models", json=model_body(data_root / "missing")), 422)
    assert "No file or folder exists" in missing["detail"]


def test_what_cannot_be_read_as_a_checkpoint_is_refused(client: TestClient, data_root: Path) -> None:
    (data_root / "circle").symlink_to(data_root / "circle")
    for path in (data_root, data_root / "circle", data_root / ("x" * 300)):
        assert problem(client.post("/models", json=model_body(path)), 422)["field"] == "checkpoint"


def test_a_file_uri_is_a_path(client: TestClient, checkpoint: Path) -> None:
    response = client.post("/models", json=model_body(checkpoint, checkpoint=checkpoint.as_uri()))
    assert response.json()["spec"]["checkpoint"] == str(checkpoint)


def test_dissectors(client: TestClient, data_root: Path) -> None:
    folder = data_root / "reader"
    folder.mkdir()
    body = {"name": "reader", "path": str(folder)}
    assert problem(client.post("/dissectors", json=body), 422)["type"].endswith(":invalid-dissector")
    (folder / "dissector.json").write_text('{"kind": "projected"}')
    first = client.post("/dissectors", json=body).json()
    (folder / "heads.safetensors").write_bytes(b"x")
    second = client.post("/dissectors", json=body).json()
    assert [first["version"], second["version"]] == [1, 2]
    assert first["digest"] != second["digest"]
    assert client.get("/dissectors/reader@1").json() == first
    moved = folder.rename(data_root / "moved")
    again = client.post("/dissectors", json=body | {"path": str(moved)})
    assert (again.status_code, again.json()) == (200, second | {"spec": {"path": str(moved)}})
    assert client.get("/dissectors/reader@2").json() == again.json()


def test_dissectors_with_prompts(client: TestClient, data_root: Path, queue: RecordingQueue) -> None:
    """They are content: other prompts are another version, which a worker opens, too."""
    folder = data_root / "reader"
    folder.mkdir()
    (folder / "dissector.json").write_text('{"kind": "projected"}')
    body = {"name": "reader", "path": str(folder)}
    plain = client.post("/dissectors", json=body).json()
    given = {"templates": ["a mammogram showing {}"]}
    prompted = client.post("/dissectors", json=body | {"prompts": given}).json()
    assert prompted["spec"] == {
        "path": str(folder),
        "prompts": {**given, "synonyms": False, "subtract_empty": False},
        "content": plain["digest"],
    }
    assert (prompted["version"], prompted["state"], len(queue.published)) == (2, "checking", 2)
    assert prompted["digest"] != plain["digest"]

    moved = folder.rename(data_root / "moved")
    again = client.post("/dissectors", json=body | {"path": str(moved), "prompts": given})
    assert (again.status_code, again.json()) == (200, prompted | {"spec": prompted["spec"] | {"path": str(moved)}})
    in_vain = client.post("/dissectors", json=body | {"path": str(moved), "prompts": {"templates": ["{}"]}})
    assert (in_vain.status_code, in_vain.json()["reference"]) == (200, "reader@1"), "each text alone: no prompts"
    wrong = problem(client.post("/dissectors", json=body | {"prompts": {"templates": ["a mammogram"]}}), 422)
    assert (wrong["field"], wrong["value"]) == ("prompts.templates", "a mammogram")


@pytest.mark.parametrize("kind", [ResourceKind.MODEL, ResourceKind.DISSECTOR])
def test_states(client: TestClient, sessions: Sessions, queue: RecordingQueue, kind: ResourceKind) -> None:
    with transaction(sessions) as session:
        part = resource(session, kind, "old", checkpoint="/x", architecture="a", sha256="0", path="/x")

    def states() -> tuple[str | None, str | None]:
        (listed,) = client.get(kind.collection).json()["items"]
        state: str | None = client.get(f"{kind.collection}/old").json()["state"]
        return state, listed["state"]

    assert states() == (None, None), "nobody has asked this release"
    asked = client.post(f"{kind.collection}/old/inspect")
    assert (asked.status_code, asked.json()["state"]) == (202, "checking")
    assert queue.published == [(WORK_TASK, part.id)]
    assert client.post(f"{kind.collection}/old/inspect").json()["state"] == "checking"
    assert len(queue.published) == 1, "it is being opened already"
    assert states() == ("checking", "checking")

    with transaction(sessions) as session:
        refuse(session, part)
    assert states() == ("refused", "refused")
    assert client.post(f"{kind.collection}/old/inspect").json()["state"] == "checking"
    with transaction(sessions) as session:
        without_preparations(session)
    assert states() == ("ready", "ready")
    assert client.get(f"{kind.collection}/old").json()["problem"] is None


def test_a_manifest_elsewhere_whose_images_have_the_same_sizes_is_not_taken_for_the_registered_one(
    client: TestClient, manifest: Path
) -> None:
    registered = client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)}).json()
    folder = manifest.parent / "elsewhere"
    folder.mkdir()
    for file in manifest.parent.glob("*.png"):
        (folder / file.name).write_bytes(bytes(file.stat().st_size))
    again = client.post("/probe-sets", json={"name": "probes", "manifest": str(shutil.copy(manifest, folder))})
    assert (again.status_code, again.json()) == (200, registered)


def test_probe_sets(client: TestClient, manifest: Path) -> None:
    whole = client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)})
    assert whole.status_code == 201, whole.text
    assert whole.json()["spec"]["images"] == 3
    patches = client.post(
        "/probe-sets", json={"name": "probes", "manifest": str(manifest), "patches": {"size": 32, "stride": 32}}
    )
    assert patches.json()["version"] == 2
    assert patches.json()["spec"]["images"] is None, "a worker is to count them"
    skipping = client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest), "on_unreadable": "skip"})
    assert skipping.json()["version"] == 3
    assert client.get("/probe-sets/probes@1").json() == whole.json()


def test_a_patch_set_is_measured_by_a_worker(
    client: TestClient, queue: RecordingQueue, manifest: Path, sessions: Sessions
) -> None:
    body = {"name": "probes", "manifest": str(manifest), "patches": {"size": 32, "stride": 32}}
    posted = client.post("/probe-sets", json=body).json()
    assert (posted["spec"]["images"], posted["problem"]) == (None, None)
    assert queue.published == [(WORK_TASK, UUID(posted["id"]))]

    with transaction(sessions) as session:
        lease = claim_item(session, "tester", timedelta(seconds=60))
        assert isinstance(lease, PreparationLease)
        unreadable = ProblemFields(
            code="unreadable-image", title="x", detail="The image of manifest row 2 cannot be read."
        )
        fail_preparation(session, lease, unreadable)
    read = client.get("/probe-sets/probes").json()
    assert read["spec"]["images"] is None
    assert "row 2" in read["problem"]["detail"]
    assert "POST /probe-sets/probes@1/measure" in read["problem"]["remedy"]

    again = client.post("/probe-sets/probes/measure")
    assert (again.status_code, again.json()["problem"]) == (202, None)
    with transaction(sessions) as session:
        lease = claim_item(session, "tester", timedelta(seconds=60))
        assert isinstance(lease, PreparationLease)
        complete_preparation(session, lease, {"images": 12, "unmeasured": 2, "unmeasured_rows": [2, 5]})
    measured = {"images": 12, "unmeasured": 2, "unmeasured_rows": [2, 5]}
    assert client.get("/probe-sets/probes").json() == posted | {"spec": posted["spec"] | measured}
    assert client.post("/probe-sets", json=body).json()["spec"]["images"] == 12
    assert client.post("/probe-sets/probes/measure").json()["spec"]["images"] == 12
    assert len(queue.published) == 2, "nothing is measured twice"


def test_a_manifest_may_not_reach_outside_the_data_roots(client: TestClient, manifest: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")
    manifest.write_text(f"image\n{tmp_path / 'secret.png'}\n")
    body = problem(client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)}), 422)
    assert "data roots" in body["detail"]


def test_concept_sets(client: TestClient) -> None:
    concepts = ["spiculated mass", {"text": "skin thickening", "category": "associated features"}]
    first = client.post("/concept-sets", json={"name": "mine", "concepts": concepts})
    assert first.status_code == 201, first.text
    assert first.json()["spec"] == {"concepts": 2}
    read = client.get("/concept-sets/mine").json()["spec"]["concepts"]
    assert [concept["text"] for concept in read] == ["spiculated mass", "skin thickening"]
    assert read[1]["category"] == "associated features"
    assert client.post("/concept-sets", json={"name": "mine", "concepts": concepts}).status_code == 200


@pytest.mark.parametrize("concepts", [["a", "a"], ["a", ""], [{"text": "a", "colour": "red"}], [{"category": "a"}]])
def test_concepts_that_cannot_be_used(client: TestClient, concepts: list[Any]) -> None:
    assert problem(client.post("/concept-sets", json={"name": "mine", "concepts": concepts}), 422)["type"].endswith(
        ":invalid-concept-set"
    )


def test_the_built_in_concepts_are_there_from_the_start(client: TestClient) -> None:
    listed = client.get("/concept-sets").json()["items"]
    assert [item["name"] for item in listed] == ["bi-rads"]
    assert listed[0]["spec"]["concepts"] >= 300
    assert len(client.get("/concept-sets/bi-rads@1").json()["spec"]["concepts"]) == listed[0]["spec"]["concepts"]


def test_built_in_concepts_of_an_earlier_release_get_a_new_version(client: TestClient, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        earlier = resource(
            session, ResourceKind.CONCEPT_SET, "bi-rads", "of before", concepts=[asdict(Concept("mass"))]
        )
        parts = {ResourceKind.CONCEPT_SET: ("concept_set", "bi-rads")}
        assert find_parts(session, parts)[ResourceKind.CONCEPT_SET].reference == "bi-rads@2"
        parts = {ResourceKind.CONCEPT_SET: ("concept_set", "bi-rads@1")}
        assert find_parts(session, parts)[ResourceKind.CONCEPT_SET].id == earlier.id
    listed = client.get("/concept-sets").json()["items"]
    assert [(item["reference"], item["spec"]["concepts"] > 300) for item in listed] == [
        ("bi-rads@2", True),
        ("bi-rads@1", False),
    ]


def test_a_set_of_one_s_own_may_follow_a_built_in_one(client: TestClient) -> None:
    client.get("/concept-sets")
    assert client.post("/concept-sets", json={"name": "bi-rads", "concepts": ["mass"]}).json()["version"] == 2
    assert [item["version"] for item in client.get("/concept-sets").json()["items"]] == [2, 1]


@pytest.mark.parametrize("collection", ["models", "dissectors", "probe-sets", "concept-sets"])
def test_unknown_names(client: TestClient, collection: str) -> None:
    body = problem(client.get(f"/{collection}/unheard-of"), 404)
    assert body["field"] == "name"
    assert f"POST /{collection}" in body["remedy"]
    assert problem(client.get(f"/{collection}/x@y"), 422)


def test_lists_are_paged_newest_first(client: TestClient) -> None:
    client.get("/concept-sets")  # by which the built-in set is the oldest
    for name in ("a", "b", "c"):
        client.post("/concept-sets", json={"name": name, "concepts": [name]})
    first = client.get("/concept-sets", params={"limit": 2})
    second = client.get(first.links["next"]["url"])
    assert [item["name"] for item in first.json()["items"]] == ["c", "b"]
    assert [item["name"] for item in second.json()["items"]] == ["a", "bi-rads"]
    assert second.json()["next"] is None
