"""How images reach a target, from the API through a worker to the manifest and the report."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.db.resources import find_resource, save_inspection
from service.db.session import Sessions, transaction
from service.domain.digests import digest_of, digest_of_file
from service.domain.input_contract import GivenInput, given_input
from service.domain.manifests import contract_of, input_lines
from service.domain.preprocessing import Preprocessing
from service.domain.resources import Resource, ResourceKind
from service.files import ANYWHERE
from service.usecases.models import NamedCheckpoint, register_model
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.probes.dicom_files import film, write_dicom
from tests.reports.page import Page
from tests.usecases.factories import RecordingQueue

GIVEN = {
    "height": 96,
    "width": 64,
    "resize": "pad",
    "pad_side": "right",
    "orientation": "left",
    "mean": [0.25],
    "std": 0.5,
}


def post(client: TestClient, collection: str, status: int = 201, **body: Any) -> Any:
    response = client.post(collection, json=body)
    assert response.status_code == status, response.text
    return response.json()


def model_body(folder: Path, **more: Any) -> dict[str, Any]:
    checkpoint = str(folder / "target.safetensors")
    return {"name": "target", "checkpoint": checkpoint, "architecture": ARCHITECTURE, **more}


def dissected(client: TestClient, work: Callable[[], None], target: str) -> Any:
    parts = {"target": target, "dissector": "reader", "probe_set": "probes", "concept_set": "words"}
    how = {"method": {"top_k": 4}, "evidence": {"draws": 0}, "batch_size": 4, "shard_size": 4}
    job = post(client, "/jobs", 202, **parts, layers=list(LAYERS), **how)
    work()
    ended = client.get(f"/jobs/{job['id']}").json()
    assert ended["status"] == "succeeded", ended["problem"]
    return ended


def test_a_contract_from_registration_to_the_report(client: TestClient, folder: Path, work: Callable[[], None]) -> None:
    post(client, "/probe-sets", name="probes", manifest=str(folder / "manifest.csv"))
    post(client, "/concept-sets", name="words", concepts=["mass", "calcification", "clip"])
    post(client, "/dissectors", name="reader", path=str(folder / "dissector"))
    plain = post(client, "/models", **model_body(folder))
    assert (plain["input"], plain["warnings"], "input" in plain["spec"]) == (None, [], False)
    given = post(client, "/models", **model_body(folder, input=GIVEN))
    assert (given["reference"], given["spec"]["input"]["mean"]) == ("target@2", [0.25])
    assert post(client, "/models", 200, **model_body(folder, input=GIVEN))["reference"] == "target@2"
    work()

    unstated = client.get("/models/target@1").json()
    assert unstated["input"]["height"] == {"value": 160, "origin": "library"}
    assert unstated["input"]["orientation"] == {"value": "as_acquired", "origin": "default"}
    (warning,) = unstated["warnings"]
    assert "height, width, mean and std" in warning

    stated = client.get("/models/target@2").json()
    assert {name: entry["value"] for name, entry in stated["input"].items() if entry["origin"] == "given"} == {
        **GIVEN,
        "mean": [0.25] * 3,
        "std": [0.5] * 3,
    }
    assert stated["warnings"] == []

    first = dissected(client, work, "target@1")
    second = dissected(client, work, "target@2")
    assert first["manifest"]["target"]["input"] == unstated["input"]
    assert first["manifest"]["target"]["warnings"] == [warning]
    assert second["manifest"]["target"]["input"] == stated["input"]
    contract = contract_of(second["manifest"])
    assert contract == Preprocessing(
        96, 64, (0.25,) * 3, (0.5,) * 3, resize="pad", pad_side="right", orientation="left"
    )
    assert second["manifest"]["target"]["preprocessing"] == contract.digest()
    assert first["manifest"]["results"] != second["manifest"]["results"]

    as_json = client.get(f"/jobs/{first['id']}/report", headers={"Accept": "application/json"}).json()
    assert warning in as_json["summary"]
    assert as_json["facts"]["manifest"]["target"]["input"] == unstated["input"]
    pages = [Page(client.get(f"/jobs/{job['id']}/report").text) for job in (first, second)]
    assert [warning in page.text for page in pages] == [True, False]
    assert ["pad_side", "right", "given"] in pages[1].rows["method"]
    assert ["mean", "0.25, 0.25, 0.25", "given"] in pages[1].rows["method"]

    comparison = post(client, "/comparisons", jobs=[first["id"], second["id"]])
    compared = Page(client.get(f"/comparisons/{comparison['id']}/report").text)
    assert ["height", "160", "library"] in compared.rows["method"]
    assert ["height", "96", "given"] in compared.rows["method"]


@pytest.mark.parametrize(
    ("wrong", "field", "remedy"),
    [
        ({"hight": 384}, "input.hight", "height"),
        ({"std": 0}, "input.std", "1e-06"),
        ({"mean": [0.1, 0.2]}, "input.mean", "1 number, or 3"),
        ({"resize": "area", "pad_side": "left"}, "input.pad_side", "resize `pad`"),
        ({"height": 100_000}, "input.height", "8 to 8192"),
        ({"scale": "range", "range_low": 2, "range_high": 1}, "input.range_low", "below 1"),
    ],
)
def test_an_input_that_makes_no_contract_is_refused_at_once(
    client: TestClient, folder: Path, wrong: dict[str, Any], field: str, remedy: str
) -> None:
    problem = post(client, "/models", 422, **model_body(folder, input=wrong))
    assert problem["field"] == field
    assert remedy in problem["remedy"]
    assert client.get("/models").json()["items"] == []


@pytest.mark.parametrize("wrong", [384, "height=384", [384]])
def test_an_input_is_an_object(client: TestClient, folder: Path, wrong: Any) -> None:
    assert post(client, "/models", 422, **model_body(folder, input=wrong))["field"] == "input"


def test_an_input_that_contradicts_the_network_is_the_model_s_problem(
    client: TestClient, folder: Path, work: Callable[[], None]
) -> None:
    post(client, "/models", **model_body(folder, input={"channels": 1}))
    work()
    model = client.get("/models/target").json()
    assert (model["layers"], model["input"]) == (None, None)
    assert model["problem"]["field"] == "input.channels"
    assert "Give channels 3" in model["problem"]["remedy"]

    post(client, "/models", **model_body(folder, input={"channels": 3}))
    work()
    assert client.get("/models/target").json()["problem"] is None


def test_a_model_without_input_is_the_version_that_it_was(folder: Path, sessions: Sessions) -> None:
    path = folder / "target.safetensors"
    named = NamedCheckpoint(str(path), ARCHITECTURE)
    content = {"architecture": ARCHITECTURE, "sha256": digest_of_file(path)}
    with transaction(sessions) as session:

        def register(checkpoint: NamedCheckpoint) -> Resource:
            return register_model(session, RecordingQueue(), checkpoint, name="target", roots=ANYWHERE)[0]

        plain = register(named)
        assert plain.digest == digest_of(content)
        assert plain.spec == {"checkpoint": str(path), **content}

        versions = [
            register(replace(named, input=given)).version
            for given in (None, GivenInput(), given_input({"height": 96}), given_input({"height": 96, "width": None}))
        ]
    assert versions == [1, 2, 3, 3]


def test_models_that_an_earlier_release_opened_can_be_read(
    client: TestClient, folder: Path, sessions: Sessions
) -> None:
    post(client, "/models", **model_body(folder))
    with transaction(sessions) as session:
        model = find_resource(session, ResourceKind.MODEL, "target", None)
        assert model is not None
        save_inspection(session, model.id, layers=[])
    read = client.get("/models/target").json()
    assert (read["layers"], read["input"], read["warnings"]) == ([], None, [])
    assert (contract_of({"target": {"preprocessing": "a1"}}), input_lines(None)) == (None, [])


def test_images_without_a_window_are_counted_where_one_is_asked_for(
    client: TestClient, folder: Path, work: Callable[[], None]
) -> None:
    with_window: dict[str, Any] = {"WindowCenter": "1000", "WindowWidth": "900"}
    for number, elements in enumerate([with_window, {}, with_window | {"WindowWidth": "0"}]):
        write_dicom(folder / f"{number}.dcm", film(12, 40, 30) // (number + 1), bits=12, **elements)
    with (folder / "manifest.csv").open("a") as file:
        file.write("0.dcm\n1.dcm\n2.dcm\n")
    body: dict[str, Any] = {"manifest": str(folder / "manifest.csv"), "on_unreadable": "skip"}
    post(client, "/probe-sets", name="probes", **body)
    post(client, "/concept-sets", name="words", concepts=["mass", "calcification", "clip"])
    post(client, "/dissectors", name="reader", path=str(folder / "dissector"))
    post(client, "/models", **model_body(folder, input={**GIVEN, "window": "voi"}))
    post(client, "/models", **model_body(folder, name="plain", input=GIVEN))
    work()

    counted = client.get("/probe-sets/probes").json()["check"]["result"]["files"]["windows"]
    assert {entry["value"]: entry["images"] for entry in counted["values"]} == {
        "window": 1,
        "neither": 1,
        "unusable": 1,
    }

    job = dissected(client, work, "target")
    entry = job["manifest"]["probe_set"]
    assert entry["windows"] == {"window": 1, "neither": 1, "unusable": 1, "no header": 10}
    (warning,) = entry["warnings"]
    assert warning == (
        "The window of the target is `voi`. By the check of the probe set, 11 of its 13 images have neither a VOI "
        "window nor a table and are shown as stored; in 1 it cannot be applied, so that they cannot be read."
    )
    assert warning in client.get(f"/jobs/{job['id']}/report").text
    assert "windows" not in dissected(client, work, "plain")["manifest"]["probe_set"]
