"""What findings mean, from the registration through the API and a worker to manifest, coverage and report."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from service.concepts.findings import match_findings
from service.domain.concepts import Concept, ConceptSet
from service.domain.digests import digest_of
from service.domain.findings_map import FindingsMap
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.pipelines.keys import layer_key
from service.probes.manifest import read_manifest
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.pipelines.small_jobs import write_folder
from tests.reports.page import Page

FINDINGS = ["malignant mass"] * 8 + ["Masses"] * 6 + ["surgical metal|calcification"] * 5 + [""] * 5
CONCEPTS = ["mass", "spiculated mass", "calcifications", "architectural distortion", "surgical clip"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    exams = [str(number) for number in range(len(FINDINGS))]
    return write_folder(tmp_path, images=len(FINDINGS), columns={"exam_id": exams, "findings": FINDINGS})


def post(client: TestClient, collection: str, /, status: int = 201, **body: Any) -> Any:
    response = client.post(collection, json=body)
    assert response.status_code == status, response.text
    return response.json()


def dissected(client: TestClient, work: Callable[[], None], probe_set: str) -> dict[str, Any]:
    parts = {"target": "target", "dissector": "reader", "probe_set": probe_set, "concept_set": "words"}
    how = {"method": {"top_k": 4}, "evidence": {"draws": 200, "resamples": 4, "halves": 2}, "batch_size": 8}
    job = post(client, "/jobs", 202, **parts, layers=list(LAYERS[:1]), **how)
    work()
    ended: dict[str, Any] = client.get(f"/jobs/{job['id']}").json()
    assert ended["status"] == "succeeded", ended["problem"]
    return ended


def test_findings_from_registration_to_the_report(client: TestClient, folder: Path, work: Callable[[], None]) -> None:
    post(client, "/models", name="target", checkpoint=str(folder / "target.safetensors"), architecture=ARCHITECTURE)
    post(client, "/dissectors", name="reader", path=str(folder / "dissector"))
    post(client, "/concept-sets", name="words", concepts=CONCEPTS)
    probes: dict[str, Any] = {"name": "probes", "manifest": str(folder / "manifest.csv"), "concept_set": "words"}

    bare = post(client, "/probe-sets", **probes)
    listed = read_manifest(folder / "manifest.csv", name="probes")
    assert bare["digest"] == digest_of({"probe_set": listed.digest, "on_unreadable": "fail"}), "as without any map"
    findings = bare["findings"]
    assert (findings["concept_set"], findings["map"], findings["names"]) == ("words@1", None, 4)
    assert findings["matched"] == [
        {"finding": "Masses", "images": 6, "concepts": ["mass"], "matched_by": "plural"},
        {"finding": "calcification", "images": 5, "concepts": ["calcifications"], "matched_by": "plural"},
    ]
    assert [(one["finding"], one["images"]) for one in findings["unmatched"]] == [
        ("malignant mass", 8),
        ("surgical metal", 5),
    ]
    assert client.get("/probe-sets/probes", params={"concept_set": "words"}).json()["findings"] == findings
    by_default = client.get("/probe-sets/probes").json()["findings"]
    assert (by_default["concept_set"], by_default["matched_names"]) == ("bi-rads", 2)

    job = dissected(client, work, "probes@1")
    kept = job["manifest"]["findings"]
    assert kept == {name: value for name, value in findings.items() if name != "concept_set"}
    coverage = client.get(f"/jobs/{job['id']}/coverage").json()
    reasons = {one["text"]: (one["reason"], one["findings"]) for one in coverage["missing"]}
    assert reasons["spiculated mass"] == ("unmatched findings may mean it", ["malignant mass"])
    assert reasons["architectural distortion"] == ("absent from the probe set", [])
    page = Page(client.get(f"/jobs/{job['id']}/report").text)
    assert ["malignant mass", "8", "names no concept", ""] in page.rows["dissector"]
    assert ["Masses", "6", "mass", "plural"] in page.rows["dissector"]
    assert "2 findings of the probe set name no concept: malignant mass (8), surgical metal (5)." in page.text

    (folder / "map.csv").write_text("finding,concept\nmalignant mass,mass\nsurgical metal,\n")
    mapped = post(client, "/probe-sets", **probes, findings_map=str(folder / "map.csv"))
    assert (mapped["version"], mapped["findings"]["unmatched"]) == (2, [])
    assert mapped["findings"]["no_concept"] == [{"finding": "surgical metal", "images": 5}]
    assert mapped["spec"]["findings_map"]["entries"] == [["malignant mass", ["mass"]], ["surgical metal", []]]
    (folder / "map.csv").unlink()

    again = dissected(client, work, "probes")
    assert again["manifest"]["findings"]["map"]["source"] == str(folder / "map.csv")
    (before,) = [one for one in job["manifest"]["evidence"]["qualifications"] if one["text"] == "mass"]
    (after,) = [one for one in again["manifest"]["evidence"]["qualifications"] if one["text"] == "mass"]
    assert (before["finding"], before["positives"]) == ("Masses", 6)
    assert (after["finding"], after["positives"]) == ("Masses | malignant mass", 14)
    coverage = client.get(f"/jobs/{again['id']}/coverage").json()
    assert {one["text"]: one["reason"] for one in coverage["missing"]}["spiculated mass"] == "absent from the probe set"
    written = client.get(f"/jobs/{again['id']}/report", headers={"Accept": "application/json"}).json()
    assert any("The map of findings (map.csv) says what 1 finding means" in line for line in written["summary"])


NAMES = ConceptSet("names", (Concept("mass"), Concept("clip")))
OWN = FindingsMap("/maps/own.csv", (("lesion", ("mass",)),))


def key(counts: dict[str, int] | None, findings_map: FindingsMap | None = None) -> str:
    findings = None if counts is None else match_findings(NAMES, counts, findings_map)
    options = DissectionOptions(None, Method.of(top_k=2))
    plan: Any = SimpleNamespace(
        request=SimpleNamespace(options=options),
        concept_set=SimpleNamespace(digest="c"),
        probe_set=SimpleNamespace(digest="p"),
        findings=findings,
        replay_of=None,
    )
    return layer_key(plan, torch.device("cpu"), layer="a", shards=["s"], concept_embeddings="e")


def test_what_findings_mean_is_part_of_the_key_where_it_is_new() -> None:
    as_ever = key(None)
    assert key({"Mass": 3, "clip": 1, "unheard of": 2}) == as_ever
    others = [key({"masses": 3}), key({"mass": 1, "masses": 3}), key({"mass": 3}, OWN), key({"lesion": 3}, OWN)]
    assert len({as_ever, *others}) == 5
