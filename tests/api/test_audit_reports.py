"""GET /audits/{id}/report, its signature, and what is written from it."""

import hashlib
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from service.db.jobs import move_job
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.reports.audit_check import check_report
from service.signatures import Signature, SigningKey
from service.usecases.audit_verdicts import judge_ended_audits
from tests.api.test_audits import Dissect, baseline, deployed, dissect, start
from tests.api.test_problems import problem
from tests.reports.page import Page

__all__ = ["baseline", "deployed", "dissect"]


@pytest.fixture
def key(client: TestClient, tmp_path: Path) -> SigningKey:
    """The key that the application signs with."""
    made = SigningKey.create(tmp_path / "signing-key.pem")
    client.app.state.signing_key = made  # type: ignore[attr-defined]
    return made


@pytest.fixture
def passed(client: TestClient, deployed: str, dissect: Dissect) -> dict[str, Any]:
    return dissect(start(client), 0, 0, 1)


def twin(client: TestClient, audit: dict[str, Any]) -> bytes:
    answer = client.get(f"/audits/{audit['id']}/report", params={"format": "json"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return answer.content


def test_a_report_is_a_page_and_its_twin(client: TestClient, passed: dict[str, Any]) -> None:
    path = f"/audits/{passed['id']}/report"
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-disposition"] == f'inline; filename="audit-{passed["id"]}.html"'
    page = Page(answer.text)
    assert "PASS" in page.text
    assert "Exactly zero drift." in page.text
    assert [row[:2] for row in page.rows["rules"][1:]] == [[one["outcome"], one["rule"]] for one in passed["outcomes"]]
    document = twin(client, passed)
    assert hashlib.sha256(document).hexdigest() in page.text
    value = json.loads(document)
    assert (value["audit"], value["deployment"], value["verdict"]) == (passed["id"], "east", "pass")
    assert value["policy"]["document"] == passed["rules"]
    assert value["facts"] == passed["facts"]
    assert value["parts"][0] == {
        "part": "target",
        "reference": passed["target"],
        "digest": passed["target_digest"],
    }
    assert [one["part"] for one in value["parts"]] == ["target", "dissector", "probe set", "concept set"]
    assert value["baseline"]["job"] == passed["baseline"]
    assert "evidence" not in value["manifest"]
    assert client.get(path, headers={"Accept": "application/json"}).content == document
    assert problem(client.get(path, params={"format": "docx"}), 422)["field"] == "format"


def test_the_signature_is_of_the_json_to_the_byte(client: TestClient, passed: dict[str, Any], key: SigningKey) -> None:
    answer = client.get(f"/audits/{passed['id']}/report/signature")
    assert answer.headers["content-disposition"] == f'inline; filename="audit-{passed["id"]}.signature.json"'
    document = twin(client, passed)
    checked = check_report(document, answer.content, key.public)
    assert checked.faults == ()
    assert checked.recomputed is not None
    assert str(checked.report.audit) == passed["id"]
    assert Signature.from_bytes(answer.content).sha256 == hashlib.sha256(document).hexdigest()


def test_the_json_stays_the_same_until_somebody_acknowledges(
    client: TestClient, passed: dict[str, Any], dissect: Dissect
) -> None:
    document = twin(client, passed)
    dissect(start(client), 1, 1, 1)
    assert client.post("/deployments/east/versions", json={"target": "screening", "audit": False}).status_code == 202
    assert twin(client, passed) == document
    body = {"by": "medical physics", "reason": "as expected"}
    assert client.post(f"/audits/{passed['id']}/acknowledge", json=body).status_code == 200
    seen = json.loads(twin(client, passed))
    assert (seen.pop("acknowledgement")["by"], json.loads(document).pop("acknowledgement")) == (body["by"], None)
    assert {**seen, "acknowledgement": None} == json.loads(document)


def test_the_last_audit_is_the_one_that_was_judged_when_this_one_began(
    client: TestClient, passed: dict[str, Any], dissect: Dissect
) -> None:
    second, third = start(client), start(client)
    failed = dissect(third, 1, 1, 1)
    since = json.loads(twin(client, failed))["since_last"]
    assert (since["audit"], since["then"], since["now"]) == (passed["id"], "pass", "fail")
    assert ["category-loss", "pass", "fail"] in [[one["rule"], one["then"], one["now"]] for one in since["outcomes"]]
    before = twin(client, failed)
    assert json.loads(twin(client, dissect(second, 0, 0, 1)))["since_last"]["audit"] == passed["id"]
    assert twin(client, failed) == before, "an audit that began earlier and ended later changes nothing"
    assert json.loads(twin(client, passed))["since_last"] is None


def test_there_is_none_while_an_audit_runs_nor_of_no_audit(client: TestClient, deployed: str) -> None:
    audit = start(client)
    for path in ("report", "report/signature", "model-card", "evidence-map"):
        found = problem(client.get(f"/audits/{audit['id']}/{path}"), 409)
        assert (found["field"], found["value"]) == ("audit", audit["id"])
        assert "is running" in found["detail"]
        problem(client.get(f"/audits/{uuid4()}/{path}"), 404)


def test_a_dissection_that_is_tried_again_does_not_change_what_was_reported(
    client: TestClient, deployed: str, sessions: Sessions
) -> None:
    audit = start(client)
    job = UUID(audit["job"])
    with transaction(sessions) as session:
        assert move_job(session, job, JobStatus.RUNNING)
        assert move_job(session, job, JobStatus.FAILED)
    assert judge_ended_audits(sessions) == [UUID(audit["id"])]
    document = twin(client, audit)
    assert json.loads(document)["problem"]["code"] == "dissection-failed"
    assert client.post(f"/jobs/{job}/retry").status_code == 202
    with transaction(sessions) as session:
        assert move_job(session, job, JobStatus.RUNNING)
        assert move_job(session, job, JobStatus.SUCCEEDED, manifest={"device": "cpu"})
    assert twin(client, audit) == document


def test_without_a_signing_key_it_is_said_how_to_set_one(client: TestClient, passed: dict[str, Any]) -> None:
    found = problem(client.get(f"/audits/{passed['id']}/report/signature"), 409)
    assert found["field"] == "signing_key"
    assert "openssl genpkey -algorithm ed25519" in found["remedy"]
    assert "SIGNING_KEY" in found["remedy"]


def test_an_audit_that_could_not_begin_has_a_report(client: TestClient, deployed: str, data_root: Path) -> None:
    (data_root / "target.pt").write_bytes(b"changed")
    audit = start(client)
    assert audit["status"] == "error"
    page = Page(client.get(f"/audits/{audit['id']}/report").text)
    assert "NO VERDICT" in page.text
    assert "SHA-256" in page.text
    value = json.loads(twin(client, audit))
    assert (value["verdict"], value["facts"], value["job"]) == (None, None, None)
    assert value["problem"]["code"] == "digest-mismatch"
    cancelled = client.post("/audits", json={"deployment": "east"}).json()
    assert json.loads(twin(client, cancelled))["status"] == "error"


def test_a_cancelled_audit_is_no_pass(client: TestClient, deployed: str) -> None:
    audit = start(client)
    client.post(f"/audits/{audit['id']}/cancel")
    assert "Somebody cancelled the audit" in Page(client.get(f"/audits/{audit['id']}/report").text).text


def test_a_model_card_is_markdown(client: TestClient, passed: dict[str, Any]) -> None:
    answer = client.get(f"/audits/{passed['id']}/model-card")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/markdown; charset=utf-8")
    assert answer.headers["content-disposition"] == f'inline; filename="model-card-{passed["id"]}.md"'
    assert answer.text.startswith("# Model card: screening@1")
    assert passed["target_digest"] in answer.text


def test_a_map_of_evidence_is_json_or_markdown(client: TestClient, passed: dict[str, Any], key: SigningKey) -> None:
    path = f"/audits/{passed['id']}/evidence-map"
    value = client.get(path).json()
    says = {one["evidence"]: one["value"] for one in value["evidence"]}
    assert says["report"] == f"SHA-256 {hashlib.sha256(twin(client, passed)).hexdigest()}"
    assert key.public.key_id in says["signature"]
    markdown = client.get(path, params={"format": "markdown"})
    assert markdown.headers["content-type"] == "text/markdown; charset=utf-8"
    assert value["no_claim"] in markdown.text
    assert problem(client.get(path, params={"format": "html"}), 422)["field"] == "format"


def test_every_pointer_of_the_map_leads_somewhere(client: TestClient, passed: dict[str, Any], key: SigningKey) -> None:
    for one in client.get(f"/audits/{passed['id']}/evidence-map").json()["evidence"]:
        call, _, path = one["where"].partition(" ")
        assert call == "mammodissect" or client.get(path).status_code == 200, one


def test_the_mapping_is_the_one_that_the_setting_names(
    database_url: str, data_root: Path, passed: dict[str, Any], sessions: Sessions
) -> None:
    path = data_root / "mapping.json"
    path.write_text('{"frameworks": []}')
    settings = Settings(
        database_url=SecretStr(database_url),
        broker_url=SecretStr("redis://localhost:1"),
        api_key=SecretStr("open sesame"),
        evidence_map=str(path),
        data_roots="/",
    )
    with TestClient(create_app(settings), headers={"Authorization": "Bearer open sesame"}) as other:
        assert other.get(f"/audits/{passed['id']}/evidence-map").json()["frameworks"] == []
        path.write_text('{"frameworks": 1}')
        assert problem(other.get(f"/audits/{passed['id']}/evidence-map"), 422)["field"] == "evidence_map"
