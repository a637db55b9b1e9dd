"""Queries on all deployments at once, a page of them at a time: where each stands."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import and_, func, or_, select, true
from sqlalchemy.orm import Session

from service.db.audit_tables import AuditRow, DeploymentRow
from service.db.schedule_tables import ScheduleRow
from service.domain.audits import AuditStatus

MOST_COUNTED = 100
"""Audits of a deployment are counted up to here."""

_NEEDS_EYES = or_(AuditRow.verdict.in_(("warn", "fail")), AuditRow.status == AuditStatus.ERROR)
"""An audit that somebody should acknowledge."""


class EndedAudit(NamedTuple):
    """An audit that has ended with a verdict, or because it could not be carried out."""

    id: UUID
    status: AuditStatus
    verdict: str | None
    finished_at: datetime | None
    acknowledged: bool


def last_ended_audits(session: Session, deployment_ids: Collection[UUID]) -> dict[UUID, EndedAudit]:
    """Of each deployment the newest audit of the version in use that was judged or could not be carried out."""
    newest = (
        select(
            AuditRow.id.label("audit_id"),
            AuditRow.status,
            AuditRow.verdict,
            AuditRow.finished_at,
            AuditRow.acknowledgement.is_not(None).label("acknowledged"),
        )
        .where(
            AuditRow.deployment_id == DeploymentRow.id,
            AuditRow.target_id == DeploymentRow.target_id,
            AuditRow.status.in_((AuditStatus.JUDGED, AuditStatus.ERROR)),
        )
        .order_by(AuditRow.id.desc())
        .limit(1)
        .lateral()
    )
    query = select(DeploymentRow.id, *newest.c).join(newest, true()).where(DeploymentRow.id.in_(deployment_ids))
    return {
        row.id: EndedAudit(row.audit_id, AuditStatus(row.status), row.verdict, row.finished_at, row.acknowledged)
        for row in session.execute(query)
    }


def count_unacknowledged(session: Session, deployment_ids: Collection[UUID]) -> dict[UUID, int]:
    """Of each deployment how many audits warn, fail or could not be carried out, and nobody has acknowledged.

    Counted up to MOST_COUNTED.
    """
    waiting = (
        select(AuditRow.id)
        .where(AuditRow.deployment_id == DeploymentRow.id, and_(_NEEDS_EYES, AuditRow.acknowledgement.is_(None)))
        .order_by(AuditRow.id.desc())
        .limit(MOST_COUNTED)
        .lateral()
    )
    query = (
        select(DeploymentRow.id, func.count().label("number"))
        .join(waiting, true())
        .where(DeploymentRow.id.in_(deployment_ids))
        .group_by(DeploymentRow.id)
    )
    return {row.id: row.number for row in session.execute(query)}


def running_audits(session: Session, deployment_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Of each deployment with a running audit the newest of them."""
    query = (
        select(AuditRow.deployment_id, AuditRow.id)
        .where(AuditRow.status == AuditStatus.RUNNING, AuditRow.deployment_id.in_(deployment_ids))
        .order_by(AuditRow.id)
    )
    return {row.deployment_id: row.id for row in session.execute(query)}


def next_fires(session: Session, deployment_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """Of each deployment with a schedule that is not paused, when the first of them fires next."""
    query = (
        select(ScheduleRow.deployment_id, func.min(ScheduleRow.next_fire_at).label("fire_time"))
        .where(ScheduleRow.deployment_id.in_(deployment_ids), ScheduleRow.next_fire_at.is_not(None))
        .group_by(ScheduleRow.deployment_id)
    )
    return {row.deployment_id: row.fire_time for row in session.execute(query)}
