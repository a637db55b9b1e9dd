"""Tables of schedules and their fires. That no fire happens twice is the primary key of `fires`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.domain.schedules import MOST_CAUGHT_UP, CatchUp, FireOutcome, Overlap


def _one_of(column: str, values: type[CatchUp] | type[FireOutcome] | type[Overlap]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class ScheduleRow(Base):
    """When a deployment is audited. next_fire_at: when to look next; None while paused, or where nothing will fire."""

    __tablename__ = "schedules"
    __table_args__ = (
        _one_of("catch_up", CatchUp),
        _one_of("overlap", Overlap),
        CheckConstraint("(catch_up = 'all') = (catch_up_max IS NOT NULL)", name="catch_up_all"),
        CheckConstraint(f"catch_up_max BETWEEN 1 AND {MOST_CAUGHT_UP}", name="catch_up_max"),
        CheckConstraint("grace_s > 0", name="grace_s"),
        CheckConstraint("NOT paused OR next_fire_at IS NULL", name="paused"),
        Index(None, "next_fire_at"),
        Index(None, "deployment_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    name: Mapped[str] = mapped_column(unique=True)
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id"))
    cron: Mapped[str]
    zone: Mapped[str]
    catch_up: Mapped[str]
    catch_up_max: Mapped[int | None]
    grace_s: Mapped[int | None]
    overlap: Mapped[str]
    paused: Mapped[bool] = mapped_column(server_default=text("false"))
    looked_at: Mapped[datetime]
    next_fire_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class FireRow(Base):
    """What became of a fire; at most one of a schedule waits for the end of an audit."""

    __tablename__ = "fires"
    __table_args__ = (
        _one_of("outcome", FireOutcome),
        CheckConstraint("(outcome = 'started') = (audit_id IS NOT NULL)", name="audit_id"),
        CheckConstraint("outcome = 'started' OR reason IS NOT NULL", name="reason"),
        Index("ix_fires_waiting", "schedule_id", unique=True, postgresql_where=text("outcome = 'queued'")),
    )

    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True)
    fire_time: Mapped[datetime] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    decided_at: Mapped[datetime]
    audit_id: Mapped[UUID | None]
    reason: Mapped[str | None]
    manual: Mapped[bool] = mapped_column(server_default=text("false"))
