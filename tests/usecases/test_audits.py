"""Audits of small networks from deployment to verdict."""

import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.audits import Audit, AuditStatus
from service.files import ANYWHERE
from service.usecases.audit_verdicts import recompute
from service.usecases.deployments import change_deployment, deploy_version, find_deployment, pin_baseline
from service.usecases.readings import AT_ONCE
from tests.pipelines.small_jobs import write_folder
from tests.usecases.factories import refuse, without_preparations
from tests.usecases.hospital import DENSITY, IMAGES, Hospital, other_network


def test_an_untouched_network_passes_with_exactly_zero_drift_and_was_computed_anew(hospital: Hospital) -> None:
    hospital.policy("policy", {"rule": "significant-share", "at_least": 0.0})
    hospital.deploy(baseline=hospital.baseline)
    first, second = hospital.audit(), hospital.audit()
    for audit in (first, second):
        assert (audit.status, audit.verdict) == (AuditStatus.JUDGED, "pass"), audit.problem
        assert audit.facts is not None
        assert audit.facts.drift is not None
        assert audit.facts.identical
        assert audit.facts.drift.zero
        again = recompute(audit)
        assert audit.judgement is not None
        assert again == audit.judgement
        assert [rule.reason for rule in again.outcomes] == [rule.reason for rule in audit.judgement.outcomes]
    assert len({hospital.baseline, first.job, second.job}) == 3
    with transaction(hospital.sessions) as session:
        keys = [_layer_keys(session, job) for job in (hospital.baseline, first.job, second.job)]
    assert all(keys)
    assert len(set.union(*keys)) == sum(map(len, keys)), "no two dissections share a layer"


def _layer_keys(session: Any, job: UUID | None) -> set[str]:
    query = text("SELECT key FROM job_artifacts JOIN artifacts USING (key) WHERE job_id = :job AND kind = 'layer'")
    return set(session.scalars(query, {"job": job}))


@pytest.mark.parametrize(
    ("device", "verdict", "outcome", "reason"),
    [
        ("cpu", "fail", "fail", "Not reproducible"),
        ("NVIDIA A100", "warn", "not-testable", "device NVIDIA A100, now cpu"),
    ],
    ids=["fails-whatever-the-rules-say", "is-no-proof-from-another-device"],
)
def test_a_result_that_cannot_be_reproduced(
    hospital: Hospital, device: str, verdict: str, outcome: str, reason: str
) -> None:
    hospital.policy("policy", {"rule": "significant-share", "at_least": 0.0})
    hospital.deploy(baseline=hospital.baseline)
    with transaction(hospital.sessions) as session:
        session.execute(
            text(
                """UPDATE jobs SET manifest = manifest || jsonb_build_object('device', CAST(:device AS text),
                   'results', manifest -> 'results' || '{"layer1.0": "another"}') WHERE id = :id"""
            ),
            {"id": hospital.baseline, "device": device},
        )
    audit = hospital.audit()
    assert audit.verdict == verdict
    assert audit.judgement is not None
    assert [one.outcome for one in audit.judgement.outcomes] == [outcome, "pass"]
    assert reason in audit.judgement.outcomes[0].reason


def test_a_candidate_is_compared_with_the_baseline_and_not_deployed(hospital: Hospital) -> None:
    hospital.policy("policy", {"rule": "label-churn", "at_most": 1.0})
    deployment = hospital.deploy(baseline=hospital.baseline)
    other_network(hospital.folder, "other")
    audit = hospital.audit(hospital.register("other"))
    assert audit.candidate
    assert audit.facts is not None
    assert (audit.facts.same_network, audit.facts.identical) == (False, None)
    assert audit.facts.drift is not None
    with transaction(hospital.sessions) as session:
        assert find_deployment(session, "east").target == deployment.target

    audit = _audit_of_a_refused_candidate(hospital)
    assert (audit.status, audit.job) == (AuditStatus.ERROR, None)
    assert audit.problem is not None
    assert (audit.problem["code"], audit.problem["value"]) == ("part-refused", "other@1")
    assert "It has no weights." in audit.problem["detail"]


def test_a_new_version_is_what_audits_look_at_from_then_on(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy(baseline=hospital.baseline)
    other_network(hospital.folder, "other")
    version = hospital.register("other")
    with transaction(hospital.sessions) as session:
        deploy_version(session, "east", version)
    audit = hospital.begin()
    assert (audit.target, audit.candidate) == (version, False)


def _audit_of_a_refused_candidate(hospital: Hospital) -> Audit:
    candidate = hospital.register("other")
    with transaction(hospital.sessions) as session:
        without_preparations(session)
        refuse(session, candidate)
    return hospital.begin(candidate)


def test_without_a_baseline_the_first_audit_proposes_one(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy()
    first = hospital.audit()
    assert (first.proposal, first.verdict) == (True, "warn")
    assert first.judgement is not None
    assert "No baseline is pinned." in {one.reason for one in first.judgement.outcomes}
    assert first.job is not None
    with transaction(hospital.sessions) as session:
        pin_baseline(session, "east", first.job)
    second = hospital.audit()
    assert (second.proposal, second.baseline) == (False, first.job)
    assert second.judgement is not None
    assert (second.judgement.outcomes[0].kind, second.judgement.outcomes[0].outcome) == ("reproducibility", "pass")


def test_each_stratum_is_dissected_and_small_ones_are_not_testable(hospital: Hospital) -> None:
    rule = {"rule": "significant-share", "at_least": 0.0, "by": "density"}
    hospital.policy("policy", rule, {**rule, "least_exams": 24, "name": "strict"})
    hospital.deploy(baseline=hospital.baseline)
    audit = hospital.audit()
    assert [(one.value, one.exams, one.job is not None) for one in audit.strata] == [("a", 24, True), ("b", 20, True)]
    assert audit.judgement is not None
    assert [(one.rule, one.stratum, one.outcome) for one in audit.judgement.outcomes[1:]] == [
        ("significant-share", "density=a", "pass"),
        ("significant-share", "density=b", "pass"),
        ("strict", "density=a", "pass"),
        ("strict", "density=b", "not-testable"),
    ]
    assert audit.facts is not None
    assert audit.facts.strata["density"][0].network != audit.facts.strata["density"][1].network


def test_copies_do_not_make_a_stratum_large_enough(sessions: Sessions, settings: Settings, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, images=IMAGES, columns={"density": DENSITY})
    for copy in range(IMAGES - 4, IMAGES):
        shutil.copyfile(folder / f"{copy - 4}.png", folder / f"{copy}.png")
    hospital = Hospital(sessions, settings, folder)
    hospital.policy("policy", {"rule": "significant-share", "at_least": 0.0, "by": "density"})
    hospital.deploy(baseline=hospital.baseline)
    audit = hospital.audit()
    assert [(one.value, one.exams) for one in audit.strata] == [("a", 24), ("b", 20)], "by the manifest"
    assert audit.judgement is not None
    assert [(one.stratum, one.outcome, one.figures["exams"]) for one in audit.judgement.outcomes[1:]] == [
        ("density=a", "pass", 24),
        ("density=b", "not-testable", 16),
    ]


def test_an_audit_is_judged_by_the_policy_with_which_it_began(hospital: Hospital) -> None:
    hospital.policy("policy", {"rule": "significant-share", "at_least": 0.0})
    hospital.deploy(baseline=hospital.baseline)
    audit = hospital.begin()
    hospital.policy("policy", {"rule": "significant-share", "at_least": 1.0})
    with transaction(hospital.sessions) as session:
        assert (
            change_deployment(
                session,
                "east",
                policy="policy",
                alert_budget=None,
                registered_model=None,
                roots=ANYWHERE,
                readings=AT_ONCE,
            ).policy.reference
            == "policy@2"
        )
    assert hospital.finish(audit).verdict == "pass"
    assert hospital.audit().verdict == "fail"
