"""The JSON of schedules and their fires."""

from datetime import datetime, timedelta
from typing import Annotated, Self, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.pagination import PageOut
from api.schemas.base import Body, Name
from service.domain.cron import LONGEST
from service.domain.json_values import StoredJson
from service.domain.schedules import MOST_CAUGHT_UP, CatchUp, Fire, FireOutcome, Overlap, Schedule, Terms, held_up
from service.usecases.schedules import Changes, upcoming_fires

Cron = Annotated[
    str,
    Field(
        max_length=LONGEST,
        description="Minute, hour, day of the month, month, day of the week.",
        examples=["30 2 * * MON"],
    ),
]
Zone = Annotated[str, Field(max_length=64, description="IANA time zone.", examples=["Europe/Berlin"])]
CatchUpMax = Annotated[
    int | None,
    Field(
        ge=1,
        le=MOST_CAUGHT_UP,
        description="With catch-up `all`: the most missed fires to start at once; the newest are taken.",
    ),
]
Grace = Annotated[
    int | None,
    Field(
        ge=60,
        le=366 * 86_400,
        description="Seconds after which the schedule does not make up for a missed fire; null: no limit.",
    ),
]


class ScheduleIn(Body):
    """A schedule to create."""

    name: Name = Field(examples=["screening-weekly"])
    deployment: str = Field(max_length=80, description="Name of the deployment to audit.", examples=["screening"])
    cron: Cron
    zone: Zone = "UTC"
    catch_up: CatchUp = Field(default=CatchUp.LATEST, description="Which missed fires the schedule makes up for.")
    catch_up_max: CatchUpMax = None
    grace_s: Grace = None
    overlap: Overlap = Field(
        default=Overlap.SKIP, description="What happens to a fire while an audit of the schedule is still running."
    )

    def terms(self) -> Terms:
        """The terms in the domain's words."""
        return Terms(self.cron, self.zone, self.catch_up, self.catch_up_max, _grace(self.grace_s), self.overlap)


class ScheduleChangesIn(Body):
    """The changes. Fields that you leave out stay as they are."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"cron": "0 6 * * *", "catch_up": "none"}]}
    )

    cron: Cron | None = None
    zone: Zone | None = None
    catch_up: CatchUp | None = None
    catch_up_max: CatchUpMax = None
    grace_s: Grace = None
    overlap: Overlap | None = None

    @field_validator("cron", "zone", "catch_up", "overlap", mode="before")
    @classmethod
    def _has_a_value(cls, value: object) -> object:
        if value is None:
            raise ValueError("cannot be null; leave it out to keep it as it is")
        return value

    def changes(self) -> Changes:
        """The changes in the domain's words."""
        changes: StoredJson = {name: getattr(self, name) for name in self.model_fields_set - {"grace_s"}}
        if "grace_s" in self.model_fields_set:
            changes["grace"] = _grace(self.grace_s)
        return cast("Changes", changes)


class ScheduleOut(BaseModel):
    """A schedule. `notice` says why it does not fire although it should."""

    id: UUID
    name: str
    deployment: str
    cron: str
    zone: str
    catch_up: CatchUp
    catch_up_max: int | None
    grace_s: int | None
    overlap: Overlap
    paused: bool
    next_fire_at: datetime | None
    looked_at: datetime = Field(description="The service has decided about all fires up to this time.")
    notice: str | None
    created_at: datetime

    @classmethod
    def of(cls, schedule: Schedule, now: datetime) -> Self:
        """The schedule on the wire."""
        terms = schedule.terms
        return cls(
            id=schedule.id,
            name=schedule.name,
            deployment=schedule.deployment,
            cron=terms.cron,
            zone=terms.zone,
            catch_up=terms.catch_up,
            catch_up_max=terms.catch_up_max,
            grace_s=None if terms.grace is None else int(terms.grace.total_seconds()),
            overlap=terms.overlap,
            paused=schedule.paused,
            next_fire_at=next(iter(upcoming_fires(schedule, 1)), None),
            looked_at=schedule.looked_at,
            notice=held_up(schedule, now),
            created_at=schedule.created_at,
        )


class FireOut(BaseModel):
    """A fire's outcome, and why it did not start or is still waiting. `manual`: a person requested it."""

    model_config = ConfigDict(from_attributes=True)

    fire_time: datetime
    outcome: FireOutcome
    audit_id: UUID | None
    reason: str | None
    manual: bool
    decided_at: datetime

    @classmethod
    def of(cls, fire: Fire) -> Self:
        """The fire on the wire."""
        return cls.model_validate(fire)


class UpcomingOut(BaseModel):
    """A future fire, and its local time in the schedule's zone."""

    fire_time: datetime
    local_time: str

    @classmethod
    def of(cls, fire_time: datetime, zone: str) -> Self:
        """The fire on the wire."""
        return cls(fire_time=fire_time, local_time=fire_time.astimezone(ZoneInfo(zone)).isoformat())


class RunsOut(PageOut[FireOut]):
    """A page of past fires, newest first, and the future fires, soonest first."""

    upcoming: list[UpcomingOut]


def _grace(seconds: int | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
