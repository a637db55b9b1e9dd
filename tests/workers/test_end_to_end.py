"""The main job: posted over HTTP, woken through a real broker, done by a real worker process, stored in Postgres."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from cli.samples import Samples, write_samples
from service.config import Settings

PATIENCE_S = 240
IMAGES = 24


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return write_samples(tmp_path_factory.mktemp("samples"), phantoms=IMAGES, seed=5)


@pytest.fixture
def settings(database_url: str, broker_url: str) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        broker_url=SecretStr(broker_url),
        api_key=SecretStr("open sesame"),
        batch_size=4,
        data_roots="/",
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), headers={"Authorization": "Bearer open sesame"}) as client:
        yield client


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[None]:
    environment = os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "ARTIFACTS_URL": (tmp_path / "artifacts").as_uri(),
        "DATA_ROOTS": settings.data_roots,
    }
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "workers"], env=environment, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(60) == 0, (tmp_path / "worker.log").read_text()


def register(client: TestClient, files: Samples) -> None:
    for path, body in {
        "/models": {"name": "lite0", "checkpoint": str(files.checkpoint), "architecture": "efficientnet-lite0"},
        "/dissectors": {"name": "reader", "path": str(files.dissector)},
        "/probe-sets": {"name": "phantoms", "manifest": str(files.phantoms)},
    }.items():
        response = client.post(path, json=body)
        assert response.status_code == 201, response.text


def body(**changes: Any) -> dict[str, Any]:
    return {
        "target": "lite0",
        "layers": ["_blocks[3]", "_blocks[15]"],
        "concept_set": "bi-rads",
        "probe_set": "phantoms",
        "dissector": "reader",
        "method": {"top_k": 8},
        "concepts_per_neuron": 3,
        "images_per_neuron": 2,
    } | changes


def refusal(client: TestClient, **changes: Any) -> dict[str, Any]:
    response = client.post("/jobs", json=body(**changes))
    assert response.status_code == 422, response.text
    problem: dict[str, Any] = response.json()
    return problem


def post(client: TestClient, **changes: Any) -> str:
    response = client.post("/jobs", json=body(**changes))
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def ended(client: TestClient, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen: dict[str, Any] = client.get(f"/jobs/{job}").json()
        if seen["finished_at"] is not None:
            return seen
        time.sleep(0.1)
    raise AssertionError(f"the job has not ended: {seen}")


def register_broken(client: TestClient, folder: Path) -> None:
    """A dissector whose weights are missing, and a model whose weights are none."""
    folder.mkdir()
    (folder / "dissector.json").write_text('{"kind": "open_clip", "checkpoint": "weights.safetensors"}')
    (folder / "weights.pt").write_bytes(b"no weights")
    response = client.post("/dissectors", json={"name": "blind", "path": str(folder)})
    assert (response.status_code, response.json()["state"]) == (201, "checking"), response.text
    checkpoint = {"checkpoint": str(folder / "weights.pt"), "architecture": "efficientnet-lite0"}
    assert client.post("/models", json={"name": "broken", **checkpoint}).status_code == 201


def states(client: TestClient, collection: str) -> dict[str, str]:
    """Of all that is registered, once a worker has looked."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = {part["name"]: part["state"] for part in client.get(f"/{collection}").json()["items"]}
        if "checking" not in seen.values():
            return seen
        time.sleep(0.1)
    raise AssertionError(f"nobody has looked: {seen}")


def check_states(client: TestClient) -> None:
    """What a worker could open is ready; what it could not is refused, and takes no job."""
    for collection, field, good, bad in (
        ("models", "target", "lite0", "broken"),
        ("dissectors", "dissector", "reader", "blind"),
    ):
        assert states(client, collection) == {good: "ready", bad: "refused"}
        reason = client.get(f"/{collection}/{bad}").json()["problem"]
        told = client.post("/jobs", json=body(**{field: bad}))
        assert (told.status_code, told.json()["field"]) == (409, field)
        assert reason["detail"] in told.json()["detail"]
        assert f"POST /{collection}/{bad}@1/inspect" in told.json()["remedy"]


def check_picture(client: TestClient, neuron: dict[str, Any]) -> None:
    """A worker's child draws what the unit does in its first image, while the caller waits."""
    marks = {"layer": neuron["layer"], "unit": neuron["unit"], "region": True, "heat": True, "wait": 10}
    url = f"/jobs/{neuron['job']}/images/{neuron['images'][0]['row']}"
    deadline = time.monotonic() + PATIENCE_S
    while (picture := client.get(url, params=marks)).status_code in {202, 503}:
        assert time.monotonic() < deadline, picture.text
    assert (picture.status_code, picture.content[8:12]) == (200, b"WEBP"), picture.text


def test_from_post_jobs_to_get_neurons(client: TestClient, worker: None, files: Samples, tmp_path: Path) -> None:
    register(client, files)
    register_broken(client, tmp_path / "broken")
    job = ended(client, post(client))
    assert job["status"] == "succeeded", job["problem"]
    assert [(stage["stage"], stage["done"] == stage["total"]) for stage in job["progress"]] == [
        ("probe", True), ("score", True), ("store", True)
    ]  # fmt: skip
    assert job["manifest"]["images_used"] == IMAGES
    assert job["manifest"]["target"]["sha256"] == client.get("/models/lite0").json()["spec"]["sha256"]

    layers = client.get("/layers", params={"model": "lite0"}).json()["items"]
    assert [(layer["layer"], layer["units"]) for layer in layers] == [("_blocks.3", 40), ("_blocks.15", 320)]

    page = client.get("/neurons/_blocks[15]", params={"model": "lite0", "limit": 500}).json()
    assert {neuron["unit"] for neuron in page["items"]} == set(range(320))
    concepts = {concept["text"] for concept in client.get("/concept-sets/bi-rads").json()["spec"]["concepts"]}
    for neuron in page["items"]:
        if not neuron["dead"]:
            assert neuron["concept"] in concepts
    whole = client.get(f"/neurons/_blocks[15]/{page['items'][0]['unit']}", params={"model": "lite0"}).json()
    assert [len(whole["concepts"]), len(whole["images"])] == [3, 2]
    assert whole["images"][0]["activation"] == pytest.approx(whole["activation"]["maximum"])
    check_picture(client, whole)
    scores = [neuron["score"] for neuron in page["items"] if neuron["score"] is not None]
    assert scores == sorted(scores, reverse=True)
    assert layers[1]["mean_top_score"] == pytest.approx(sum(scores) / len(scores))

    model = client.get("/models/lite0").json()
    assert {"name": "_blocks.15", "units": 320} in [
        {k: layer[k] for k in ("name", "units")} for layer in model["layers"]
    ]
    assert "_blocks.1" in refusal(client, layers=["_blocks[16]"])["remedy"]
    check_states(client)


def test_a_running_job_stops_when_it_is_cancelled(client: TestClient, worker: None, files: Samples) -> None:
    register(client, files)
    rows = files.phantoms.read_text().splitlines()
    header, first = rows[0], rows[1]
    columns = header.split(",")
    many = files.phantoms.with_name("many.csv")
    cells = dict(zip(columns, first.split(","), strict=False))
    image = many.parent / cells["image"]
    copies = [many.parent / f"copy-{number}{image.suffix}" for number in range(3_000)]
    for copy in copies:  # rows of one path are one image
        copy.hardlink_to(image)
    many.write_text("\n".join(["image", *(copy.name for copy in copies)]))
    assert client.post("/probe-sets", json={"name": "many", "manifest": str(many)}).status_code == 201
    job = post(client, probe_set="many", layers="all")
    deadline = time.monotonic() + PATIENCE_S
    while not any(
        stage["stage"] == "probe" and stage["done"] for stage in client.get(f"/jobs/{job}").json()["progress"]
    ):
        assert time.monotonic() < deadline, client.get(f"/jobs/{job}").json()
        time.sleep(0.1)
    assert client.post(f"/jobs/{job}/cancel").json()["status"] == "cancelled"
    last = ended(client, job)
    assert (last["status"], last["problem"], last["manifest"]) == ("cancelled", None, None)
    assert client.get("/layers", params={"job": job}).status_code == 409
