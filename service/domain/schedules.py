"""Schedules: when a deployed model is audited again, which missed fires are made up for, and what overlap does."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from uuid import UUID

from service.domain.cron import check_zone, fires_after, fires_between, normal_cron
from service.errors import InvalidInput

ON_TIME = timedelta(minutes=1)
"""A fire that is looked at sooner than this after its time is on time; any later and it was missed."""

MOST_LISTED = 1_000
"""Of more fires than this that are due at once, the newest are decided one by one and the others only counted."""

MOST_CAUGHT_UP = 100
"""The most missed fires that catch-up `all` can be told to start."""

CAUGHT_UP = 10
"""What catch-up `all` starts at most where nothing is said."""


class CatchUp(StrEnum):
    """Which missed fires are made up for, once a scheduler runs again."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class Overlap(StrEnum):
    """What a fire does while an audit of the same schedule has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL_OLD = "cancel_old"


class FireOutcome(StrEnum):
    """What became of a fire. Only a queued one changes: it starts, or is missed."""

    STARTED = "started"
    SKIPPED = "skipped-overlap"
    QUEUED = "queued"
    MISSED = "missed"


class Step(StrEnum):
    """What overlap has a fire do."""

    START = "start"
    SKIP = "skip"
    WAIT = "wait"
    CANCEL_AND_START = "cancel and start"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a schedule can be changed in."""

    cron: str
    zone: str
    catch_up: CatchUp

    catch_up_max: int | None
    """The most missed fires that are made up for at once, the newest ones; None unless catch-up is `all`."""

    grace: timedelta | None
    """Missed fires that are later than this are not made up for; None: however late."""

    overlap: Overlap


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a deployment is audited, as the database knows it."""

    id: UUID
    name: str
    deployment_id: UUID
    deployment: str
    terms: Terms
    paused: bool

    looked_at: datetime
    """What becomes of the fires until this time is decided."""

    look_at: datetime | None
    """When to look next; None for never."""

    created_at: datetime


@dataclass(frozen=True, slots=True)
class Fire:
    """One time at which a schedule fired, and what became of it."""

    fire_time: datetime
    outcome: FireOutcome
    decided_at: datetime

    audit_id: UUID | None = None
    """The audit of a started fire."""

    reason: str | None = None
    """Why the fire did not start an audit, or not yet."""

    manual: bool = False
    """Whether somebody asked for it."""


def checked(terms: Terms) -> Terms:
    """The terms in their normal form. Raises InvalidInput for terms that cannot be kept."""
    check_zone(terms.zone)
    cron = normal_cron(terms.cron)

    most = terms.catch_up_max
    if most is None and terms.catch_up is CatchUp.ALL:
        most = CAUGHT_UP
    if most is not None and terms.catch_up is not CatchUp.ALL:
        raise InvalidInput(
            f"Catch-up `{terms.catch_up}` has no maximum.",
            field="catch_up_max",
            value=most,
            remedy="Leave it out, or choose catch-up `all`.",
        )
    if most is not None and not 1 <= most <= MOST_CAUGHT_UP:
        raise InvalidInput(
            f"catch_up_max must be from 1 to {MOST_CAUGHT_UP}, not {most}.",
            field="catch_up_max",
            value=most,
            remedy=f"Choose 1 to {MOST_CAUGHT_UP}.",
        )
    if terms.grace is not None and terms.grace < ON_TIME:
        raise InvalidInput(
            f"grace_s must be at least {ON_TIME.seconds}: a fire that is less late than that still counts as on time.",
            field="grace_s",
            value=int(terms.grace.total_seconds()),
            remedy=f"Choose {ON_TIME.seconds} seconds or more, or catch-up `none`.",
        )
    return replace(terms, cron=cron, catch_up_max=most)


def owed(schedule: Schedule, now: datetime) -> tuple[Sequence[datetime], int]:
    """The fires between the last look and now, at most the newest `MOST_LISTED`; and how many came before these."""
    terms = schedule.terms
    newest: deque[datetime] = deque(maxlen=MOST_LISTED)
    number = 0
    for fire in fires_between(terms.cron, terms.zone, schedule.looked_at, now):
        newest.append(fire)
        number += 1
    return tuple(newest), number - len(newest)


def upcoming(terms: Terms, after: datetime, number: int) -> tuple[datetime, ...]:
    """The next fires after that instant."""
    return tuple(islice(fires_after(terms.cron, terms.zone, after), number))


def next_look(terms: Terms, looked_at: datetime) -> datetime | None:
    """When there is something to decide again."""
    return next(iter(upcoming(terms, looked_at, 1)), None)


def held_up(schedule: Schedule, now: datetime) -> str | None:
    """Why a schedule does not fire though it should: the clock was ahead once and has been set back."""
    if schedule.paused or schedule.looked_at - now < ON_TIME:
        return None
    return (
        f"The fires until {schedule.looked_at.isoformat(timespec='seconds')} were decided while the clock was ahead. "
        "Pause and resume the schedule to start the fires that did not start."
    )


def settle(due: Sequence[datetime], now: datetime, terms: Terms) -> Mapping[datetime, str | None]:
    """For each due fire, in order, why it is not to start; None for those that are.

    What is on time always starts. Of what was missed, and is not too late by grace: nothing with catch-up `none`; the
    newest with `latest`, unless one is on time; the newest `catch_up_max` with `all`.
    """
    missed = [fire for fire in due if now - fire >= ON_TIME]
    in_grace = [fire for fire in missed if terms.grace is None or now - fire <= terms.grace]

    most = {
        CatchUp.NONE: 0,
        CatchUp.LATEST: 1 if len(missed) == len(due) else 0,
        CatchUp.ALL: terms.catch_up_max or 0,
    }[terms.catch_up]
    made_up_for = in_grace[len(in_grace) - min(most, len(in_grace)) :]

    reasons: dict[datetime, str | None] = dict.fromkeys(due)
    for fire in missed:
        if fire not in made_up_for:
            why = _not_caught_up(terms) if fire in in_grace else "its grace period has ended."
            reasons[fire] = f"Found {_words(now - fire)} late; {why}"
    return reasons


def on_overlap(overlap: Overlap, *, audits_open: bool, waiting: bool) -> Step:
    """What a fire does. audits_open: an audit of the schedule has not ended; waiting: another fire is queued."""
    if not audits_open:
        return Step.START
    if overlap is Overlap.CANCEL_OLD:
        return Step.CANCEL_AND_START
    if overlap is Overlap.QUEUE and not waiting:
        return Step.WAIT
    return Step.SKIP


def _not_caught_up(terms: Terms) -> str:
    return {
        CatchUp.NONE: "the schedule does not catch up.",
        CatchUp.LATEST: "the schedule catches up on the latest fire only.",
        CatchUp.ALL: f"the schedule catches up on the latest {terms.catch_up_max} only.",
    }[terms.catch_up]


def _words(lateness: timedelta) -> str:
    minutes = int(lateness.total_seconds()) // 60
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)

    figures = ((days, "d"), (hours, "h"), (minutes, "min"))
    words = [f"{number} {unit}" for number, unit in figures if number]
    return " ".join(words[:2]) or "0 min"
