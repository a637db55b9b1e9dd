"""Networks that users bring: an installed package's and an ONNX file, through the API and a real worker process."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from fastapi.testclient import TestClient
from pydantic import SecretStr
from safetensors.torch import save_file

from api.app import create_app
from service.config import Settings
from tests.engine.architectures.own_packages import install
from tests.engine.onnx_files import export, move_out
from tests.pipelines.small_jobs import IMAGES, write_folder

PATIENCE_S = 240
SIZE = (64, 64)
PACKAGE = """
import timm

from service.domain.preprocessing import Preprocessing
from service.engine.architectures.own import OwnArchitecture


def ward_resnet(weights):
    return OwnArchitecture(
        timm.create_model("test_resnet", num_classes=weights["fc.weight"].shape[0]),
        preprocessing=Preprocessing(64, 64, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        to_arguments=lambda images: (images,),
    )
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data, and in `site` a package."""
    made = tmp_path / "data"
    made.mkdir()
    write_folder(made)

    torch.manual_seed(4)
    network = timm.create_model("test_resnet").eval()
    save_file(network.state_dict(), made / "ward.safetensors")
    move_out(export(network, made / "ward.onnx", size=SIZE), "ward.onnx.data")

    site = made / "site"
    site.mkdir()
    install(site, package="ward-networks", module="ward_networks", code=PACKAGE, ward_resnet="ward_resnet")
    return made


@pytest.fixture
def settings(database_url: str, broker_url: str, folder: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        broker_url=SecretStr(broker_url),
        api_key=SecretStr("open sesame"),
        data_roots=str(folder),
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), headers={"Authorization": "Bearer open sesame"}) as client:
        yield client


@pytest.fixture
def worker(settings: Settings, folder: Path, tmp_path: Path) -> Iterator[None]:
    environment = os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "BROKER_URL": settings.broker_url.get_secret_value(),
        "ARTIFACTS_URL": (tmp_path / "artifacts").as_uri(),
        "DATA_ROOTS": settings.data_roots,
        "ARCHITECTURE_PACKAGES": "ward-networks",
        "PYTHONPATH": str(folder / "site"),
    }
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "workers"], env=environment, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(60) == 0, (tmp_path / "worker.log").read_text()


def waited(client: TestClient, path: str, is_ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen: dict[str, Any] = client.get(path).json()
        if is_ready(seen):
            return seen
        time.sleep(0.1)
    raise AssertionError(f"{path} is not ready: {seen}")


def registered(client: TestClient, name: str, checkpoint: Path, architecture: str) -> dict[str, Any]:
    body = {"name": name, "checkpoint": str(checkpoint), "architecture": architecture}
    response = client.post("/models", json=body)
    assert response.status_code == 201, response.text
    return waited(client, f"/models/{name}", lambda model: bool(model["layers"] or model["problem"]))


def dissected(client: TestClient, target: str, layer: str) -> tuple[dict[str, Any], list[tuple[int, str]]]:
    """The manifest, and the labels of the units."""
    body = {
        "target": target,
        "layers": [layer],
        "concept_set": "bi-rads",
        "probe_set": "probes",
        "dissector": "dissector",
        "method": {"top_k": 4},
        "evidence": {"draws": 0},
    }
    response = client.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    job = waited(client, f"/jobs/{response.json()['id']}", lambda seen: seen["finished_at"] is not None)
    assert job["status"] == "succeeded", job["problem"]
    neurons = client.get(f"/neurons/{layer}", params={"model": target, "limit": 500}).json()["items"]
    return job["manifest"], sorted((neuron["unit"], neuron["concept"]) for neuron in neurons)


@pytest.mark.proves("architecture", "own and its ONNX export, through API and worker")
def test_an_own_network_and_its_onnx_export_have_the_same_labels(
    client: TestClient, worker: None, folder: Path
) -> None:
    for path, body in {
        "/dissectors": {"name": "dissector", "path": str(folder / "dissector")},
        "/probe-sets": {"name": "probes", "manifest": str(folder / "manifest.csv")},
    }.items():
        assert client.post(path, json=body).status_code == 201

    own = registered(client, "own", folder / "ward.safetensors", "own/ward_resnet")
    graph = registered(client, "graph", folder / "ward.onnx", "onnx")
    assert own["spec"]["origin"] == {"package": "ward-networks", "version": "1.2"}
    assert list(graph["spec"]["data"]) == ["ward.onnx.data"]
    assert "mean, std were not given" in graph["warnings"][0]
    kinds = {layer["name"]: layer["kind"] for layer in graph["layers"]}
    [*_, last] = [name for name, kind in kinds.items() if kind == "Relu"]

    of_own, own_labels = dissected(client, "own", "layer4.0")
    of_graph, graph_labels = dissected(client, "graph", last)
    assert own_labels == graph_labels
    assert len(own_labels) == 96
    assert of_own["images_used"] == of_graph["images_used"] == IMAGES
    assert of_own["target"]["origin"] == {"package": "ward-networks", "version": "1.2"}
    assert of_graph["target"]["origin"]["data"] == graph["spec"]["data"]
    assert of_graph["target"]["warnings"] == graph["warnings"]

    refused = registered(client, "other", folder / "ward.safetensors", "own/absent")
    assert "ARCHITECTURE_PACKAGES" in refused["problem"]["remedy"]

    (folder / "ward.onnx.data").write_bytes(bytes((folder / "ward.onnx.data").stat().st_size))
    client.post("/models/graph/inspect")
    changed = waited(client, "/models/graph", lambda model: model["problem"] is not None)
    assert changed["problem"]["code"] == "digest-mismatch"
