"""Old results go, records stay."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from service.db.audit_tables import AuditRow, AuditStratumRow, DeploymentRow
from service.db.jobs import parts_of
from service.db.session import Sessions, transaction
from service.db.tables import JobRow, NeuronRow
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from service.usecases.comparisons import compare_jobs
from service.usecases.garbage import forget_results
from service.usecases.jobs import cancel_job, replay_job
from tests.api.test_comparisons import EVIDENCE, layer
from tests.usecases.factories import RecordingQueue, dissected_job, queued_job, resource

DAY = timedelta(days=1)


def test_results_that_nothing_refers_to_go_after_their_time(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        found = [layer("blocks.0", 0, 1)]
        baseline, audited, part, first, second, original, plain = (
            dissected_job(session, found, evidence=EVIDENCE) for _ in range(7)
        )
        audit = _audit(session, _deploy(session, baseline), audited)
        session.add(AuditStratumRow(audit_id=audit, stratum="density", value="a", exams=20, job_id=part, reason=None))
        compare_jobs(session, [first, second])
        replay = cancel_job(session, replay_job(session, RecordingQueue(), original).id).id
        waiting = queued_job(session).id
        recent = dissected_job(session, found, evidence=EVIDENCE)
        session.execute(
            text("UPDATE jobs SET finished_at = finished_at - interval '2 days' WHERE id <> :id"), {"id": recent}
        )
    assert forget_results(sessions, older_than=DAY) == 3
    with transaction(sessions) as session:
        left = set(session.scalars(select(JobRow.id)))
        assert left == {baseline, audited, part, first, second, waiting, recent}
        assert plain not in left
        assert replay not in left
        assert session.scalar(select(func.count()).select_from(NeuronRow)) == 2 * (len(left) - 1)
        assert session.get_one(JobRow, waiting).status == JobStatus.QUEUED


def _deploy(session: Session, baseline: UUID) -> DeploymentRow:
    parts = parts_of(session, baseline)
    row = DeploymentRow(
        name="east",
        target_id=parts.target.id,
        dissector_id=parts.dissector.id,
        probe_set_id=parts.probe_set.id,
        concept_set_id=parts.concept_set.id,
        options={},
        policy_id=resource(session, ResourceKind.POLICY, "policy").id,
        baseline_id=baseline,
    )
    session.add(row)
    session.flush()
    return row


def _audit(session: Session, deployment: DeploymentRow, job: UUID) -> UUID:
    row = AuditRow(
        deployment_id=deployment.id,
        trigger="request",
        target_id=deployment.target_id,
        candidate=False,
        policy_id=deployment.policy_id,
        policy={},
        baseline_id=deployment.baseline_id,
        job_id=job,
    )
    session.add(row)
    session.flush()
    return row.id
