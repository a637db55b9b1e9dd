"""Give every schedule that is due its turn. What one of them waits for holds up no other.

A turn reads the files of the audit that is to begin, and then decides on the schedule's fires in one short transaction.
A drive that does not answer keeps a reading for ever, and nothing can end it. So each turn has a thread of its own, and
one that reads for too long is given up: the fire's audit ends at once with that problem, and is told of.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog

from service.db.session import Sessions
from service.errors import DissectError, NotMeasured, Unavailable
from service.ports import Audits, FilesNeeded
from service.usecases.fires import Begin, decide, due_schedules, files_to_read

AT_ONCE = 8
"""Turns that begin side by side: each may hold a manifest of a million rows. One that reads for long is not counted."""

LONG_S = 5.0
MOST = 64
"""Turns that read for long at once, and readings that were given up and have not ended. Of more schedules than these
the first wait for a place, and the fires of the others fail at once."""

log = structlog.get_logger()


@dataclass(eq=False)
class _Turn:
    """now: when the fires that it decides on were found, which is what makes them late or not."""

    schedule: UUID
    now: datetime
    thread: threading.Thread
    began: float = field(default_factory=time.monotonic)
    deciding: bool = False
    given_up: bool = False

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.began


class Turns:
    """The turns of one scheduler. limit_s: how long the files of an audit may take to be read."""

    def __init__(self, sessions: Sessions, audits: Audits, *, limit_s: float) -> None:
        self._sessions = sessions
        self._audits = audits
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._turns: dict[UUID, _Turn] = {}
        self._waiting: dict[UUID, datetime] = {}
        self._stopping = False
        self.began = 0
        """Audits that have begun."""

    def start_due(self, now: datetime | None = None) -> None:
        """Begin the turn of every schedule that is due, and give up those that have read for too long.

        now: None for the database's clock. Waits for no file. Raises Unavailable where the database cannot be reached.
        """
        now, due = due_schedules(self._sessions, now)

        for turn in self._running():
            if turn.age_s >= self._limit_s:
                self._give_up(turn)

        with self._lock:
            # One that has waited for a place is not late because of that.
            self._waiting = {
                schedule: self._waiting.get(schedule, now) for schedule in due if schedule not in self._turns
            }
            hopeless = self._hopeless(due)
        for schedule, problem in hopeless.items():
            self._fail(schedule, now, problem)

        while self._start_thread():
            pass

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until every turn has ended, for so long at most."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        for turn in self._running():
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            turn.thread.join(left_s)

    def stop(self, timeout_s: float) -> None:
        """Begin nothing more, and wait for the turns, for so long at most."""
        self._stopping = True
        self.wait(timeout_s)

    def _hopeless(self, due: Sequence[UUID]) -> dict[UUID, DissectError]:
        """The due schedules whose files nobody can be sent to read: why. They wait for no place any more."""
        problems: dict[UUID, DissectError] = {}
        hanging = {schedule: turn for schedule, turn in self._turns.items() if turn.given_up}

        for schedule in due:
            if schedule in hanging:
                problems[schedule] = _still_reading(hanging[schedule])
            elif schedule in self._waiting and len(hanging) >= MOST:
                problems[schedule] = _too_many()
                del self._waiting[schedule]
        return problems

    def _start_thread(self) -> bool:
        """Begin the turn of a schedule that waits; False where none does or there is no place."""
        # Not waited for at the end of the process: what a turn leaves behind is due to another scheduler.
        thread = threading.Thread(target=self._take_turns, name="schedules' turns", daemon=True)
        turn = self._next(thread)
        if turn is None:
            return False
        thread.start()
        return True

    def _next(self, thread: threading.Thread) -> _Turn | None:
        with self._lock:
            turns = self._turns.values()
            recent = sum(turn.age_s < LONG_S for turn in turns)
            reading = sum(not turn.given_up for turn in turns)
            is_full = recent >= AT_ONCE or reading >= MOST
            if is_full or self._stopping or not self._waiting:
                return None

            schedule = next(iter(self._waiting))
            turn = _Turn(schedule, self._waiting.pop(schedule), thread)
            self._turns[schedule] = turn
            return turn

    def _take_turns(self) -> None:
        thread = threading.current_thread()
        with self._lock:
            turn = next((turn for turn in self._turns.values() if turn.thread is thread), None)
        while turn is not None:
            self._take(turn)

            with self._lock:
                del self._turns[turn.schedule]
            turn = self._next(thread)

    def _take(self, turn: _Turn) -> None:
        try:
            files = files_to_read(self._sessions, self._audits, turn.schedule, turn.now)
            read = None if files is None else self._audits.read(files)
            if self._may_decide(turn):
                self._decide(turn.schedule, turn.now, Begin(self._audits, read))
        except FilesNeeded:
            log.info("a schedule's files have changed", schedule=str(turn.schedule))
        except NotMeasured as error:
            log.info("a schedule waits", schedule=str(turn.schedule), reason=error.detail)
        except Unavailable as error:
            log.warning("cannot process a schedule at the moment", schedule=str(turn.schedule), reason=error.detail)
        except Exception:
            log.exception("cannot process a schedule", schedule=str(turn.schedule))

    def _may_decide(self, turn: _Turn) -> bool:
        """Was it not given up meanwhile? From here on it is not any more."""
        with self._lock:
            turn.deciding = not turn.given_up
        return turn.deciding

    def _give_up(self, turn: _Turn) -> None:
        with self._lock:
            if turn.deciding or turn.given_up:
                return
            turn.given_up = True
        log.error(
            "the files of a schedule's audit were not read in time", schedule=str(turn.schedule), limit_s=self._limit_s
        )
        self._fail(turn.schedule, turn.now, _too_slow(self._limit_s))

    def _fail(self, schedule: UUID, now: datetime, problem: DissectError) -> None:
        """What fails here is due again at the next look, which comes back to it."""
        try:
            self._decide(schedule, now, Begin(self._audits, problem=problem))
        except DissectError as error:
            log.warning("cannot process a schedule at the moment", schedule=str(schedule), reason=error.detail)
        except Exception:
            log.exception("cannot process a schedule", schedule=str(schedule))

    def _decide(self, schedule: UUID, now: datetime, begin: Begin) -> None:
        began = decide(self._sessions, schedule, now, begin)
        with self._lock:
            self.began += began

    def _running(self) -> Sequence[_Turn]:
        with self._lock:
            return list(self._turns.values())


def _too_slow(limit_s: float) -> DissectError:
    return _unread(f"The files of the audit were not read within {limit_s:g} seconds")


def _still_reading(turn: _Turn) -> DissectError:
    return _unread(f"A reading of the files of the audit that began {turn.age_s:.0f} seconds ago has not ended")


def _too_many() -> DissectError:
    return _unread(f"{MOST} schedules are already waiting for their files")


def _unread(why: str) -> DissectError:
    return Unavailable(
        f"{why}.",
        field="deployment",
        remedy="Check that the drives of checkpoint, manifest and images respond, then run the schedule again.",
    )
