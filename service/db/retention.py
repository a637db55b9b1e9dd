"""What may be forgotten, and what is kept as a record."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import any_, delete, func, select
from sqlalchemy.orm import Session, aliased

from service.db.ablation_tables import AblationRow
from service.db.ablations import OPEN
from service.db.audit_tables import AuditRow, AuditStratumRow, DeploymentRow
from service.db.tables import ComparisonRow, JobRow
from service.domain.jobs import ENDED


def delete_old_results(session: Session, *, older_than: timedelta, limit: int) -> list[UUID]:
    """Delete dissections that ended that long ago and that nothing on record refers to, with their neurons.

    Baselines, the dissections of audits, compared ones, those that a replay names, and those on which an ablation is
    under way stay.
    """
    replay = aliased(JobRow)
    referred = (
        select(DeploymentRow.id).where(DeploymentRow.baseline_id == JobRow.id),
        select(AuditRow.id).where((AuditRow.job_id == JobRow.id) | (AuditRow.baseline_id == JobRow.id)),
        select(AuditStratumRow.audit_id).where(AuditStratumRow.job_id == JobRow.id),
        select(ComparisonRow.id).where(JobRow.id == any_(ComparisonRow.job_ids)),
        select(replay.id).where(replay.replay_of == JobRow.id),
        select(AblationRow.id).where(AblationRow.job_id == JobRow.id, AblationRow.status.in_(list(OPEN))),
    )
    old_jobs = (
        select(JobRow.id)
        .where(
            JobRow.status.in_([str(status) for status in ENDED]),
            JobRow.finished_at < func.clock_timestamp() - older_than,
            *(~query.exists() for query in referred),
        )
        .order_by(JobRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=JobRow)
    )

    job_ids = list(session.scalars(old_jobs))
    if job_ids:
        session.execute(delete(JobRow).where(JobRow.id.in_(job_ids)))
    return job_ids
