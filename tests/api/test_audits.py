"""Policies, deployments and audits over HTTP."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from service.analysis.verdict import judge
from service.db.jobs import move_job
from service.db.neurons import add_layer
from service.db.session import Sessions, transaction
from service.db.tables import ResourceRow
from service.domain.audit_facts import AuditFacts, Judgement
from service.domain.digests import digest_of_file
from service.domain.evidence import JobEvidence, Qualification
from service.domain.jobs import JobStatus
from service.domain.neurons import LayerSummary
from service.domain.policies import Policy
from service.files import ANYWHERE
from service.usecases.audit_verdicts import judge_ended_audits
from service.usecases.jobs import find_job
from service.usecases.probe_sets import probe_set_of, register_probe_set
from tests.api.test_comparisons import layer
from tests.api.test_problems import problem
from tests.usecases.factories import CONCEPTS, RecordingQueue, dissected_job, neuron, succeeded_job

QUALIFIED = Qualification(0, "spiculated mass", "mass", "qualified", 25, 25, 0.95, 0.9, 1.0)
EVIDENCE = JobEvidence("exam", 50, None, ("mass",), None, (QUALIFIED,))
RULES: list[dict[str, Any]] = [
    {"rule": "significant-share", "at_least": 0.5},
    {"rule": "required-concepts", "concepts": ["spiculated mass"]},
    {"rule": "category-loss", "at_most": 0.4},
]


def many(*concepts: int) -> list[int]:
    """Each of them four times, for of three neurons none is lost beyond the noise."""
    return [concept for concept in concepts for _ in range(4)]


@pytest.fixture
def baseline(sessions: Sessions, data_root: Path) -> str:
    """A dissection of a registered checkpoint on a registered manifest."""
    (data_root / "target.pt").write_bytes(b"weights")
    for number in range(5):
        (data_root / f"{number}.png").write_bytes(b"pixels")
    (data_root / "manifest.csv").write_text("image,density\n" + "".join(f"{number}.png,a\n" for number in range(5)))
    with transaction(sessions) as session:
        probe_set, _ = register_probe_set(
            session,
            RecordingQueue(),
            name="probes",
            manifest=str(data_root / "manifest.csv"),
            patches=None,
            on_unreadable="fail",
            roots=ANYWHERE,
        )
        assert len(probe_set_of(session, probe_set, ANYWHERE).items) == 5
        job = dissected_job(session, [layer("blocks.0", *many(0, 0, 1))], evidence=EVIDENCE, probe_set=probe_set)
        spec = {
            "checkpoint": str(data_root / "target.pt"),
            "architecture": "a",
            "sha256": digest_of_file(data_root / "target.pt"),
        }
        session.execute(update(ResourceRow).where(ResourceRow.name == "screening").values(spec=spec))
    return str(job)


@pytest.fixture
def deployed(client: TestClient, baseline: str) -> str:
    assert client.post("/policies", json={"name": "screening", "policy": {"rules": RULES}}).status_code == 201
    answer = client.post("/deployments", json={"name": "east", "policy": "screening", "baseline": baseline})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/deployments/east"
    return str(answer.json()["name"])


Dissect = Callable[[dict[str, Any], int, int, int], dict[str, Any]]


@pytest.fixture
def dissect(client: TestClient, sessions: Sessions) -> Dissect:
    """Stand in for worker and scheduler: the audit's dissection finds four neurons with each of those concepts."""

    def end(audit: dict[str, Any], *labels: int) -> dict[str, Any]:
        found = layer("blocks.0", *many(*labels))
        with transaction(sessions) as session:
            job_id = UUID(audit["job"])
            original = find_job(session, UUID(audit["baseline"])).manifest
            assert original is not None
            same = labels == (0, 0, 1)
            assert move_job(session, job_id, JobStatus.RUNNING)
            units = len(found.neurons)
            summary = LayerSummary("blocks.0", units, 0, 1.5, 2, (), significant=units)
            add_layer(session, job_id, position=0, summary=summary, neurons=found.neurons, concepts=CONCEPTS)
            replay = {"replay": {"of": audit["baseline"], "identical": same, "differing_layers": []}}
            assert move_job(session, job_id, JobStatus.SUCCEEDED, manifest={**original, **replay})
        assert judge_ended_audits(sessions) == [UUID(audit["id"])]
        judged: dict[str, Any] = client.get(f"/audits/{audit['id']}").json()
        return judged

    return end


def start(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/audits", json={"deployment": "east", **body})
    assert answer.status_code == 202, answer.text
    audit: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/audits/{audit['id']}"
    return audit


def test_an_audit_from_request_to_verdict(client: TestClient, deployed: str, dissect: Dissect) -> None:
    audit = start(client)
    assert (audit["status"], audit["verdict"], audit["candidate"], audit["proposal"]) == ("running", None, False, False)
    judged = dissect(audit, 0, 0, 1)
    assert (judged["status"], judged["verdict"], judged["deployment"]) == ("judged", "pass", deployed)
    assert [(one["rule"], one["outcome"]) for one in judged["outcomes"]] == [
        ("reproducibility", "pass"),
        ("significant-share", "pass"),
        ("required-concepts", "pass"),
        ("category-loss", "pass"),
    ]
    assert judged["facts"]["drift"]["divergence"]["value"] == 0.0
    assert judged["rules"]["rules"][0] == {"rule": "significant-share", "at_least": 0.5, "severity": "fail"} | {
        "least_exams": 20
    }
    again = client.get(f"/audits/{audit['id']}/recomputed").json()
    assert (again["verdict"], again["same"], again["outcomes"]) == ("pass", True, judged["outcomes"])


def test_a_verdict_is_the_same_in_the_words_of_another_release(
    client: TestClient, deployed: str, dissect: Dissect, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = dissect(start(client), 0, 0, 1)

    def judge_in_other_words(policy: Policy, facts: AuditFacts) -> Judgement:
        judgement = judge(policy, facts)
        outcomes = tuple(replace(outcome, reason="In other words.") for outcome in judgement.outcomes)
        return replace(judgement, outcomes=outcomes)

    monkeypatch.setattr("service.usecases.audit_verdicts.judge", judge_in_other_words)
    assert client.get(f"/audits/{audit['id']}/recomputed").json()["same"] is True


def test_a_network_that_lost_what_it_must_keep_fails_with_the_figures(
    client: TestClient, deployed: str, dissect: Dissect
) -> None:
    judged = dissect(start(client), 1, 1, 1)
    assert judged["verdict"] == "fail"
    broken = {one["rule"]: one for one in judged["outcomes"] if one["outcome"] == "fail"}
    assert set(broken) == {"reproducibility", "required-concepts", "category-loss"}
    assert broken["required-concepts"]["figures"]["missing"] == ["spiculated mass"]
    assert broken["category-loss"]["reason"] == "Lost beyond the noise: mass margin (100%)."
    (listed,) = client.get("/audits", params={"verdict": "fail"}).json()["items"]
    assert listed["id"] == judged["id"]
    assert not {"facts", "rules", "strata"} & set(listed)
    assert listed["outcomes"] == Counter(one["outcome"] for one in judged["outcomes"])
    assert client.get("/audits", params={"verdict": "pass"}).json()["items"] == []


def test_the_history_is_a_time_series_newest_first(client: TestClient, deployed: str, dissect: Dissect) -> None:
    audits = [dissect(start(client), *labels) for labels in ((0, 0, 1), (0, 1, 1))]
    running = start(client)
    first = client.get("/deployments/east/history", params={"limit": 2}).json()
    rest = client.get("/deployments/east/history", params={"limit": 2, "cursor": first["next"]}).json()
    points = [*first["items"], *rest["items"]]
    assert [point["audit"] for point in points] == [running["id"], audits[1]["id"], audits[0]["id"]]
    assert [point["verdict"] for point in points] == [None, "fail", "pass"]
    assert [point["significant_share"] for point in points] == [None, 1.0, 1.0]
    assert [point["divergence"] == 0.0 for point in points] == [False, False, True]
    assert rest["next"] is None


def test_a_verdict_is_acknowledged_with_name_and_reason(client: TestClient, deployed: str, dissect: Dissect) -> None:
    audit = start(client)
    path = f"/audits/{audit['id']}/acknowledge"
    body = {"by": "medical physics", "reason": "the model is taken out of use"}
    problem(client.post(path, json=body), 409)
    dissect(audit, 1, 1, 1)
    seen = client.post(path, json=body).json()["acknowledgement"]
    assert (seen["by"], seen["reason"]) == (body["by"], body["reason"])
    problem(client.post(path, json=body), 409)


def test_a_running_audit_can_be_cancelled(client: TestClient, deployed: str) -> None:
    audit = start(client)
    assert client.post(f"/audits/{audit['id']}/cancel").json()["status"] == "cancelled"
    assert client.get(f"/jobs/{audit['job']}").json()["status"] == "cancelled"
    problem(client.post(f"/audits/{audit['id']}/cancel"), 409)
    problem(client.get(f"/audits/{audit['id']}/recomputed"), 409)


def test_a_new_version_is_registered_under_the_deployments_name_and_audited(
    client: TestClient, deployed: str, data_root: Path
) -> None:
    (data_root / "new.pt").write_bytes(b"other weights")
    target = {"checkpoint": str(data_root / "new.pt"), "architecture": "a"}
    answer = client.post("/deployments/east/versions", json={"target": target})
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["deployment"]["target"], body["audit"]["trigger"]) == ("east@1", "version")
    assert client.get("/deployments/east").json() == body["deployment"]
    quiet = client.post("/deployments/east/versions", json={"target": "screening", "audit": False}).json()
    assert (quiet["deployment"]["target"], quiet["audit"]) == ("screening@1", None)


def test_a_proposed_baseline_is_pinned(client: TestClient, deployed: str, dissect: Dissect) -> None:
    audit = dissect(start(client), 0, 0, 1)
    pinned = client.post("/deployments/east/baseline", json={"audit": audit["id"]})
    assert (pinned.status_code, pinned.json()["baseline"]) == (200, audit["job"])
    problem(client.post("/deployments/east/baseline", json={}), 422)
    problem(client.post("/deployments/east/baseline", json={"job": str(uuid4())}), 404)


def test_a_dissection_with_shuffled_weights_is_no_baseline(
    client: TestClient, deployed: str, sessions: Sessions
) -> None:
    with transaction(sessions) as session:
        job = str(succeeded_job(session, [neuron(0, 1.0)], shuffled=1))
    west = {"name": "west", "policy": "screening", "baseline": job}
    for refused in (
        problem(client.post("/deployments", json=west), 422),
        problem(client.post("/deployments/east/baseline", json={"job": job}), 422),
    ):
        assert (refused["field"], refused["value"]) == ("baseline", job)
        assert "shuffled" in refused["detail"]


def test_alerts_are_snoozed_for_a_time_with_name_and_reason(client: TestClient, deployed: str) -> None:
    body = {"until": "2099-01-01T00:00:00Z", "by": "on call", "reason": "scanner is being serviced"}
    assert client.post("/deployments/east/snooze", json=body).json()["snooze"] == body
    found = problem(client.post("/deployments/east/snooze", json={**body, "until": "2000-01-01T00:00:00Z"}), 422)
    assert found["field"] == "until"
    assert client.delete("/deployments/east/snooze").json()["snooze"] is None


def alerts(client: TestClient) -> list[str]:
    return [f"{one['kind']} {one['subject']}" for one in client.get("/alerts").json()["items"]]


def data_of(client: TestClient, index: int) -> dict[str, Any]:
    alert = client.get("/alerts").json()["items"][index]["id"]
    data: dict[str, Any] = client.get(f"/alerts/{alert}").json()["data"]
    return data


def test_an_ended_audit_is_told_of_with_its_reasons(client: TestClient, deployed: str, dissect: Dissect) -> None:
    dissect(start(client), 0, 0, 1)
    failed = dissect(start(client), 1, 1, 1)
    assert alerts(client) == ["audit.failed east: FAIL", "audit.passed east: PASS"]
    data = data_of(client, 0)
    assert (data["audit"], data["verdict"], data["last_of_budget"]) == (failed["id"], "fail", False)
    assert "required-concepts: No neuron stands for spiculated mass." in data["reasons"]


@pytest.mark.parametrize("not_testable", ["pass", "warn", "fail"])
def test_what_could_not_be_tested_is_a_reason_where_it_weighs(
    client: TestClient, deployed: str, dissect: Dissect, not_testable: str
) -> None:
    untestable = {"rule": "category-loss", "at_most": 0.1, "categories": ["vehicles"]}
    kept = {"rule": "significant-share", "at_least": 0.1}
    policy = {"rules": [kept, untestable], "not_testable": not_testable}
    client.post("/policies", json={"name": "other", "policy": policy})
    assert client.patch("/deployments/east", json={"policy": "other"}).status_code == 200
    assert dissect(start(client), 0, 0, 1)["verdict"] == not_testable
    told = [] if not_testable == "pass" else ["category-loss: The baseline has no neuron in these categories."]
    assert data_of(client, 0)["reasons"] == told


def test_an_audit_that_cannot_begin_is_told_of_too(client: TestClient, deployed: str, data_root: Path) -> None:
    (data_root / "target.pt").write_bytes(b"something else")
    assert start(client)["status"] == "error"
    assert alerts(client) == ["audit.error east: ERROR"]


def test_a_budget_silences_bad_news_beyond_it_and_never_good_news(
    client: TestClient, deployed: str, dissect: Dissect
) -> None:
    assert client.patch("/deployments/east", json={"alert_budget": 1}).json()["alert_budget"] == 1
    for labels in ((1, 1, 1), (1, 1, 1), (0, 0, 1)):
        dissect(start(client), *labels)
    assert alerts(client) == ["audit.passed east: PASS", "audit.failed east: FAIL"]
    assert data_of(client, 1)["last_of_budget"] is True


def test_a_snoozed_deployment_is_audited_and_recorded_in_silence(
    client: TestClient, deployed: str, dissect: Dissect
) -> None:
    client.post("/deployments/east/snooze", json={"until": "2099-01-01T00:00:00Z", "by": "me", "reason": "service"})
    assert dissect(start(client), 1, 1, 1)["verdict"] == "fail"
    assert alerts(client) == []
    client.delete("/deployments/east/snooze")
    dissect(start(client), 1, 1, 1)
    assert alerts(client) == ["audit.failed east: FAIL"]


def test_policies_are_versions_and_come_as_yaml_too(client: TestClient) -> None:
    yaml = "rules:\n  - rule: stability\n    at_least: 0.5\n"
    first = client.post("/policies", json={"name": "mine", "policy": yaml})
    assert (first.status_code, first.headers["location"]) == (201, "/policies/mine@1")
    again = client.post(
        "/policies", json={"name": "mine", "policy": {"rules": [{"rule": "stability", "at_least": 0.5}]}}
    )
    assert (again.status_code, again.json()["reference"]) == (200, "mine@1")
    other = client.post("/policies", json={"name": "mine", "policy": {"rules": RULES}})
    assert other.json()["reference"] == "mine@2"
    assert client.get("/policies/mine").json()["spec"]["rules"][0]["at_least"] == 0.5 == RULES[0]["at_least"]
    assert [one["reference"] for one in client.get("/policies").json()["items"]] == ["mine@2", "mine@1"]
    assert "rules" in client.get("/policies/schema").json()["properties"]


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"rules": [{"rule": "stabilty", "at_least": 0.5}]}, "policy.rules.0.rule"),
        ({"rules": [{"rule": "stability", "at_least": 5}]}, "policy.rules.0.at_least"),
        ("rules: [", "policy"),
        ("description: 2026-99-99", "policy"),
        ("description: !!bool maybe", "policy"),
        ("description: !!int ''", "policy"),
        ("description: !!timestamp never", "policy"),
        ("[" * 5_000, "policy"),
    ],
)
def test_a_wrong_policy_names_its_field(client: TestClient, policy: Any, field: str) -> None:
    found = problem(client.post("/policies", json={"name": "mine", "policy": policy}), 422)
    assert (found["field"], found["type"]) == (field, "urn:mammodissect:problem:invalid-policy")


def test_what_there_is_not_is_named_with_near_matches(client: TestClient, deployed: str) -> None:
    found = problem(client.post("/audits", json={"deployment": "eats"}), 404)
    assert (found["field"], found["remedy"]) == ("deployment", "Near matches: east.")
    problem(client.get(f"/audits/{uuid4()}"), 404)
    problem(client.get("/policies/none"), 404)
    problem(client.get("/audits", params={"deployment": "west"}), 404)
    problem(client.patch("/deployments/east", json={"policy": "none"}), 404)


def test_deployments_are_listed_without_their_layers(client: TestClient, deployed: str) -> None:
    (listed,) = client.get("/deployments").json()["items"]
    alone = client.get(f"/deployments/{deployed}").json()
    assert alone["layers"]
    assert listed == {name: value for name, value in alone.items() if name != "layers"}
