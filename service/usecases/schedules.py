"""Create, read, change, pause, run and delete schedules; list what became of their fires."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TypedDict

from sqlalchemy.orm import Session

from service.db import schedules as queries
from service.db.session import database_clock
from service.domain import schedules as domain
from service.domain.pages import Page, Position
from service.domain.resources import check_name
from service.domain.schedules import CatchUp, Fire, FireOutcome, Overlap, Schedule, Terms, checked, next_look
from service.errors import Conflict, NotFound
from service.ports import Audits
from service.usecases.deployments import find_deployment
from service.usecases.fires import fire_manually, forgo_owed

MOST_UPCOMING = 100
"""Next fires that can be asked for at once."""


class Changes(TypedDict, total=False):
    """Terms that are to change."""

    cron: str
    zone: str
    catch_up: CatchUp
    catch_up_max: int | None
    grace: timedelta | None
    overlap: Overlap


def create_schedule(
    session: Session, *, name: str, deployment: str, terms: Terms, now: datetime | None = None
) -> Schedule:
    """Make a schedule. It owes nothing of the time before it.

    now: None for the database's clock, here and in every other function.
    Raises InvalidInput, NotFound for an unknown deployment, Conflict where there is a schedule of that name.
    """
    check_name(name)
    terms = checked(terms)
    deployment_id = find_deployment(session, deployment).id

    now = now or database_clock(session)
    added = queries.add_schedule(session, name, deployment_id, terms, looked_at=now, next_fire_at=next_look(terms, now))
    if not added:
        raise Conflict(
            f"A schedule named '{name}' already exists.",
            field="name",
            value=name,
            remedy="Choose another name, or change that one with PATCH.",
        )
    return find_schedule(session, name)


def find_schedule(session: Session, name: str) -> Schedule:
    """The schedule of that name. Raises NotFound."""
    return _found(session, name, queries.find_schedule(session, name))


def list_schedules(
    session: Session, *, deployment: str | None = None, limit: int, after: Position | None
) -> Page[Schedule]:
    """Schedules, of one deployment or all, newest first."""
    return queries.list_schedules(session, deployment=deployment, limit=limit, after=after)


def change_schedule(session: Session, name: str, changes: Changes, now: datetime | None = None) -> Schedule:
    """Change its terms. With another cron expression or zone it owes nothing of the time before.

    Raises InvalidInput, NotFound.
    """
    schedule = _held(session, name)
    terms = checked(_changed(schedule.terms, changes))

    looked_at = schedule.looked_at
    if (terms.cron, terms.zone) != (schedule.terms.cron, schedule.terms.zone):
        now = now or database_clock(session)
        forgo_owed(session, schedule, now, "The schedule was changed before this fire was processed.")
        looked_at = max(looked_at, now)

    look_at = None if schedule.paused else next_look(terms, looked_at)
    queries.set_terms(session, schedule.id, terms, looked_at=looked_at, next_fire_at=look_at)
    return find_schedule(session, name)


def pause_schedule(session: Session, name: str, now: datetime | None = None) -> Schedule:
    """Stop it from firing; what is due or waits is missed. Raises NotFound."""
    schedule = _held(session, name)
    if schedule.paused:
        return schedule

    now = now or database_clock(session)
    forgo_owed(session, schedule, now, "The schedule was paused before this fire was processed.")
    waiting = queries.find_waiting_fire(session, schedule.id)
    if waiting is not None:
        missed = replace(
            waiting, outcome=FireOutcome.MISSED, decided_at=now, reason="The schedule was paused meanwhile."
        )
        queries.settle_waiting_fire(session, schedule.id, missed)

    looked_at = max(schedule.looked_at, now)
    queries.set_paused(session, schedule.id, paused=True, looked_at=looked_at, next_fire_at=None)
    return find_schedule(session, name)


def resume_schedule(session: Session, name: str, now: datetime | None = None) -> Schedule:
    """Let it fire again. It owes nothing of its pause, and forgets what a clock that was ahead had it miss.

    Raises NotFound.
    """
    schedule = _held(session, name)
    if not schedule.paused:
        return schedule

    now = now or database_clock(session)
    queries.forget_missed_fires(session, schedule.id, after=now)
    look_at = next_look(schedule.terms, now)
    queries.set_paused(session, schedule.id, paused=False, looked_at=now, next_fire_at=look_at)
    return find_schedule(session, name)


def run_schedule(session: Session, audits: Audits, name: str, now: datetime | None = None) -> Fire:
    """Fire it now, paused or not. Its times stay as they are.

    Raises NotFound, Conflict where an audit is open and overlap forbids another, and whatever keeps the audit from
    being started.
    """
    schedule = _held(session, name)
    return fire_manually(session, audits, schedule, now or database_clock(session))


def delete_schedule(session: Session, name: str) -> None:
    """Remove it and the record of its fires; its audits stay. Raises NotFound."""
    queries.delete_schedule(session, _held(session, name).id)


def list_fires(session: Session, schedule: Schedule, *, limit: int, after: Position | None) -> Page[Fire]:
    """What became of its fires, newest first."""
    return queries.list_fires(session, schedule.id, limit=limit, after=after)


def upcoming_fires(schedule: Schedule, number: int) -> Sequence[datetime]:
    """When it fires next, in UTC; nothing while it is paused."""
    return () if schedule.paused else domain.upcoming(schedule.terms, schedule.looked_at, number)


def _held(session: Session, name: str) -> Schedule:
    return _found(session, name, queries.find_schedule(session, name, hold=True))


def _found(session: Session, name: str, schedule: Schedule | None) -> Schedule:
    if schedule is None:
        near = get_close_matches(name, queries.schedule_names(session), n=3, cutoff=0.4)
        raise NotFound(
            f"There is no schedule '{name[:80]}'.",
            field="schedule",
            value=name,
            remedy=f"Near matches: {', '.join(near)}." if near else "List them with GET /schedules.",
        )
    return schedule


def _changed(terms: Terms, changes: Changes) -> Terms:
    """The terms with the changes; another catch-up than `all` drops the maximum that was."""
    changed = replace(terms, **changes)
    if changes.get("catch_up", CatchUp.ALL) is not CatchUp.ALL and "catch_up_max" not in changes:
        return replace(changed, catch_up_max=None)
    return changed
