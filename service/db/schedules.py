"""Queries on schedules and their fires. Whoever decides on fires, or changes a schedule, holds the schedule's row."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.audit_tables import DeploymentRow
from service.db.columns import ColumnValues
from service.db.paging import cut_page, newest_first
from service.db.schedule_tables import FireRow, ScheduleRow
from service.domain.pages import Page, Position
from service.domain.schedules import CatchUp, Fire, FireOutcome, Overlap, Schedule, Terms

_WAITING = (
    select(FireRow.schedule_id)
    .where(FireRow.schedule_id == ScheduleRow.id, FireRow.outcome == FireOutcome.QUEUED)
    .exists()
)


def add_schedule(
    session: Session,
    name: str,
    deployment_id: UUID,
    terms: Terms,
    *,
    looked_at: datetime,
    next_fire_at: datetime | None,
) -> bool:
    """Store a new schedule; False where there is one of that name."""
    values = _columns(terms) | {"looked_at": looked_at, "next_fire_at": next_fire_at}
    statement = insert(ScheduleRow).values(name=name, deployment_id=deployment_id, **values)
    added = statement.on_conflict_do_nothing(index_elements=[ScheduleRow.name]).returning(ScheduleRow.id)
    return session.scalar(added) is not None


def find_schedule(session: Session, name: str, *, hold: bool = False) -> Schedule | None:
    """The schedule of that name; hold: and its row, until the transaction ends."""
    query = _SCHEDULES.where(ScheduleRow.name == name)
    row = session.execute(query.with_for_update(of=ScheduleRow) if hold else query).first()
    return None if row is None else _schedule(row)


def schedule_names(session: Session) -> list[str]:
    """The name of every schedule, for near matches in errors."""
    return list(session.scalars(select(ScheduleRow.name)))


def list_schedules(session: Session, *, deployment: str | None, limit: int, after: Position | None) -> Page[Schedule]:
    """Schedules, newest first."""
    query = newest_first(_SCHEDULES, ScheduleRow.id, limit=limit, after=after)
    if deployment is not None:
        query = query.where(DeploymentRow.name == deployment)

    rows, next_position = cut_page(session.execute(query).all(), limit, lambda row: row.id)
    return Page(tuple(_schedule(row) for row in rows), next_position)


def due_schedules(session: Session, now: datetime) -> list[UUID]:
    """Schedules with something to decide: a fire that is due, or one that waits. The longest due first."""
    query = select(ScheduleRow.id).where(_due(now)).order_by(ScheduleRow.next_fire_at, ScheduleRow.id)
    return list(session.scalars(query))


def find_due_schedule(session: Session, schedule_id: UUID, now: datetime) -> Schedule | None:
    """The schedule; None where nothing is left to decide."""
    row = session.execute(_SCHEDULES.where(ScheduleRow.id == schedule_id, _due(now))).first()
    return None if row is None else _schedule(row)


def take_due_schedule(session: Session, schedule_id: UUID, now: datetime) -> Schedule | None:
    """Hold the schedule; None where somebody else holds it, or nothing is left to decide."""
    query = _SCHEDULES.where(ScheduleRow.id == schedule_id, _due(now))
    row = session.execute(query.with_for_update(of=ScheduleRow, skip_locked=True)).first()
    return None if row is None else _schedule(row)


def move_cursor(session: Session, schedule_id: UUID, looked_at: datetime, next_fire_at: datetime | None) -> None:
    """All fires until `looked_at` are decided."""
    _write(session, schedule_id, looked_at=looked_at, next_fire_at=next_fire_at)


def set_paused(
    session: Session, schedule_id: UUID, *, paused: bool, looked_at: datetime, next_fire_at: datetime | None
) -> None:
    """Pause or resume it."""
    _write(session, schedule_id, paused=paused, looked_at=looked_at, next_fire_at=next_fire_at)


def set_terms(
    session: Session, schedule_id: UUID, terms: Terms, *, looked_at: datetime, next_fire_at: datetime | None
) -> None:
    """Change what it can be changed in."""
    _write(session, schedule_id, **_columns(terms), looked_at=looked_at, next_fire_at=next_fire_at)


def look_again(session: Session) -> None:
    """Have every schedule looked at, whatever was worked out before about when it fires next."""
    rows = select(ScheduleRow.id).where(~ScheduleRow.paused).with_for_update(skip_locked=True)
    session.execute(
        update(ScheduleRow)
        .where(ScheduleRow.id.in_(rows.scalar_subquery()))
        .values(next_fire_at=ScheduleRow.looked_at)
        .execution_options(synchronize_session=False)
    )


def delete_schedule(session: Session, schedule_id: UUID) -> None:
    """Remove it with its fires."""
    session.execute(delete(ScheduleRow).where(ScheduleRow.id == schedule_id))


def recorded_fires(session: Session, schedule_id: UUID, since: datetime) -> frozenset[datetime]:
    """The times of the fires later than that which are decided already."""
    query = select(FireRow.fire_time).where(FireRow.schedule_id == schedule_id, FireRow.fire_time > since)
    return frozenset(time.astimezone(UTC) for time in session.scalars(query))


def add_fires(session: Session, schedule_id: UUID, fires: Sequence[Fire]) -> None:
    """Record what became of fires. Raises IntegrityError, and stores nothing, where one of them is recorded already."""
    if fires:
        session.execute(insert(FireRow), [{"schedule_id": schedule_id, **_fire_columns(fire)} for fire in fires])


def find_waiting_fire(session: Session, schedule_id: UUID) -> Fire | None:
    """The fire that waits until an audit ends."""
    query = _FIRES.where(FireRow.schedule_id == schedule_id, FireRow.outcome == FireOutcome.QUEUED)
    row = session.execute(query).first()
    return None if row is None else _fire(row)


def settle_waiting_fire(session: Session, schedule_id: UUID, fire: Fire) -> None:
    """Record what became of a fire that has waited."""
    waiting = (
        FireRow.schedule_id == schedule_id,
        FireRow.fire_time == fire.fire_time,
        FireRow.outcome == FireOutcome.QUEUED,
    )
    session.execute(update(FireRow).where(*waiting).values(_fire_columns(fire)))


def forget_missed_fires(session: Session, schedule_id: UUID, *, after: datetime) -> None:
    """Forget that fires later than that were missed: the clock was ahead when it was found."""
    missed = (FireRow.schedule_id == schedule_id, FireRow.outcome == FireOutcome.MISSED, FireRow.fire_time > after)
    session.execute(delete(FireRow).where(*missed))


def list_fires(session: Session, schedule_id: UUID, *, limit: int, after: Position | None) -> Page[Fire]:
    """Fires of a schedule, newest first."""
    query = _FIRES.where(FireRow.schedule_id == schedule_id)
    if after is not None:
        query = query.where(FireRow.fire_time < datetime.fromisoformat(str(after[0])))

    rows = session.execute(query.order_by(FireRow.fire_time.desc()).limit(limit + 1)).all()
    fires = tuple(_fire(row) for row in rows[:limit])
    next_position = (fires[-1].fire_time.isoformat(),) if len(rows) > limit else None
    return Page(fires, next_position)


_SCHEDULES: Select[Any] = select(*ScheduleRow.__table__.columns, DeploymentRow.name.label("deployment")).join(
    DeploymentRow, DeploymentRow.id == ScheduleRow.deployment_id
)
_FIRES = select(
    FireRow.fire_time, FireRow.outcome, FireRow.decided_at, FireRow.audit_id, FireRow.reason, FireRow.manual
)


def _due(now: datetime) -> ColumnElement[bool]:
    return or_(ScheduleRow.next_fire_at <= now, _WAITING)


def _write(session: Session, schedule_id: UUID, **values: object) -> None:
    session.execute(update(ScheduleRow).where(ScheduleRow.id == schedule_id).values(values))


def _columns(terms: Terms) -> ColumnValues:
    return {
        "cron": terms.cron,
        "zone": terms.zone,
        "catch_up": terms.catch_up,
        "catch_up_max": terms.catch_up_max,
        "grace_s": None if terms.grace is None else int(terms.grace.total_seconds()),
        "overlap": terms.overlap,
    }


def _schedule(row: Row[Any]) -> Schedule:
    terms = Terms(
        cron=row.cron,
        zone=row.zone,
        catch_up=CatchUp(row.catch_up),
        catch_up_max=row.catch_up_max,
        grace=None if row.grace_s is None else timedelta(seconds=row.grace_s),
        overlap=Overlap(row.overlap),
    )
    return Schedule(
        id=row.id,
        name=row.name,
        deployment_id=row.deployment_id,
        deployment=row.deployment,
        terms=terms,
        paused=row.paused,
        looked_at=row.looked_at.astimezone(UTC),
        look_at=row.next_fire_at,
        created_at=row.created_at,
    )


def _fire_columns(fire: Fire) -> ColumnValues:
    return {
        "fire_time": fire.fire_time,
        "outcome": fire.outcome,
        "decided_at": fire.decided_at,
        "audit_id": fire.audit_id,
        "reason": fire.reason,
        "manual": fire.manual,
    }


def _fire(row: Any) -> Fire:
    return Fire(
        fire_time=row.fire_time.astimezone(UTC),
        outcome=FireOutcome(row.outcome),
        decided_at=row.decided_at,
        audit_id=row.audit_id,
        reason=row.reason,
        manual=row.manual,
    )
