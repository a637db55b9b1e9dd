"""Probe sets with maps of findings: what is refused, and what an answer and a list say."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import text

from service.db.session import Sessions, transaction
from tests.api.test_problems import problem


@pytest.fixture
def body(data_root: Path) -> dict[str, Any]:
    Image.new("L", (8, 8)).save(data_root / "0.png")
    Image.new("L", (8, 9)).save(data_root / "1.png")
    path = data_root / "probes.csv"
    path.write_text("image,findings,site\n0.png,Suspicious Lymph Node|No Finding,a\n1.png,Mass,b\n")
    return {"name": "probes", "manifest": str(path)}


def test_a_built_in_map(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/probe-sets", json=body | {"findings_map": "builtin:vindr"})
    assert answer.status_code == 201, answer.text
    findings = answer.json()["findings"]
    assert (findings["concept_set"], findings["map"]["source"]) == ("bi-rads", "builtin:vindr")
    assert [(one["finding"], one["concepts"], one["matched_by"]) for one in findings["matched"]] == [
        ("Mass", ["mass"], "map"),
        ("Suspicious Lymph Node", ["axillary adenopathy"], "map"),
    ]
    assert findings["no_concept"] == [{"finding": "No Finding", "images": 1}]
    again = client.post("/probe-sets", json=body | {"findings_map": "builtin:vindr"})
    assert (again.status_code, again.json()) == (200, answer.json())
    other = client.post("/probe-sets", json=body)
    assert (other.status_code, other.json()["version"]) == (201, 2)

    newest, _ = client.get("/probe-sets").json()["items"]
    assert newest["spec"]["findings"] == {"names": 3}
    first = client.get("/probe-sets", params={"limit": 5}).json()["items"][1]["spec"]["findings_map"]
    assert first == {"source": "builtin:vindr", "digest": findings["map"]["digest"]}


@pytest.mark.parametrize(
    ("content", "value", "says"),
    [
        ("finding,concept\nMass,breast lump\n", "breast lump", "'Mass' means 'breast lump', and the concept set"),
        ("finding,concept\n,mass\n", "row 1", "row 1 of the map has no text in the column 'finding'"),
        ("finding;means\nMass;mass\n", "header", "columns of the map are finding, means"),
    ],
)
def test_a_map_that_cannot_be_used_registers_nothing(
    client: TestClient, body: dict[str, Any], data_root: Path, content: str, value: str, says: str
) -> None:
    (data_root / "map.csv").write_text(content)
    given = body | {"findings_map": str(data_root / "map.csv"), "concept_set": "bi-rads"}
    wrong = problem(client.post("/probe-sets", json=given), 422)
    assert (wrong["field"], wrong["value"]) == ("findings_map", value)
    assert wrong["type"].endswith("invalid-findings-map")
    assert says in wrong["detail"]
    assert wrong["remedy"]
    assert client.get("/probe-sets").json()["items"] == []


def test_a_concept_that_is_not_in_the_set_is_listed_where_no_set_is_named(
    client: TestClient, body: dict[str, Any], data_root: Path
) -> None:
    (data_root / "map.json").write_text('{"Mass": ["breast lump", "mass"], "Suspicious Lymph Node": "bump"}')
    answer = client.post("/probe-sets", json=body | {"findings_map": str(data_root / "map.json")}).json()["findings"]
    assert answer["not_in_set"] == [
        {"finding": "Mass", "concept": "breast lump"},
        {"finding": "Suspicious Lymph Node", "concept": "bump"},
    ]
    assert [one["finding"] for one in answer["matched"]] == ["Mass"]
    why = {one["finding"]: (one["why"], one["concepts"]) for one in answer["unmatched"]}
    assert why["Suspicious Lymph Node"] == ("mapped to no concept of the set", ["bump"])


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"findings_map": "builtin:nobody"}, "findings_map"),
        ({"findings_map": "/etc/passwd"}, "findings_map"),
        ({"findings_map": "map.csv"}, "findings_map"),
        ({"findings_map": ""}, "findings_map"),
    ],
)
def test_maps_that_are_not_there(client: TestClient, body: dict[str, Any], given: dict[str, str], field: str) -> None:
    assert problem(client.post("/probe-sets", json=body | given), 422)["field"] == field


def test_a_concept_set_that_is_not_there(client: TestClient, body: dict[str, Any]) -> None:
    assert problem(client.post("/probe-sets", json=body | {"concept_set": "nobody"}), 404)["field"] == "concept_set"
    client.post("/probe-sets", json=body)
    missing = client.get("/probe-sets/probes", params={"concept_set": "nobody"})
    assert problem(missing, 404)["field"] == "concept_set"


def test_a_set_of_an_earlier_release_is_read_where_a_concept_set_is_named(
    client: TestClient, body: dict[str, Any], sessions: Sessions
) -> None:
    posted = client.post("/probe-sets", json=body).json()
    with transaction(sessions) as session:
        session.execute(text("UPDATE resources SET spec = spec - 'findings' WHERE kind = 'probe_set'"))
    assert client.get("/probe-sets/probes").json()["findings"] is None
    read = client.get("/probe-sets/probes", params={"concept_set": "bi-rads"}).json()["findings"]
    assert read == posted["findings"] | {"concept_set": "bi-rads@1"}


def test_a_manifest_without_findings_says_nothing(client: TestClient, body: dict[str, Any], data_root: Path) -> None:
    (data_root / "probes.csv").write_text("image\n0.png\n")
    answer = client.post("/probe-sets", json=body).json()
    assert answer["findings"] is None
    assert "findings" not in answer["spec"]
