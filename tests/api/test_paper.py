"""GET /jobs/{id}/paper, /comparisons/{id}/paper and /paper: the golden tables through HTTP, and by the command line."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from cli.main import main
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


def test_the_command_line_needs_no_service_for_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    concepts = [
        {
            "text": concept.text,
            "category": concept.category,
            "broad_category": concept.broad_category,
            "mammographic": concept.mammographic,
        }
        for concept in concept_set().concepts
    ]
    entries = [{name: value for name, value in concept.items() if value is not None} for concept in concepts]
    (tmp_path / "invented.json").write_text(json.dumps(entries))
    tables = [argument for network in NETWORKS for argument in ("--table", str(raw_table(network)))]
    out = tmp_path / "tables.json"
    monkeypatch.setattr(
        "sys.argv",
        ["mammodissect", "paper", *tables, "--concept-set", str(tmp_path / "invented.json"), "--out", str(out)],
    )

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 0

    check_golden(json.loads(out.read_text()), {f"F_invented_{network}_raw": network for network in NETWORKS})
