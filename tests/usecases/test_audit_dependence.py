"""Audits whose policy asks whether the outputs depend on neurons that respond to watched concepts."""

from dataclasses import replace
from uuid import UUID

import pytest

from service.analysis.watch_list import WatchfulNeuron, WatchList
from service.db.session import transaction
from service.domain.ablations import Ablation, AblationStatus
from service.domain.audits import Audit, AuditStatus
from service.domain.evidence import Watched
from service.usecases import ablations, audit_dependence
from service.usecases.ablations import cancel_ablation, list_ablations
from service.usecases.audit_verdicts import judge_ended_audits, recompute
from service.usecases.audits import cancel_audit, find_audit
from tests.pipelines import small_jobs
from tests.usecases.hospital import Hospital

RULE = {"rule": "watched-dependence", "at_most": 0.0}
NEURON = WatchfulNeuron("layer4.0", 0, "mass", (Watched(2, "clip", p=0.001, z=3.0, q=0.01),), ())
WATCHFUL = WatchList(refused=None, watched=1, live=10, share=0.1, neurons=(NEURON,))


@pytest.fixture
def watchful(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """A hospital that watches clips; one neuron responds to them, whatever noise images make of it."""
    mass, calcification, clip = small_jobs.CONCEPTS.concepts
    watching = replace(small_jobs.CONCEPTS, concepts=(mass, calcification, replace(clip, watched=True)))
    monkeypatch.setattr(small_jobs, "CONCEPTS", watching)
    for module in (ablations, audit_dependence):
        monkeypatch.setattr(module, "read_watch_list", lambda _session, _job: WATCHFUL)

    hospital: Hospital = request.getfixturevalue("hospital")
    return hospital


def dissected(hospital: Hospital) -> Audit:
    """An audit whose dissection has ended, and which the scheduler has looked at."""
    hospital.deploy()
    audit = hospital.begin()
    hospital.work()
    judge_ended_audits(hospital.sessions)
    return now(hospital, audit.id)


def now(hospital: Hospital, audit: UUID) -> Audit:
    with transaction(hospital.sessions) as session:
        return find_audit(session, audit)


def ablations_of(hospital: Hospital, audit: Audit) -> list[Ablation]:
    assert audit.job is not None
    with transaction(hospital.sessions) as session:
        return list(list_ablations(session, audit.job, limit=10, after=None).items)


def test_an_audit_waits_for_the_ablation_and_is_judged_by_it(watchful: Hospital) -> None:
    watchful.policy("policy", RULE)
    audit = dissected(watchful)
    assert audit.status is AuditStatus.RUNNING
    [asked] = ablations_of(watchful, audit)
    assert asked.status is AblationStatus.QUEUED
    assert judge_ended_audits(watchful.sessions) == []

    audit = watchful.finish(audit)
    assert (audit.status, audit.verdict) == (AuditStatus.JUDGED, "fail"), audit.problem
    assert audit.facts is not None
    assert audit.facts.dependence is not None
    [unit] = audit.facts.dependence.units
    assert (unit.layer, unit.unit, unit.concepts) == ("layer4.0", 0, ("clip",))
    assert audit.facts.dependence.ablation == asked.id
    assert recompute(audit) == audit.judgement


def test_a_larger_threshold_is_kept(watchful: Hospital) -> None:
    watchful.policy("policy", {**RULE, "at_most": 100.0})
    audit = watchful.finish(dissected(watchful))
    assert audit.verdict == "pass", audit.judgement


def test_what_was_not_ablated_is_not_testable(watchful: Hospital) -> None:
    watchful.policy("policy", RULE)
    audit = dissected(watchful)
    [asked] = ablations_of(watchful, audit)
    with transaction(watchful.sessions) as session:
        cancel_ablation(session, asked.job, asked.id)
    judge_ended_audits(watchful.sessions)
    audit = now(watchful, audit.id)
    assert audit.verdict == "warn"
    assert audit.judgement is not None
    assert audit.judgement.outcomes[-1].reason.endswith("The ablation was cancelled.")


def test_cancelling_an_audit_ends_its_ablation(watchful: Hospital) -> None:
    watchful.policy("policy", RULE)
    audit = dissected(watchful)
    with transaction(watchful.sessions) as session:
        cancel_audit(session, audit.id)
    [asked] = ablations_of(watchful, audit)
    assert asked.status is AblationStatus.CANCELLED


def test_without_the_rule_nothing_is_ablated(watchful: Hospital) -> None:
    watchful.policy("policy")
    audit = dissected(watchful)
    assert audit.status is AuditStatus.JUDGED
    assert audit.facts is not None
    assert audit.facts.dependence is None
    assert ablations_of(watchful, audit) == []
