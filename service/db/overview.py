"""Queries on the service as a whole: how much of everything there is."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from service.db.audit_tables import AuditRow, DeploymentRow
from service.db.tables import JobRow, ResourceRow
from service.domain.audits import AuditStatus
from service.domain.jobs import JobStatus
from service.domain.overview import LastVerdict
from service.domain.resources import ResourceKind


def count_names(session: Session) -> dict[ResourceKind, int]:
    """How many names are registered of each kind."""
    query = select(ResourceRow.kind, func.count(ResourceRow.name.distinct())).group_by(ResourceRow.kind)
    return {ResourceKind(kind): count for kind, count in session.execute(query)}


def count_jobs(session: Session) -> dict[JobStatus, int]:
    """How many jobs have which status."""
    query = select(JobRow.status, func.count()).group_by(JobRow.status)
    return {JobStatus(status): count for status, count in session.execute(query)}


def count_deployments(session: Session) -> int:
    """How many deployments there are."""
    return session.execute(select(func.count()).select_from(DeploymentRow)).scalar_one()


def last_verdicts(session: Session, deployment_ids: Collection[UUID]) -> dict[UUID, LastVerdict]:
    """The last verdict of each of these deployments; none of one that was never judged."""
    query = (
        select(AuditRow.deployment_id, AuditRow.id, AuditRow.verdict, AuditRow.finished_at)
        .ext(distinct_on(AuditRow.deployment_id))
        .where(AuditRow.deployment_id.in_(deployment_ids), AuditRow.status == AuditStatus.JUDGED)
        .order_by(AuditRow.deployment_id, AuditRow.id.desc())
    )
    verdicts = {}
    for deployment, audit, verdict, at in session.execute(query):
        assert verdict is not None  # noqa: S101 - a judged audit has both
        assert at is not None  # noqa: S101
        verdicts[deployment] = LastVerdict(audit, verdict, at)
    return verdicts
