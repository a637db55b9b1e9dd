"""Audits of small networks from deployment to verdict."""

import errno
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import timm
import torch
from pydantic import SecretStr
from safetensors.torch import load_file, save_file
from sqlalchemy import delete, null, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from service.analysis.policy_codec import policy_from
from service.config import Settings
from service.db.audit_tables import AuditRow
from service.db.audits import take_ended_audit
from service.db.session import Sessions, transaction
from service.domain.audits import Audit, AuditStatus, Deployment, Occasion
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import JobStatus
from service.domain.methods import Method
from service.domain.resources import Resource
from service.domain.schedules import CatchUp, Overlap, Terms
from service.errors import Conflict, FileOutOfReach, InvalidInput, InvalidPolicy, NotFound
from service.files import ANYWHERE
from service.pipelines.items import DissectionRunner
from service.usecases.audit_verdicts import judge_ended_audits, recompute
from service.usecases.audits import acknowledge_audit, cancel_audit, find_audit, list_audits, start_audit
from service.usecases.deployments import (
    DeploymentSubmission,
    change_deployment,
    create_deployment,
    deploy_version,
    find_deployment,
    pin_baseline,
)
from service.usecases.fires import Begin, decide, files_to_read
from service.usecases.jobs import cancel_job, find_job
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.policies import register_policy
from service.usecases.readings import AT_ONCE
from service.usecases.scheduled_audits import open_audits
from service.usecases.schedules import create_schedule, list_fires
from tests.engine.small_networks import ARCHITECTURE
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import SUBMISSION, submit, write_folder
from tests.usecases.factories import RecordingQueue, refuse, without_preparations

IMAGES = 44
DENSITY = ["a"] * 24 + ["b"] * 20
RULES = [
    {"rule": "significant-share", "at_least": 0.0},
    {"rule": "divergence", "at_most": 0.1},
    {"rule": "stability", "at_least": 0.0, "severity": "warn"},
]
SMALL = replace(
    SUBMISSION, method=Method.of(top_k=4), evidence=EvidenceOptions(draws=200, resamples=20, halves=4), shard_size=64
)


class Hospital:
    """A deployed network, and the worker and scheduler that audit it."""

    def __init__(self, sessions: Sessions, settings: Settings, folder: Path) -> None:
        self.sessions = sessions
        self.folder = folder
        self.queue = RecordingQueue()
        self._host = inline_host(sessions, settings, DissectionRunner(settings, sessions))
        self.baseline = submit(sessions, folder, evidence=SMALL.evidence, method=SMALL.method, shard_size=64).id
        self.work()

    def policy(self, name: str, *rules: dict[str, Any]) -> Resource:
        with transaction(self.sessions) as session:
            return register_policy(session, name, policy_from({"rules": list(rules or RULES)}))[0]

    def deploy(self, *, baseline: UUID | None = None, policy: str = "policy") -> Deployment:
        with transaction(self.sessions) as session:
            dissection = SMALL if baseline is None else None
            submission = DeploymentSubmission("east", policy, dissection=dissection, baseline=baseline)
            return create_deployment(session, submission, ANYWHERE, AT_ONCE)

    def register(self, name: str) -> Resource:
        with transaction(self.sessions) as session:
            checkpoint = str(self.folder / f"{name}.safetensors")
            return register_model(
                session, self.queue, NamedCheckpoint(checkpoint, ARCHITECTURE), name=name, roots=ANYWHERE
            )[0]

    def begin(self, target: Resource | None = None) -> Audit:
        with transaction(self.sessions) as session:
            return start_audit(
                session, self.queue, find_deployment(session, "east"), Occasion("request", target), ANYWHERE, AT_ONCE
            )

    def work(self) -> None:
        self._host.work()

    def finish(self, audit: Audit) -> Audit:
        self.work()
        judge_ended_audits(self.sessions)
        with transaction(self.sessions) as session:
            return find_audit(session, audit.id)

    def audit(self, target: Resource | None = None) -> Audit:
        return self.finish(self.begin(target))


@pytest.fixture
def hospital(sessions: Sessions, database_url: str, tmp_path: Path) -> Hospital:
    folder = write_folder(tmp_path, images=IMAGES, columns={"density": DENSITY})
    artifacts = (tmp_path / "artifacts").as_uri()
    return Hospital(
        sessions,
        Settings(database_url=SecretStr(database_url), device="cpu", artifacts_url=artifacts, data_roots="/"),
        folder,
    )


def other_network(folder: Path, name: str) -> None:
    torch.manual_seed(9)
    save_file(timm.create_model("test_resnet").state_dict(), folder / f"{name}.safetensors")


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


def test_a_baseline_that_differs_in_method_is_refused_by_name(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy()
    job = submit(hospital.sessions, hospital.folder, method=Method.of(top_k=5), shard_size=64)
    hospital.work()
    with transaction(hospital.sessions) as session, pytest.raises(Conflict, match="options") as error:
        pin_baseline(session, "east", job.id)
    assert error.value.field == "options"


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


@pytest.mark.parametrize("gone", [False, True])
def test_a_checkpoint_that_was_changed_or_lost_ends_the_audit_with_that_problem(hospital: Hospital, gone: bool) -> None:
    hospital.policy("policy")
    hospital.deploy(baseline=hospital.baseline)
    file = hospital.folder / "target.safetensors"
    if gone:
        file.unlink()
    else:
        weights = load_file(file)
        save_file({**weights, "fc.bias": weights["fc.bias"] + 1}, file)
    audit = hospital.begin()
    assert (audit.status, audit.verdict, audit.job) == (AuditStatus.ERROR, None, None)
    assert audit.problem is not None
    assert (audit.problem["code"], audit.problem["field"]) == ("digest-mismatch", "target")


def test_a_schedules_audit_whose_checkpoint_cannot_be_read_for_now_begins_later(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise OSError(errno.EIO, "Input/output error")

    hospital.policy("policy")
    deployment = hospital.deploy(baseline=hospital.baseline)
    now = datetime.now(UTC)
    with transaction(hospital.sessions) as session:
        terms = Terms("* * * * *", "UTC", CatchUp.NONE, catch_up_max=None, grace=None, overlap=Overlap.SKIP)
        schedule = create_schedule(session, name="nightly", deployment="east", terms=terms, now=now)

    begun = open_audits(hospital.queue, ANYWHERE)
    with monkeypatch.context() as failing:
        failing.setattr("service.usecases.audits.digest_of_file", fail)
        due = now + timedelta(minutes=1)
        files = files_to_read(hospital.sessions, begun, schedule.id, due)
        assert files is not None
        with pytest.raises(FileOutOfReach, match="The checkpoint cannot be read now: Input/output error"):
            decide(hospital.sessions, schedule.id, due, Begin(begun, begun.read(files)))
    with transaction(hospital.sessions) as session:
        assert list_fires(session, schedule, limit=9, after=None).items == ()
        listed = list_audits(session, deployment=deployment, verdict=None, limit=9, after=None)
        assert listed.items == ()

    assert decide(hospital.sessions, schedule.id, due, Begin(begun, begun.read(files))) == 1


def test_a_checkpoint_that_has_moved_is_audited_once_it_is_registered_again(hospital: Hospital) -> None:
    hospital.policy("policy")
    deployment = hospital.deploy(baseline=hospital.baseline)
    file = hospital.folder / "target.safetensors"
    moved = file.rename(hospital.folder / "moved.safetensors")
    assert hospital.begin().status is AuditStatus.ERROR
    with transaction(hospital.sessions) as session:
        found, new = register_model(
            session,
            hospital.queue,
            NamedCheckpoint(str(moved), ARCHITECTURE),
            name=deployment.target.name,
            roots=ANYWHERE,
        )
    assert (found.id, found.digest, new) == (deployment.target.id, deployment.target.digest, False)
    audit = hospital.audit()
    assert (audit.status, audit.target.id) == (AuditStatus.JUDGED, deployment.target.id)
    assert audit.facts is not None
    assert audit.facts.identical


def test_a_failed_dissection_is_an_error_and_no_verdict(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy(baseline=hospital.baseline)
    torch.manual_seed(9)
    save_file({"no": torch.zeros(1)}, hospital.folder / "broken.safetensors")
    audit = hospital.audit(hospital.register("broken"))
    assert (audit.status, audit.verdict) == (AuditStatus.ERROR, None)
    assert audit.problem is not None
    assert audit.problem["code"] == "dissection-failed"


def test_a_failed_dissection_of_a_stratum_is_an_error_too(hospital: Hospital) -> None:
    hospital.policy("policy", {"rule": "significant-share", "at_least": 0.0, "by": "density"})
    hospital.deploy(baseline=hospital.baseline)
    begun = hospital.begin()
    *_, part = begun.strata
    assert part.job is not None
    with transaction(hospital.sessions) as session:
        cancel_job(session, part.job)
    audit = hospital.finish(begun)
    assert (audit.status, audit.verdict) == (AuditStatus.ERROR, None)
    assert audit.problem is not None
    assert audit.problem["detail"] == f"The dissection {part.job} ended cancelled."


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


def test_a_cancelled_audit_stops_its_dissections_and_gets_no_verdict(hospital: Hospital) -> None:
    hospital.policy("policy", {"rule": "significant-share", "at_least": 0.0, "by": "density"})
    hospital.deploy(baseline=hospital.baseline)
    audit = hospital.begin()
    with transaction(hospital.sessions) as session:
        cancel_audit(session, audit.id)
    ended = hospital.finish(audit)
    assert (ended.status, ended.verdict) == (AuditStatus.CANCELLED, None)
    with transaction(hospital.sessions) as session:
        for job in (ended.job, *(one.job for one in ended.strata)):
            assert job is not None
            assert find_job(session, job).status is JobStatus.CANCELLED
        with pytest.raises(Conflict):
            cancel_audit(session, audit.id)


def test_an_audit_that_is_being_judged_is_not_waited_for(hospital: Hospital) -> None:
    hospital.policy("policy", {"rule": "significant-share", "at_least": 0.0})
    hospital.deploy(baseline=hospital.baseline)
    begun = hospital.begin()
    hospital.work()
    with transaction(hospital.sessions) as judge:
        assert take_ended_audit(judge) == begun.id
        with transaction(hospital.sessions) as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            with pytest.raises(Conflict, match="is being judged"):
                cancel_audit(session, begun.id)
    assert hospital.finish(begun).verdict == "pass"


def test_a_verdict_is_acknowledged_once_and_never_changed(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy(baseline=hospital.baseline)
    running = hospital.begin()
    with transaction(hospital.sessions) as session, pytest.raises(Conflict):
        acknowledge_audit(session, running.id, by="physicist", reason="seen")
    audit = hospital.finish(running)
    with transaction(hospital.sessions) as session:
        seen = acknowledge_audit(session, audit.id, by="physicist", reason="seen").acknowledgement
    assert seen is not None
    assert (seen.by, seen.reason) == ("physicist", "seen")
    with transaction(hospital.sessions) as session, pytest.raises(Conflict):
        acknowledge_audit(session, audit.id, by="somebody else", reason="seen too")
    changes: dict[str, Any] = {
        "verdict": "fail",
        "facts": {},
        "outcomes": [],
        "problem": {},
        "status": "cancelled",
        "job_id": None,
        "finished_at": None,
        "acknowledgement": null(),
        **OF_WHAT,
    }
    for column, value in changes.items():
        refuses(hospital, audit, **{column: value})
    with pytest.raises(ProgrammingError, match="permission denied"), transaction(hospital.sessions) as session:
        session.execute(delete(AuditRow).where(AuditRow.id == audit.id))
    with transaction(hospital.sessions) as session:
        assert find_audit(session, audit.id) == replace(audit, acknowledgement=seen)


def test_what_a_running_audit_is_of_does_not_change(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy(baseline=hospital.baseline)
    audit = hospital.begin()
    for column, value in OF_WHAT.items():
        refuses(hospital, audit, **{column: value})
    assert hospital.finish(audit).status is AuditStatus.JUDGED


OF_WHAT: dict[str, Any] = {
    "id": uuid4(),
    "deployment_id": uuid4(),
    "trigger": "schedule",
    "schedule_id": uuid4(),
    "fire_time": datetime(2026, 1, 1, tzinfo=UTC),
    "target_id": uuid4(),
    "candidate": True,
    "policy_id": uuid4(),
    "policy": {},
    "baseline_id": None,
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
}


def refuses(hospital: Hospital, audit: Audit, **change: Any) -> None:
    with pytest.raises(IntegrityError, match="does not change"), transaction(hospital.sessions) as session:
        session.execute(update(AuditRow).where(AuditRow.id == audit.id).values(change))


def test_a_policy_that_could_never_be_applied_is_refused_beforehand(hospital: Hospital) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"rule": "required-concepts", "concepts": ["mass", "calcificaton"]}, "policy.rules.0.concepts.1"),
        ({"rule": "required-categories", "categories": ["kinds"]}, "policy.rules.0.categories.0"),
        ({"rule": "category-loss", "at_most": 0.1, "categories": ["beauty"]}, "policy.rules.0.categories.0"),
        ({"rule": "stability", "at_least": 0.1, "by": "devise"}, "policy.rules.0.by"),
        ({"rule": "stability", "at_least": 0.1, "by": "density", "least_exams": 25}, "policy.rules.0.least_exams"),
        ({"rule": "watched-share", "at_most": 0.1}, "policy.rules.0"),
    ]
    for rule, field in bad:
        hospital.policy("policy", rule)
        with pytest.raises(InvalidPolicy) as error:
            hospital.deploy(baseline=hospital.baseline)
        assert error.value.field == field


def test_bad_deployments_are_refused(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy(baseline=hospital.baseline)
    with pytest.raises(Conflict, match="already"):
        hospital.deploy(baseline=hospital.baseline)
    with pytest.raises(NotFound, match="policy 'none'"):
        hospital.deploy(baseline=hospital.baseline, policy="none")
    queued = submit(hospital.sessions, hospital.folder, shard_size=64)
    with pytest.raises(Conflict, match="no result"):
        hospital.deploy(baseline=queued.id)
    with transaction(hospital.sessions) as session, pytest.raises(InvalidInput, match="Say how"):
        create_deployment(session, DeploymentSubmission("w", "policy"), ANYWHERE, AT_ONCE)
    with transaction(hospital.sessions) as session, pytest.raises(NotFound, match="Near matches: east"):
        find_deployment(session, "eats")
