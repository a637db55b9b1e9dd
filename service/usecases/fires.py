"""Decide what becomes of the fires of schedules. Any number of schedulers may do so at once.

One schedule is one transaction: its row is held, its fires are recorded, audits begin, and the cursor moves, or nothing
of it happens.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from service.db import schedules as queries
from service.db.session import Sessions, transaction
from service.domain.alerts import JSON
from service.domain.schedules import Fire, Outcome, Schedule, Step, next_look, on_overlap, owed, settle
from service.domain.trail import SCHEDULER
from service.errors import Conflict, DissectError, NotMeasured, Unavailable
from service.ports import Audits
from service.usecases.alerts import publish_alert
from service.usecases.audit_alerts import is_silenced
from service.usecases.deployments import find_deployment
from service.usecases.trail import record

log = structlog.get_logger()


def fire_due(sessions: Sessions, audits: Audits, now: datetime | None = None) -> int:
    """Decide on every fire that is due, and begin the audits. Returns how many began.

    now: None for the database's clock. A schedule whose turn fails on something unforeseen is logged and tried again
    next time, and so is one whose probe set is still to be measured; the others go on. Raises Unavailable, once all had
    their turn, where the database could not be reached.
    """
    with transaction(sessions) as session:
        now = now or queries.database_clock(session)
        due = queries.due_schedules(session, now)
    began = 0
    unavailable: Unavailable | None = None
    for schedule_id in due:
        try:
            with transaction(sessions) as session:
                # What is on time now stays so, however long the schedules before it take.
                fires = _decide(session, audits, schedule_id, now)
        except Unavailable as error:
            unavailable = error
            continue
        except NotMeasured as error:
            log.info("a schedule waits", schedule=str(schedule_id), reason=error.detail)
            continue
        except Exception:
            log.exception("a schedule cannot be looked at", schedule=str(schedule_id))
            continue
        began += sum(fire.outcome is Outcome.STARTED for fire in fires)
    if unavailable is not None:
        raise unavailable
    return began


def look_again(sessions: Sessions) -> None:
    """Have `fire_due` look at every schedule: a scheduler that starts may know other time zone rules.

    Raises Unavailable where the database cannot be reached.
    """
    with transaction(sessions) as session:
        queries.look_again(session)


def fire_manually(session: Session, audits: Audits, schedule: Schedule, now: datetime) -> Fire:
    """Fire a held schedule outside its times. Raises Conflict where overlap forbids it, and whatever `start` raises."""
    open_audits = audits.open_of(session, schedule.id)
    waiting = queries.find_waiting_fire(session, schedule.id) is not None
    step = on_overlap(schedule.terms.overlap, audits_open=bool(open_audits), waiting=waiting)
    if step is Step.SKIP:
        raise Conflict(
            _why_skipped(open_audits, waiting=waiting),
            field="name",
            value=schedule.name,
            remedy="Wait until the audit has ended, cancel it, or change the schedule's overlap.",
        )
    if step is Step.WAIT:
        fire = Fire(now, Outcome.QUEUED, now, reason=_why_queued(open_audits), manual=True)
    else:
        audit_id = _start(session, audits, schedule, now, open_audits)
        fire = Fire(now, Outcome.STARTED, now, audit_id=audit_id, manual=True)
    queries.add_fires(session, schedule.id, [fire])
    return fire


def forgo_owed(session: Session, schedule: Schedule, now: datetime, reason: str) -> None:
    """Record as missed what a held schedule owes and has not decided."""
    if schedule.paused:
        return
    due, earlier = owed(schedule, now)
    recorded = queries.recorded_fires(session, schedule.id, schedule.looked_at)
    fires = [Fire(time, Outcome.MISSED, now, reason=reason) for time in due if time not in recorded]
    queries.add_fires(session, schedule.id, _counting(fires, earlier))


def _decide(session: Session, audits: Audits, schedule_id: UUID, now: datetime) -> Sequence[Fire]:
    schedule = queries.take_due_schedule(session, schedule_id, now)
    if schedule is None:
        return ()
    fires = _start_waiting(session, audits, schedule, now)
    if schedule.look_at is not None and schedule.look_at <= now:
        fires += _decide_due(session, audits, schedule, now)
    _tell_of_missed(session, schedule, fires, now)
    return fires


def _decide_due(session: Session, audits: Audits, schedule: Schedule, now: datetime) -> list[Fire]:
    due, earlier = owed(schedule, now)
    recorded = queries.recorded_fires(session, schedule.id, schedule.looked_at)
    decided = _settle(session, audits, schedule, due, recorded, now)
    queries.add_fires(session, schedule.id, _counting(decided, earlier))
    looked_at = max(schedule.looked_at, now)
    queries.move_cursor(session, schedule.id, looked_at, next_look(schedule.terms, looked_at))
    return decided


def _tell_of_missed(session: Session, schedule: Schedule, fires: Sequence[Fire], now: datetime) -> None:
    """One alert, however many fires came to nothing: a schedule whose audits never end skips every one of them."""
    missed = [fire for fire in fires if fire.outcome in (Outcome.MISSED, Outcome.SKIPPED)]
    if not missed:
        return
    if is_silenced(find_deployment(session, schedule.deployment), now):
        log.info("alert silenced", schedule=schedule.name, deployment=schedule.deployment, kind="schedule.missed")
        return
    data: dict[str, JSON] = {
        "schedule": schedule.name,
        "missed": len(missed),
        "fire_time": missed[-1].fire_time.isoformat(),
        "reason": missed[-1].reason,
    }
    publish_alert(session, "schedule.missed", data, subject=f"{schedule.name}: MISSED")


def _start_waiting(session: Session, audits: Audits, schedule: Schedule, now: datetime) -> list[Fire]:
    waiting = queries.find_waiting_fire(session, schedule.id)
    if waiting is None or audits.open_of(session, schedule.id):
        return []
    fire = _begin(session, audits, schedule, waiting.fire_time, now, ())
    queries.settle_waiting_fire(session, schedule.id, replace(fire, manual=waiting.manual))
    return [fire]


def _settle(
    session: Session,
    audits: Audits,
    schedule: Schedule,
    due: Sequence[datetime],
    recorded: Collection[datetime],
    now: datetime,
) -> list[Fire]:
    """Decide on due fires. Those that start together do not overlap one another: catch-up has asked for all of them."""
    open_audits = tuple(audits.open_of(session, schedule.id))
    waiting = queries.find_waiting_fire(session, schedule.id) is not None
    fires = []
    for time, reason in settle(due, now, schedule.terms).items():
        if time in recorded:
            continue
        if reason is not None:
            fires.append(Fire(time, Outcome.MISSED, now, reason=reason))
            continue
        step = on_overlap(schedule.terms.overlap, audits_open=bool(open_audits), waiting=waiting)
        if step is Step.SKIP:
            why = _why_skipped(open_audits, waiting=waiting)
            fires.append(Fire(time, Outcome.SKIPPED, now, reason=why))
        elif step is Step.WAIT:
            fires.append(Fire(time, Outcome.QUEUED, now, reason=_why_queued(open_audits)))
            waiting = True
        else:
            fire = _begin(session, audits, schedule, time, now, open_audits)
            fires.append(fire)
            if fire.outcome is Outcome.STARTED:
                open_audits = () if step is Step.CANCEL_AND_START else open_audits
    return fires


def _begin(
    session: Session, audits: Audits, schedule: Schedule, time: datetime, now: datetime, open_audits: Sequence[UUID]
) -> Fire:
    """A started fire, or one that is missed because its audit cannot be started; the open audits then go on."""
    try:
        with session.begin_nested():
            audit_id = _start(session, audits, schedule, time, open_audits)
    except (Unavailable, NotMeasured):
        raise
    except DissectError as error:
        log.warning("an audit cannot be started", schedule=schedule.name, fire_time=time, reason=error.detail)
        return Fire(time, Outcome.MISSED, now, reason=f"The audit cannot be started. {error}")
    subject = f"/schedules/{schedule.name} -> /audits/{audit_id}"
    record(session, actor=SCHEDULER, action="fire schedule", subject=subject)
    return Fire(time, Outcome.STARTED, now, audit_id=audit_id)


def _start(session: Session, audits: Audits, schedule: Schedule, time: datetime, open_audits: Sequence[UUID]) -> UUID:
    for audit_id in open_audits:
        try:
            with session.begin_nested():
                audits.cancel(session, audit_id)
        except Conflict:
            log.info("an audit to be cancelled ends by itself", audit=str(audit_id))
    return audits.start(session, schedule.deployment_id, schedule_id=schedule.id, fire_time=time)


def _counting(fires: list[Fire], earlier: int) -> list[Fire]:
    """The fires, the first of which says how many came before them."""
    if not earlier or not fires or fires[0].outcome is not Outcome.MISSED:
        return fires
    reason = f"{fires[0].reason} So were {earlier} before it, which are not listed."
    return [replace(fires[0], reason=reason), *fires[1:]]


def _why_queued(open_audits: Sequence[UUID]) -> str:
    return f"Waits until audit {open_audits[0]} has ended."


def _why_skipped(open_audits: Sequence[UUID], *, waiting: bool) -> str:
    also = " Another fire waits for its end already." if waiting else ""
    return f"Audit {open_audits[0]} has not ended.{also}"
