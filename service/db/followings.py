"""Queries on what follows from the versions of a model registry."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from service.db.audit_tables import AuditRow, RegistryFollowingRow
from service.db.tables import InspectionRow, ResourceRow, WorkItemRow
from service.domain.audits import AuditStatus
from service.domain.work import ItemStatus

_NOW = func.clock_timestamp()

_WAITS = RegistryFollowingRow.status == "waiting"

_OPENED = and_(
    or_(
        exists().where(InspectionRow.model_id == RegistryFollowingRow.target_id),
        exists().where(ResourceRow.id == RegistryFollowingRow.target_id, ResourceRow.spec.has_key("same_as")),
    ),
    ~exists().where(
        WorkItemRow.resource_id == RegistryFollowingRow.target_id,
        WorkItemRow.status.in_([ItemStatus.READY, ItemStatus.LEASED]),
    ),
)
"""Was the target opened, or is it another version? What an earlier attempt met says nothing while it is tried again."""


@dataclass(frozen=True, slots=True)
class Following:
    """What follows from a version for a deployment; see `RegistryFollowingRow`."""

    id: UUID
    name: str
    version: str
    alias: str | None
    deployment_id: UUID
    target_id: UUID | None
    audit_id: UUID | None
    attempts: int


def add_following(
    session: Session,
    name: str,
    version: str,
    deployment_id: UUID,
    *,
    alias: str | None = None,
    target_id: UUID | None = None,
    audit_id: UUID | None = None,
) -> None:
    """Note what follows: with an audit, or with a target whose source is still to be fetched."""
    status = "waiting" if audit_id is None else "audited"
    values = {"name": name, "version": version, "alias": alias, "deployment_id": deployment_id}
    more = {"target_id": target_id, "audit_id": audit_id, "status": status}
    session.execute(insert(RegistryFollowingRow).values(**values, **more))


def followings_with_target(session: Session) -> list[UUID]:
    """Those that wait, and whose target was opened meanwhile, or could not be; the oldest first."""
    query = select(RegistryFollowingRow.id).where(_WAITS, _OPENED)
    return list(session.scalars(query.order_by(RegistryFollowingRow.id)))


def take_waiting(session: Session, following_id: UUID) -> Following | None:
    """That one, which nobody else takes until this transaction ends; None where another has it, or had.

    None also where its target is being fetched or opened again.
    """
    query = select(RegistryFollowingRow).where(RegistryFollowingRow.id == following_id, _WAITS, _OPENED)
    row = session.scalar(
        query.with_for_update(skip_locked=True, key_share=True).execution_options(populate_existing=True)
    )
    return None if row is None else _following(row)


def end_waiting(session: Session, following_id: UUID, audit_id: UUID | None) -> None:
    """Note the audit that has begun; None where nothing follows any more."""
    status = "dropped" if audit_id is None else "audited"
    statement = update(RegistryFollowingRow).where(RegistryFollowingRow.id == following_id)
    session.execute(statement.values(status=status, audit_id=audit_id, next_at=_NOW))


def untold_followings(session: Session, *, younger_than: timedelta, limit: int) -> list[Following]:
    """Those whose audit has ended, and of which the registry is to be told now."""
    query = (
        select(RegistryFollowingRow)
        .join(AuditRow, AuditRow.id == RegistryFollowingRow.audit_id)
        .where(
            RegistryFollowingRow.status == "audited",
            RegistryFollowingRow.next_at <= _NOW,
            AuditRow.status != AuditStatus.RUNNING,
            AuditRow.finished_at > _NOW - younger_than,
        )
        .order_by(RegistryFollowingRow.next_at)
        .limit(limit)
    )
    return [_following(row) for row in session.scalars(query)]


def settle_telling(session: Session, following_id: UUID, *, told: bool) -> None:
    """The registry knows, or will not take it."""
    statement = update(RegistryFollowingRow).where(RegistryFollowingRow.id == following_id)
    session.execute(statement.values(status="told" if told else "dropped"))


def postpone_telling(session: Session, following_id: UUID, wait: timedelta) -> None:
    """Tell the registry later."""
    statement = update(RegistryFollowingRow).where(RegistryFollowingRow.id == following_id)
    session.execute(statement.values(attempts=RegistryFollowingRow.attempts + 1, next_at=_NOW + wait))


def audits_of_version(session: Session, name: str, version: str) -> list[UUID]:
    """The newest audit that has ended of each deployment that followed the version."""
    query = (
        select(RegistryFollowingRow.audit_id)
        .join(AuditRow, AuditRow.id == RegistryFollowingRow.audit_id)
        .where(
            RegistryFollowingRow.name == name,
            RegistryFollowingRow.version == version,
            AuditRow.status != AuditStatus.RUNNING,
        )
        .ext(distinct_on(RegistryFollowingRow.deployment_id))
        .order_by(RegistryFollowingRow.deployment_id, AuditRow.id.desc())
    )
    return [audit_id for audit_id in session.scalars(query) if audit_id is not None]


def _following(row: RegistryFollowingRow) -> Following:
    return Following(
        id=row.id,
        name=row.name,
        version=row.version,
        alias=row.alias,
        deployment_id=row.deployment_id,
        target_id=row.target_id,
        audit_id=row.audit_id,
        attempts=row.attempts,
    )
