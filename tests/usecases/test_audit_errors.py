"""Audits that end without a verdict: lost checkpoints, failed dissections, cancelled ones."""

import errno
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sqlalchemy import text

from service.db.audits import take_ended_audit
from service.db.session import transaction
from service.domain.audits import AuditStatus
from service.domain.jobs import JobStatus
from service.domain.schedules import CatchUp, Overlap, Terms
from service.errors import Conflict, FileOutOfReach
from service.files import ANYWHERE
from service.usecases.audits import cancel_audit, list_audits
from service.usecases.fires import Begin, decide, files_to_read
from service.usecases.jobs import cancel_job, find_job
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.scheduled_audits import open_audits
from service.usecases.schedules import create_schedule, list_fires
from tests.engine.small_networks import ARCHITECTURE
from tests.usecases.hospital import Hospital


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
