"""What is kept of an audit: it is acknowledged once, and never changed."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, null, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from service.db.audit_tables import AuditRow
from service.db.session import transaction
from service.domain.audits import Audit, AuditStatus
from service.errors import Conflict
from service.usecases.audits import acknowledge_audit, find_audit
from tests.usecases.hospital import Hospital


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
