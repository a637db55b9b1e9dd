"""GET /jobs/{id}/paper, /comparisons/{id}/paper and /paper: the golden tables through HTTP."""

import csv
import io
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.usecases.resources import register_concept_set
from tests.analysis.published_tables import NETWORKS, Network, concept_set, dissection, expected, raw_table
from tests.api.test_problems import problem
from tests.usecases.factories import dissected_job, queued_job


@pytest.fixture
def jobs(sessions: Sessions) -> dict[Network, UUID]:
    concepts = concept_set()
    with transaction(sessions) as session:
        return {
            network: dissected_job(session, dissection(network, concepts).layers, model=network, concept_set=concepts)
            for network in NETWORKS
        }


def check_golden(tables: dict[str, Any], names: dict[str, Network]) -> None:
    golden = expected()
    for network in tables["networks"]:
        published = names[network["network"]]
        local = {layer["layer"]: layer["local_threshold"] for layer in network["layers"]}
        greatest = {layer["layer"]: layer["global_threshold"] for layer in network["layers"]}
        counts = {
            layer["layer"]: {"mammography": layer["mammographic"], "non_mammography": layer["other"]}
            for layer in network["layers"]
        }
        top = {
            layer["layer"]: sorted([top["category"].strip(), top["units"]] for top in layer["top_broad_categories"])
            for layer in network["layers"]
        }

        assert local == pytest.approx(golden["thresholds"]["local"][published], abs=1e-7)
        assert greatest == pytest.approx(golden["thresholds"]["global"], abs=1e-7)
        assert counts == golden["counts_global_threshold"][published]
        assert top == {
            layer: sorted([category.strip(), units] for category, units in categories)
            for layer, categories in golden["top3_broad_categories_global_threshold"][published].items()
        }


def test_a_comparison_has_the_golden_tables(client: TestClient, jobs: dict[Network, UUID]) -> None:
    posted = client.post("/comparisons", json={"jobs": [str(jobs[network]) for network in NETWORKS]})
    assert posted.status_code == 201, posted.text

    answer = client.get(f"/comparisons/{posted.json()['id']}/paper")

    assert answer.status_code == 200, answer.text
    check_golden(answer.json(), {f"{network}@1": network for network in NETWORKS})


def test_result_files_of_earlier_runs_have_the_golden_tables(
    client: TestClient, sessions: Sessions, data_root: Path
) -> None:
    with transaction(sessions) as session:
        register_concept_set(session, concept_set())
    tables = [shutil.copy(raw_table(network), data_root / f"{network}.csv") for network in NETWORKS]

    answer = client.get("/paper", params={"table": [str(table) for table in tables], "concept_set": "invented"})

    assert answer.status_code == 200, answer.text
    check_golden(answer.json(), {network: network for network in NETWORKS})


def test_an_earlier_run_is_laid_beside_a_job(client: TestClient, jobs: dict[Network, UUID], data_root: Path) -> None:
    table = shutil.copy(raw_table("mammo"), data_root / "earlier.csv")

    tables = client.get("/paper", params={"job": str(jobs["mammo"]), "table": str(table)}).json()

    assert [network["network"] for network in tables["networks"]] == ["mammo@1", "earlier"]
    assert all(layer["same"] == layer["units"] == 60 for layer in tables["same_concepts"])


def test_a_job_alone_has_its_local_thresholds_for_global_ones(client: TestClient, jobs: dict[Network, UUID]) -> None:
    tables = client.get(f"/jobs/{jobs['general']}/paper").json()

    layers = tables["networks"][0]["layers"]
    assert all(layer["local_threshold"] == layer["global_threshold"] for layer in layers)
    assert any("With one network" in note for note in tables["notes"])


def test_jobs_that_cannot_be_compared_are_laid_side_by_side_and_said_to_be(
    client: TestClient, sessions: Sessions, jobs: dict[Network, UUID]
) -> None:
    concepts = concept_set()
    layers = dissection("mammo", concepts).layers
    with transaction(sessions) as session:
        other = dissected_job(
            session, layers, model="other", concept_set=concepts, manifest={"dissector": {"digest": "1"}}
        )

    alike = client.get("/paper", params={"job": [str(jobs["mammo"]), str(jobs["general"])]}).json()
    unlike = client.get("/paper", params={"job": [str(jobs["mammo"]), str(other)]}).json()

    assert not any("cannot be compared" in note for note in alike["notes"])
    (note,) = [note for note in unlike["notes"] if "cannot be compared" in note]
    assert "because they differ in dissector" in note
    assert note.endswith("Their scores and thresholds may not mean the same.")


def test_networks_on_parts_of_a_probe_set_are_named_by_them(client: TestClient, sessions: Sessions) -> None:
    concepts = concept_set()
    layers = dissection("mammo", concepts).layers
    with transaction(sessions) as session:
        jobs = [
            dissected_job(
                session,
                layers,
                model="mammo",
                concept_set=concepts,
                manifest={
                    "probe_set": {"digest": density, "images": density, "whole": "0", "where": {"density": [density]}}
                },
            )
            for density in ("A", "D")
        ]

    tables = client.get("/paper", params={"job": list(map(str, jobs))}).json()

    assert [network["network"] for network in tables["networks"]] == [f"mammo@1 on density {it}" for it in ("A", "D")]
    assert not any("cannot be compared" in note for note in tables["notes"])


def test_tables_as_csv_and_as_a_page(client: TestClient, jobs: dict[Network, UUID]) -> None:
    job = jobs["mammo"]
    tables = client.get(f"/jobs/{job}/paper").json()["networks"][0]

    units = list(csv.DictReader(io.StringIO(client.get(f"/jobs/{job}/paper", params={"format": "csv"}).text)))
    assert [row["concept"] for row in units] == [unit["concept"] for unit in tables["units"]]
    assert {row["meets_global"] for row in units} == {"true", "false"}

    layers = list(csv.DictReader(io.StringIO(client.get(f"/jobs/{job}/paper", params={"format": "csv-layers"}).text)))
    assert [int(row["mammographic"]) for row in layers] == [layer["mammographic"] for layer in tables["layers"]]
    assert "|" in layers[0]["categories"]

    page = client.get(f"/jobs/{job}/paper", params={"format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "image_encoder._blocks[19]" in page.text
    assert "<svg" in page.text


def test_what_cannot_be_laid_side_by_side_is_refused(
    client: TestClient, sessions: Sessions, jobs: dict[Network, UUID], data_root: Path
) -> None:
    table = str(shutil.copy(raw_table("mammo"), data_root / "mammo.csv"))
    with transaction(sessions) as session:
        queued = queued_job(session, model="waiting").id

    assert problem(client.get("/paper"), 422)["field"] == "job"
    assert problem(client.get("/paper", params={"job": [str(jobs["mammo"])] * 9}), 422)["value"] == "9"
    assert problem(client.get("/paper", params={"table": table}), 422)["field"] == "concept_set"
    assert (
        problem(client.get("/paper", params={"table": table, "concept_set": "nobody"}), 404)["field"] == "concept_set"
    )
    assert (
        problem(client.get("/paper", params={"table": "/etc/passwd", "concept_set": "bi-rads"}), 422)["field"]
        == "table"
    )
    assert problem(client.get(f"/jobs/{uuid4()}/paper"), 404)
    assert problem(client.get(f"/comparisons/{uuid4()}/paper"), 404)
    assert problem(client.get(f"/jobs/{queued}/paper"), 409)["field"] == "job"
