"""Decide what becomes of the fires of schedules. Any number of schedulers may do so at once.

One schedule is one transaction: its row is held, its fires are recorded, audits begin, and the cursor moves, or nothing
of it happens. The files of its audits are read before, outside of any transaction (`service.usecases.turns`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from service.db import schedules as queries
from service.db.session import Sessions, database_clock, transaction
from service.domain.alerts import JSON
from service.domain.audits import AuditFiles, FilesRead
from service.domain.schedules import Fire, FireOutcome, Schedule, Step, next_look, on_overlap, owed, settle
from service.domain.trail import SCHEDULER
from service.errors import Conflict, DissectError, NotMeasured, Unavailable
from service.ports import Audits, FilesNeeded
from service.usecases.alerts import publish_alert
from service.usecases.audit_alerts import is_silenced
from service.usecases.deployments import find_deployment
from service.usecases.trail import record

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Begin:
    """How audits of a schedule begin: with their files read, or, for that problem, as audits that end at once.

    With neither, none may begin yet.
    """

    audits: Audits
    read: FilesRead | None = None
    problem: DissectError | None = None

    def audit(self, session: Session, schedule: Schedule, time: datetime, open_audits: Sequence[UUID] = ()) -> UUID:
        """Begin the audit of a fire in place of those that are open. Raises FilesNeeded, and what `start` raises."""
        if self.problem is not None:  # those that are open go on
            return self.audits.refuse(
                session, schedule.deployment_id, self.problem, schedule_id=schedule.id, fire_time=time
            )
        if self.read is None:
            raise FilesNeeded

        self._cancel(session, open_audits)
        return self.audits.start(session, schedule.deployment_id, self.read, schedule_id=schedule.id, fire_time=time)

    def _cancel(self, session: Session, open_audits: Sequence[UUID]) -> None:
        for audit_id in open_audits:
            try:
                with session.begin_nested():
                    self.audits.cancel(session, audit_id)
            except Conflict:
                log.info("an audit ended before it could be cancelled", audit=str(audit_id))


def due_schedules(sessions: Sessions, now: datetime | None = None) -> tuple[datetime, Sequence[UUID]]:
    """The schedules with something to decide, the longest due first; and what time it is.

    now: None for the database's clock. Raises Unavailable where the database cannot be reached.
    """
    with transaction(sessions) as session:
        now = now or database_clock(session)
        return now, queries.due_schedules(session, now)


def files_to_read(sessions: Sessions, audits: Audits, schedule_id: UUID, now: datetime) -> AuditFiles | None:
    """What has to be read before the schedule's fires are decided; None where no audit begins. Raises Unavailable."""
    with transaction(sessions) as session:
        schedule = queries.find_due_schedule(session, schedule_id, now)
        if schedule is None or not _may_begin(session, audits, schedule, now):
            return None
        return audits.files_of(session, schedule.deployment_id)


def decide(sessions: Sessions, schedule_id: UUID, now: datetime, begin: Begin) -> int:
    """Decide on what a schedule owes, in one transaction, and begin its audits. Returns how many began.

    Raises Unavailable where the database cannot be reached, FilesNeeded where other files have to be read first, and
    NotMeasured where the patches of the probe set are not known yet: then nothing is decided.
    """
    with transaction(sessions) as session:
        schedule = queries.take_due_schedule(session, schedule_id, now)
        if schedule is None:
            return 0

        fires = _start_waiting(session, begin, schedule, now)
        if _is_due(schedule, now):
            fires += _decide_due(session, begin, schedule, now)
        _tell_of_missed(session, schedule, fires, now)
    return sum(fire.outcome is FireOutcome.STARTED for fire in fires)


def look_again(sessions: Sessions) -> None:
    """Have every schedule looked at: a scheduler that starts may know other time zone rules.

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
        fire = Fire(now, FireOutcome.QUEUED, now, reason=_why_queued(open_audits), manual=True)
    else:
        read = audits.read(audits.files_of(session, schedule.deployment_id))
        audit_id = Begin(audits, read).audit(session, schedule, now, open_audits)
        fire = Fire(now, FireOutcome.STARTED, now, audit_id=audit_id, manual=True)

    queries.add_fires(session, schedule.id, [fire])
    return fire


def forgo_owed(session: Session, schedule: Schedule, now: datetime, reason: str) -> None:
    """Record as missed what a held schedule owes and has not decided."""
    if schedule.paused:
        return

    due, earlier = owed(schedule, now)
    recorded = queries.recorded_fires(session, schedule.id, schedule.looked_at)
    fires = [Fire(time, FireOutcome.MISSED, now, reason=reason) for time in due if time not in recorded]
    queries.add_fires(session, schedule.id, _counting(fires, earlier))


def _is_due(schedule: Schedule, now: datetime) -> bool:
    return schedule.look_at is not None and schedule.look_at <= now


def _may_begin(session: Session, audits: Audits, schedule: Schedule, now: datetime) -> bool:
    """Could an audit begin, as far as overlap is concerned?"""
    audits_open = bool(audits.open_of(session, schedule.id))
    waiting = queries.find_waiting_fire(session, schedule.id) is not None
    if waiting and not audits_open:
        return True
    step = on_overlap(schedule.terms.overlap, audits_open=audits_open, waiting=waiting)
    return _is_due(schedule, now) and step in (Step.START, Step.CANCEL_AND_START)


def _decide_due(session: Session, begin: Begin, schedule: Schedule, now: datetime) -> list[Fire]:
    due, earlier = owed(schedule, now)
    recorded = queries.recorded_fires(session, schedule.id, schedule.looked_at)
    decided = _settle(session, begin, schedule, due, recorded, now)
    queries.add_fires(session, schedule.id, _counting(decided, earlier))

    looked_at = max(schedule.looked_at, now)
    queries.move_cursor(session, schedule.id, looked_at, next_look(schedule.terms, looked_at))
    return decided


def _tell_of_missed(session: Session, schedule: Schedule, fires: Sequence[Fire], now: datetime) -> None:
    """One alert, however many fires came to nothing: a schedule whose audits never end skips every one of them."""
    missed = [fire for fire in fires if fire.outcome in (FireOutcome.MISSED, FireOutcome.SKIPPED)]
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


def _start_waiting(session: Session, begin: Begin, schedule: Schedule, now: datetime) -> list[Fire]:
    waiting = queries.find_waiting_fire(session, schedule.id)
    if waiting is None or begin.audits.open_of(session, schedule.id):
        return []

    fire = _begin(session, begin, schedule, waiting.fire_time, now, ())
    queries.settle_waiting_fire(session, schedule.id, replace(fire, manual=waiting.manual))
    return [fire]


def _settle(
    session: Session,
    begin: Begin,
    schedule: Schedule,
    due: Sequence[datetime],
    recorded: Collection[datetime],
    now: datetime,
) -> list[Fire]:
    """Decide on due fires. Those that start together do not overlap one another: catch-up has asked for all of them."""
    open_audits = tuple(begin.audits.open_of(session, schedule.id))
    waiting = queries.find_waiting_fire(session, schedule.id) is not None

    fires = []
    for time, reason in settle(due, now, schedule.terms).items():
        if time in recorded:
            continue
        if reason is not None:
            fires.append(Fire(time, FireOutcome.MISSED, now, reason=reason))
            continue

        step = on_overlap(schedule.terms.overlap, audits_open=bool(open_audits), waiting=waiting)
        if step is Step.SKIP:
            why = _why_skipped(open_audits, waiting=waiting)
            fires.append(Fire(time, FireOutcome.SKIPPED, now, reason=why))
        elif step is Step.WAIT:
            fires.append(Fire(time, FireOutcome.QUEUED, now, reason=_why_queued(open_audits)))
            waiting = True
        else:
            fire = _begin(session, begin, schedule, time, now, open_audits)
            fires.append(fire)
            if fire.outcome is FireOutcome.STARTED and step is Step.CANCEL_AND_START:
                open_audits = ()
    return fires


def _begin(
    session: Session, begin: Begin, schedule: Schedule, time: datetime, now: datetime, open_audits: Sequence[UUID]
) -> Fire:
    """A started fire, or one that is missed because its audit cannot be started; the open audits then go on."""
    try:
        with session.begin_nested():
            audit_id = begin.audit(session, schedule, time, open_audits)
    except (Unavailable, NotMeasured):
        raise
    except DissectError as error:
        log.warning("cannot start an audit", schedule=schedule.name, fire_time=time, reason=error.detail)
        return Fire(time, FireOutcome.MISSED, now, reason=f"The audit cannot be started. {error}")

    subject = f"/schedules/{schedule.name} -> /audits/{audit_id}"
    record(session, actor=SCHEDULER, action="fire schedule", subject=subject)
    return Fire(time, FireOutcome.STARTED, now, audit_id=audit_id)


def _counting(fires: list[Fire], earlier: int) -> list[Fire]:
    """The fires, the first of which says how many came before them."""
    if not earlier or not fires or fires[0].outcome is not FireOutcome.MISSED:
        return fires
    reason = f"{fires[0].reason} {earlier} fires before it were late as well and are not listed."
    return [replace(fires[0], reason=reason), *fires[1:]]


def _why_queued(open_audits: Sequence[UUID]) -> str:
    return f"Waits until audit {open_audits[0]} has ended."


def _why_skipped(open_audits: Sequence[UUID], *, waiting: bool) -> str:
    also = " Another fire is already waiting for it to end." if waiting else ""
    return f"Audit {open_audits[0]} has not ended.{also}"
