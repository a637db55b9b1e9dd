"""A sparse autoencoder on a registered model's layer, from its registration to the report."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from fastapi.testclient import TestClient
from pydantic import SecretStr
from safetensors.torch import load_file
from torch import Tensor

from api.app import create_app
from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.digests import digest_of_file
from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.pipelines.items import DissectionRunner
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from tests.engine.autoencoder_files import LAYOUTS, K, Numbers, write_autoencoder
from tests.engine.small_networks import ARCHITECTURE
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import IMAGES, register
from tests.reports.page import Page
from tests.usecases.factories import RecordingQueue

LAYER = "layer4.0"
LATENTS = f"{LAYER}.latents"
WIDTH, NUMBER = 96, 24


@pytest.fixture
def client(settings: Settings, folder: Path) -> Iterator[TestClient]:
    opened = settings.model_copy(
        update={
            "api_key": SecretStr("open sesame"),
            "broker_url": SecretStr("redis://localhost:1"),
            "data_roots": str(folder),
        }
    )
    app = create_app(opened)
    app.state.queue = RecordingQueue()
    with TestClient(app, headers={"Authorization": "Bearer open sesame"}) as client:
        yield client


@pytest.fixture
def work(sessions: Sessions, settings: Settings, runner: DissectionRunner, folder: Path) -> Callable[[], None]:
    """Everything else is registered; works until nothing is ready."""
    with transaction(sessions) as session:
        register(session, folder, RecordingQueue())

    def finish() -> None:
        inline_host(sessions, settings, runner).work()

    return finish


def write(folder: Path, seed: int = 7) -> Numbers:
    numbers = Numbers.drawn(WIDTH, NUMBER, seed)
    write_autoencoder(folder / "sae", LAYOUTS["SAELens topk"], numbers, name="sae_weights.safetensors")
    return numbers


def body(folder: Path, **autoencoder: Any) -> dict[str, Any]:
    given = {"layer": "layer4[0]", "checkpoint": str(folder / "sae"), **autoencoder}
    return {
        "name": "sparse",
        "checkpoint": str(folder / "target.safetensors"),
        "architecture": ARCHITECTURE,
        "autoencoder": given,
    }


def job_body(*layers: str) -> dict[str, Any]:
    return {
        "target": "sparse",
        "dissector": "dissector",
        "probe_set": "probes",
        "concept_set": "words",
        "layers": list(layers),
        "method": {"top_k": 4},
        "images_per_neuron": 3,
        "evidence": {"draws": 0},
    }


def shown_images(folder: Path) -> Tensor:
    target = open_target(TargetSpec(folder / "target.safetensors", ARCHITECTURE), torch.device("cpu"))
    images = open_images(read_manifest(folder / "manifest.csv", name="probes", patches=None, on_unreadable="fail"))
    arrays = [images.load(index, [target.preprocessing])[0] for index in range(IMAGES)]
    return torch.stack([torch.from_numpy(array) for array in arrays])


@pytest.mark.proves("autoencoder", "registered over HTTP and dissected by a worker")
def test_latents_are_dissected_like_the_units_of_a_layer(
    client: TestClient, work: Callable[[], None], folder: Path
) -> None:
    numbers = write(folder)
    registered = client.post("/models", json=body(folder))
    assert registered.status_code == 201, registered.text
    weights = folder / "sae" / "sae_weights.safetensors"
    place = registered.json()["spec"]["autoencoder"]
    assert place == {
        "layer": LAYER,
        "checkpoint": str(weights),
        "sha256": digest_of_file(weights),
        "described_by": digest_of_file(folder / "sae" / "cfg.json"),
    }
    work()

    model = client.get("/models/sparse").json()
    assert model["state"] == "ready"
    listed = {layer["name"]: layer for layer in model["layers"]}
    assert (listed[LATENTS]["units"], listed[LATENTS]["is_main"]) == (NUMBER, True)
    assert (model["autoencoder"]["activation"], model["autoencoder"]["k"]) == ("topk", K)
    assert (model["autoencoder"]["layout"], model["autoencoder"]["pre_bias"]) == ("SAELens", "b_dec")

    accepted = client.post("/jobs", json=job_body("**.latents"))
    assert accepted.status_code == 202, accepted.text
    path = f"/jobs/{accepted.json()['id']}"
    work()
    job = client.get(path).json()
    assert job["status"] == "succeeded", job["problem"]
    assert job["layers"] == [LATENTS]
    assert job["manifest"]["target"]["autoencoder"] == model["autoencoder"]
    page = Page(client.get(f"{path}/report").text)
    assert f"The units of {LATENTS} are the {NUMBER} latents of a sparse autoencoder" in page.text

    network = timm.create_model(ARCHITECTURE.partition("/")[2]).eval()
    network.load_state_dict(load_file(folder / "target.safetensors"))
    seen: list[Tensor] = []
    network.get_submodule(LAYER).register_forward_hook(lambda *call: seen.append(call[2].clone()))
    with torch.inference_mode():
        network(shown_images(folder))
    encode = LAYOUTS["SAELens topk"].encode(numbers)
    latents = torch.stack([encode(output.flatten(1).T).mean(dim=0) for output in seen[0]])
    neurons = client.get(f"/neurons/{LATENTS}", params={"job": job["id"], "limit": 500}).json()["items"]
    assert len(neurons) == NUMBER
    active = [unit for unit in range(NUMBER) if float(latents[:, unit].max()) > 0]
    assert [neuron["unit"] for neuron in sorted(neurons, key=lambda n: n["unit"]) if not neuron["dead"]] == active
    assert 2 < len(active) < NUMBER, "a place keeps few latents, so some are never active"
    for unit in active:
        images = client.get(f"/neurons/{LATENTS}/{unit}", params={"job": job["id"]}).json()["images"]
        found = torch.tensor([image["activation"] for image in images])
        torch.testing.assert_close(found, latents[:, unit].topk(3).values, rtol=1e-4, atol=1e-5)
        rows = [image["row"] - 1 for image in images]
        torch.testing.assert_close(latents[rows, unit], found, rtol=1e-4, atol=1e-5)


def test_its_content_is_pinned_and_its_place_is_not(client: TestClient, work: Callable[[], None], folder: Path) -> None:
    write(folder)
    first = client.post("/models", json=body(folder)).json()
    shutil.move(folder / "sae", folder / "moved")
    again = client.post("/models", json=body(folder, checkpoint=str(folder / "moved")))
    assert (again.status_code, again.json()["reference"]) == (200, first["reference"])
    assert again.json()["spec"]["autoencoder"]["checkpoint"].startswith(str(folder / "moved"))
    other_layer = client.post("/models", json=body(folder, checkpoint=str(folder / "moved"), layer="layer3.0"))
    assert other_layer.json()["reference"] == "sparse@2"
    plain = {name: value for name, value in body(folder).items() if name != "autoencoder"}
    assert client.post("/models", json=plain).json()["reference"] == "sparse@3"

    shutil.move(folder / "moved" / "cfg.json", folder / "cfg.json")
    work()
    assert client.get("/models/sparse@1").json()["problem"]["code"] == "digest-mismatch"
    refused = client.get("/models/sparse@2").json()
    assert (refused["state"], refused["problem"]["field"]) == ("refused", "autoencoder.checkpoint")


def test_a_link_is_described_by_what_lies_beside_it(client: TestClient, folder: Path) -> None:
    """As in a Hugging Face cache."""
    write(folder)
    weights = folder / "sae" / "sae_weights.safetensors"
    shutil.move(weights, folder / "blob")
    weights.symlink_to(folder / "blob")
    described_by = digest_of_file(folder / "sae" / "cfg.json")
    for named in (weights, folder / "sae", weights.as_uri()):
        place = client.post("/models", json=body(folder, checkpoint=str(named))).json()["spec"]["autoencoder"]
        assert (place["checkpoint"], place["described_by"]) == (str(weights), described_by)


@pytest.mark.parametrize(
    ("autoencoder", "field"),
    [
        ({"checkpoint": "s3://bucket/sae.safetensors"}, "autoencoder.checkpoint"),
        ({"checkpoint": "models:/sae/1"}, "autoencoder.checkpoint"),
        ({"checkpoint": "/etc/passwd"}, "autoencoder.checkpoint"),
        ({"checkpoint": "relative.pt"}, "autoencoder.checkpoint"),
        ({"sha256": "0" * 64}, "autoencoder.sha256"),
        ({"k": -1}, "autoencoder.k"),
        ({"layer": "layer4.*"}, "autoencoder.layer"),
        ({"activation": "gelu"}, "autoencoder.activation"),
        ({"depth": 3}, "autoencoder.depth"),
    ],
)
def test_what_cannot_be_registered_names_its_field(
    client: TestClient, folder: Path, autoencoder: dict[str, Any], field: str
) -> None:
    write(folder)
    response = client.post("/models", json=body(folder, **autoencoder))
    assert response.status_code == 422, response.text
    problem = response.json()
    assert problem["field"] == field
    assert problem["remedy"]
    assert client.get("/models").json()["items"] == []
