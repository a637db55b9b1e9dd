"""A table in place of a network, from the API through a worker to the report."""

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from service.db.session import Sessions
from service.usecases.audit_verdicts import judge_ended_audits
from tests.pipelines.small_jobs import IMAGES
from tests.usecases.factories import RecordingQueue

UNITS = 6
VALUES = np.random.default_rng(8).standard_normal((IMAGES, UNITS)).astype(np.float32)


@pytest.fixture
def client(settings: Settings, folder: Path) -> Iterator[TestClient]:
    app = create_app(
        settings.model_copy(
            update={"api_key": SecretStr("open sesame"), "broker_url": SecretStr("redis://localhost:1")}
        )
    )
    app.state.queue = RecordingQueue()
    with TestClient(app, headers={"Authorization": "Bearer open sesame"}) as client:
        post(client, "/dissectors", name="dissector", path=str(folder / "dissector"))
        post(client, "/probe-sets", name="probes", manifest=str(folder / "manifest.csv"))
        post(client, "/concept-sets", name="words", concepts=["mass", "calcification", "clip"])
        yield client


def post(client: TestClient, collection: str, status: int = 201, **body: Any) -> Any:
    response = client.post(collection, json=body)
    assert response.status_code == status, response.text
    return response.json()


def write_table(path: Path, rows: range = range(IMAGES)) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "patient_id", *(f"score {unit}" for unit in "abcdef")])
        writer.writerows([f"{row}.png", "p", *map(str, VALUES[row])] for row in rows)
    return path


def ask(client: TestClient, status: int = 202, **changes: Any) -> Any:
    body = {
        "target": "vendor",
        "layers": "all",
        "concept_set": "words",
        "probe_set": "probes",
        "dissector": "dissector",
        "method": {"top_k": 4},
        "evidence": {"draws": 0},
        "batch_size": 4,
        "shard_size": 4,
    }
    return post(client, "/jobs", status, **(body | changes))


def register(client: TestClient, path: Path, **more: Any) -> Any:
    return post(client, "/models", name="vendor", checkpoint=str(path), architecture="table", **more)


@pytest.mark.proves("table", "registered, listed, dissected and reported, through API and worker")
def test_a_table_from_registration_to_the_report(client: TestClient, folder: Path, work: Callable[[], None]) -> None:
    register(client, write_table(folder / "vendor.csv"))
    work()
    model = client.get("/models/vendor").json()
    assert (model["state"], model["problem"], model["input"]) == ("ready", None, None)
    assert [(layer["name"], layer["units"]) for layer in model["layers"]] == [("table", UNITS)]
    assert model["spec"]["table"]["columns"] == {"table": [f"score {unit}" for unit in "abcdef"]}
    assert model["spec"]["table"]["left_out"] == ["patient_id"]
    assert "no network was run" in model["warnings"][0]

    job = ask(client)
    work()
    ended = client.get(f"/jobs/{job['id']}").json()
    assert ended["status"] == "succeeded", ended["problem"]
    used = ended["manifest"]["target"]
    assert used["table"]["use"] == {
        "matched_by": "path",
        "named_by": "image",
        "images_without_row": 0,
        "rows_unused": 0,
    }
    assert used["warnings"] == model["warnings"]
    for unit in range(UNITS):
        neuron = client.get(f"/neurons/table/{unit}", params={"job": job["id"]}).json()
        expected = np.argsort(-VALUES[:, unit])[:4]
        assert [image["row"] - 1 for image in neuron["images"]][:4] == expected[: len(neuron["images"])].tolist()
        assert neuron["images"][0]["activation"] == pytest.approx(float(VALUES[:, unit].max()))

    report = client.get(f"/jobs/{job['id']}/report").text
    for words in ("no network was run", "The target is a table (csv) of 10 rows", "score a, score b"):
        assert words in report

    replay = post(client, f"/jobs/{job['id']}/replay", 202)
    work()
    assert client.get(f"/jobs/{replay['id']}").json()["manifest"]["replay"]["identical"]


def test_what_a_table_cannot_be_asked_is_said_at_once(
    client: TestClient, folder: Path, work: Callable[[], None]
) -> None:
    path = write_table(folder / "vendor.csv")
    body = {"name": "vendor", "checkpoint": str(path), "architecture": "table"}
    assert post(client, "/models", 422, **body, input={"height": 64})["field"] == "input"
    assert post(client, "/models", 422, **body, weights="ema")["field"] == "weights"

    register(client, path)
    assert ask(client, 422, shuffled=1)["field"] == "shuffled"
    grid = {"size": 20, "stride": 20}
    post(client, "/probe-sets", name="patches", manifest=str(folder / "manifest.csv"), patches=grid)
    work()
    refused = ask(client, 422, probe_set="patches")
    assert (refused["field"], refused["value"]) == ("probe_set", "patches@1")


def test_a_table_without_some_images_fails_the_job_or_skips_them(
    client: TestClient, folder: Path, work: Callable[[], None]
) -> None:
    register(client, write_table(folder / "vendor.csv", range(1, 8)))
    failing = ask(client)
    post(client, "/probe-sets", name="skipping", manifest=str(folder / "manifest.csv"), on_unreadable="skip")
    skipping = ask(client, probe_set="skipping")
    work()

    problem = client.get(f"/jobs/{failing['id']}").json()["problem"]
    assert "no row for 3 of 10 images: those of manifest rows 1, 9, 10" in problem["detail"]
    manifest = client.get(f"/jobs/{skipping['id']}").json()["manifest"]
    assert (manifest["images_used"], manifest["rows_skipped"]) == (7, [1, 9, 10])
    assert manifest["target"]["table"]["use"]["images_without_row"] == 3


def test_tables_are_compared_and_audited(
    client: TestClient, folder: Path, work: Callable[[], None], sessions: Sessions
) -> None:
    register(client, write_table(folder / "vendor.csv"))
    first = ask(client)
    shuffled = folder / "other.csv"
    shuffled.write_text(write_table(shuffled).read_text().replace("-0.", "0."))
    candidate = {"checkpoint": str(shuffled), "architecture": "table"}
    register(client, shuffled)
    second = ask(client, target="vendor@2")
    work()

    comparison = post(client, "/comparisons", jobs=[first["id"], second["id"]])
    assert client.get(f"/comparisons/{comparison['id']}/report").status_code == 200

    post(client, "/policies", name="ward", policy={"rules": [{"rule": "category-loss", "at_most": 0.4}]})
    post(client, "/deployments", name="east", policy="ward", baseline=first["id"])
    same = post(client, "/audits", 202, deployment="east")
    other = post(client, "/audits", 202, deployment="east", target=candidate)
    work()
    judge_ended_audits(sessions)
    judged = [client.get(f"/audits/{audit['id']}").json() for audit in (same, other)]
    assert [audit["status"] for audit in judged] == ["judged", "judged"]
    reproduced = judged[0]["outcomes"][0]
    assert (reproduced["rule"], reproduced["outcome"]) == ("reproducibility", "pass")
    assert "no network was run" in client.get(f"/audits/{other['id']}/report").text


def test_a_wrong_table_is_refused_when_it_is_registered(
    client: TestClient, folder: Path, work: Callable[[], None]
) -> None:
    path = write_table(folder / "vendor.csv")
    path.write_text(path.read_text().replace("5.png,p,", "5.png,p,high", 1))
    register(client, path)
    work()
    model = client.get("/models/vendor").json()
    assert model["state"] == "refused"
    assert "Row 6 of the table has the text 'high" in model["problem"]["detail"]
    assert model["problem"]["value"] == "row 6, column 'score a'"


def test_the_names_of_an_arrays_rows_are_part_of_its_content(
    client: TestClient, folder: Path, work: Callable[[], None]
) -> None:
    np.save(folder / "vendor.npy", VALUES)
    ids = folder / "vendor.ids.txt"
    ids.write_text("".join(f"{row}.png\n" for row in range(IMAGES)))
    first = register(client, folder / "vendor.npy")
    work()
    ids.write_text("".join(f"{row}.png\n" for row in reversed(range(IMAGES))))
    job = ask(client, target="vendor@1")
    work()
    assert client.get(f"/jobs/{job['id']}").json()["problem"]["code"] == "digest-mismatch"

    second = register(client, folder / "vendor.npy")
    assert (first["version"], second["version"]) == (1, 2)
    job = ask(client, target="vendor@2")
    work()
    assert client.get(f"/jobs/{job['id']}").json()["status"] == "succeeded"

    shutil.copy(folder / "vendor.npy", folder / "moved.npy")
    shutil.copy(ids, folder / "moved.ids.txt")
    moved = {"name": "vendor", "checkpoint": str(folder / "moved.npy"), "architecture": "table"}
    assert post(client, "/models", 200, **moved)["version"] == 2
