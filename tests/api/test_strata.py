"""What counts as independent in POST /probe-sets; `where` of POST /jobs, and POST /jobs/strata."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.domain.resources import ResourceKind
from tests.usecases.factories import resource

IMAGES = 120


@pytest.fixture
def manifest(data_root: Path) -> Path:
    """120 images of 60 patients with a study each; the last three patients are of another site."""
    rows = ["image,subject_id,study_id,density,site,view"]
    for number in range(IMAGES):
        (data_root / f"{number}.png").write_bytes(str(number).encode())
        site = "small" if number >= IMAGES - 6 else "large"
        view = "CC" if number % 2 else "MLO"
        rows.append(f"{number}.png,p{number // 4},s{number // 2},{'ABCD'[number % 4]},{site},{view}")
    path = data_root / "manifest.csv"
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def body(client: TestClient, sessions: Sessions, manifest: Path) -> dict[str, Any]:
    with transaction(sessions) as session:
        resource(session, ResourceKind.MODEL, "screening", checkpoint="/x", architecture="a", sha256="0")
        resource(session, ResourceKind.DISSECTOR, "reader", path="/x")
    assert client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)}).status_code == 201
    return {
        "target": "screening",
        "layers": "all",
        "concept_set": "bi-rads",
        "probe_set": "probes",
        "dissector": "reader",
    }


def test_an_answer_says_what_counts_as_independent(client: TestClient, manifest: Path) -> None:
    asked = {"name": "probes", "manifest": str(manifest)}
    spec = client.post("/probe-sets", json=asked).json()["spec"]
    assert spec["grouping"] == {"patient_id": "subject_id", "exam_id": "study_id"}
    assert len(spec["table_notes"]) == 2
    assert spec["independence"] == {
        "unit": "patient",
        "units": 30,
        "smallest": 4,
        "median": 4.0,
        "largest": 4,
        "nameless": 0,
        "out_of_reach": ["Agreement and qualification: the manifest has no findings."],
        "warnings": [],
    }
    assert "independent" not in spec

    by_exam = client.post("/probe-sets", json=asked | {"independent": "exam"}).json()
    assert by_exam["reference"] == "probes@2"
    assert by_exam["spec"]["independent"] == "exam"
    counts = by_exam["spec"]["independence"]
    assert (counts["unit"], counts["units"]) == ("exam", 60)
    assert "30 patients have several" in counts["warnings"][0]
    assert client.get("/probe-sets/probes").json()["spec"] == by_exam["spec"]

    by_site = client.post("/probe-sets", json=asked | {"independent": "site"}).json()["spec"]["independence"]
    assert (by_site["unit"], by_site["column"], by_site["units"]) == ("group", "site", 2)
    assert "2 groups, and at least 20 are needed" in by_site["out_of_reach"][0]

    again = client.post("/probe-sets", json=asked | {"independent": "exam_id"})
    assert (again.status_code, again.json()["reference"]) == (200, "probes@2")


def test_a_column_that_does_not_exist_is_refused(client: TestClient, manifest: Path) -> None:
    refused = client.post("/probe-sets", json={"name": "p", "manifest": str(manifest), "independent": "sites"})
    problem = refused.json()
    assert (refused.status_code, problem["field"], problem["value"]) == (422, "independent", "sites")
    assert "Did you mean 'site'" in problem["remedy"]


def test_a_job_on_a_part_says_so(client: TestClient, body: dict[str, Any]) -> None:
    asked = client.post("/jobs", json=body | {"where": {"density": ["D", "C"], "view": ["MLO", "CC"]}})
    assert asked.status_code == 202, asked.json()
    job = asked.json()
    where = {"density": ["C", "D"], "view": ["CC", "MLO"]}
    assert job["part"] == {"probe_set": "probes@1", "where": where, "strata": None}
    assert job["progress"][0]["total"] == IMAGES // 2
    assert client.get(f"/jobs/{job['id']}").json() == job
    part = client.get(f"/probe-sets/{job['probe_set']}").json()["spec"]
    assert (part["where"], part["images"], part["independence"]["units"]) == (where, IMAGES // 2, 30)
    assert client.post("/jobs", json=body).json()["part"] is None


@pytest.mark.parametrize(
    ("where", "field", "said"),
    [
        ({"densty": ["C"]}, "where", "Did you mean 'density'"),
        ({"density": ["C", "E"]}, "where.density", "The values are 'A', 'B', 'C', 'D'."),
        ({"site": ["small"]}, "where", "has 2 patients, but a part must have at least 10"),
        ({"study_id": ["s1"]}, "where", "no column 'study_id'"),
    ],
)
def test_what_cannot_be_a_part_is_said(
    client: TestClient, body: dict[str, Any], where: dict[str, list[str]], field: str, said: str
) -> None:
    refused = client.post("/jobs", json=body | {"where": where})
    problem = refused.json()
    assert (refused.status_code, problem["field"]) == (422, field)
    assert said in problem["detail"] + problem["remedy"]
    assert client.get("/jobs").json()["items"] == []


@pytest.mark.parametrize("where", [{}, {"density": []}, {"density": "C"}, {"": ["C"]}, ["density"]])
def test_a_where_of_another_shape_is_refused(client: TestClient, body: dict[str, Any], where: Any) -> None:
    refused = client.post("/jobs", json=body | {"where": where})
    assert (refused.status_code, refused.json()["field"].split(".")[0]) == (422, "where")


def test_strata_are_a_job_each(client: TestClient, body: dict[str, Any]) -> None:
    strata = [{"density": ["A"]}, {"density": ["B", "C", "D"]}]
    asked = client.post("/jobs/strata", json=body | {"strata": strata}, headers={"Idempotency-Key": "k"})
    assert asked.status_code == 202, asked.json()
    answer = asked.json()
    assert asked.headers["Location"] == f"/jobs/strata/{answer['id']}"
    assert [job["part"]["where"] for job in answer["jobs"]] == strata
    assert {job["part"]["strata"] for job in answer["jobs"]} == {answer["id"]}
    assert [job["progress"][0]["total"] for job in answer["jobs"]] == [30, 90]
    assert len({job["method"]["top_k"] for job in answer["jobs"]}) == 1
    assert client.get(f"/jobs/strata/{answer['id']}").json() == answer

    repeated = client.post("/jobs/strata", json=body | {"strata": strata}, headers={"Idempotency-Key": "k"})
    assert repeated.json() == answer
    other = client.post("/jobs/strata", json=body | {"strata": strata[::-1]}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")


def test_no_stratum_is_dissected_where_one_cannot_be(client: TestClient, body: dict[str, Any]) -> None:
    refused = client.post("/jobs/strata", json=body | {"strata": [{"site": ["large"]}, {"site": ["small"]}]})
    assert (refused.status_code, refused.json()["field"]) == (422, "strata.1")
    assert client.get("/jobs").json()["items"] == []
    assert client.get(f"/jobs/strata/{uuid4()}").status_code == 404


def test_a_deployment_takes_no_part(client: TestClient, body: dict[str, Any]) -> None:
    dissection = body | {"where": {"density": ["A"]}}
    refused = client.post("/deployments", json={"name": "d", "policy": "p", "dissection": dissection})
    assert (refused.status_code, refused.json()["field"]) == (422, "dissection.where")
