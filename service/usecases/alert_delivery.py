"""Deliver what is due. Any number of schedulers may; one that is killed loses nothing, and its message goes again."""

import random
import threading
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from service.config import Settings
from service.db import alert_endpoints as endpoints
from service.db import alerts as queries
from service.db.columns import ColumnValues
from service.db.session import Sessions, transaction
from service.delivery import mail
from service.delivery.courier import Courier
from service.domain.alerts import (
    ENDPOINT_DISABLED,
    AttemptOutcome,
    ClaimedDelivery,
    DeliveryStatus,
    hold_until,
    next_attempt,
    reason_to_disable,
)
from service.domain.digests import digest_of
from service.domain.trail import SCHEDULER
from service.errors import LeaseLost, Unavailable
from service.usecases.trail import record as add_trail_entry

_LEASE_TIMEOUTS = mail.LONGEST_TIMEOUTS + 2
"""A lease lasts so many times what one answer may take: a mail needs several, and first of all a connection."""

_DICE = random.SystemRandom()

log = structlog.get_logger()


class Senders:
    """A bounded number of threads that deliver, each endpoint's deliveries one after another.

    A receiver that hangs holds up one thread, and its own deliveries, but no others.
    """

    def __init__(self, sessions: Sessions, settings: Settings, courier: Courier) -> None:
        self._sessions = sessions
        self._courier = courier
        self._lease = timedelta(seconds=_LEASE_TIMEOUTS * settings.alert_timeout_s)
        self._free = threading.BoundedSemaphore(settings.alert_senders)
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self.attempts = 0

    def start_due(self, now: datetime | None = None) -> None:
        """Start delivering what is due, as far as there are free threads. Raises Unavailable."""
        while not self._stopping and self._free.acquire(blocking=False):
            try:
                claimed = claim(self._sessions, self._lease, now)
            except BaseException:
                self._free.release()
                raise
            if claimed is None:
                self._free.release()
                return

            # Not waited for at the end of the process: what a sender leaves behind is sent by another.
            thread = threading.Thread(target=self._deliver, args=(claimed, now), name="alert sender", daemon=True)
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until no thread delivers, for so long at most."""
        for thread in self._running():
            thread.join(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Begin nothing more, and wait for what is being sent, for so long at most."""
        self._stopping = True
        self.wait(timeout_s)

    def _deliver(self, claimed: ClaimedDelivery | None, now: datetime | None) -> None:
        try:
            while claimed is not None:
                self._attempt(claimed)
                claimed = None if self._stopping else claim(self._sessions, self._lease, now)
        except Unavailable as error:
            log.warning("cannot deliver alerts at the moment", reason=error.detail)
        except Exception as error:
            log.error("delivering alerts failed", exc_info=error)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
            self._free.release()

    def _attempt(self, claimed: ClaimedDelivery) -> None:
        outcome = self._courier.attempt(claimed)
        with self._lock:
            self.attempts += 1
        try:
            record(self._sessions, claimed, outcome)
        except LeaseLost as error:
            log.warning("alert delivery not recorded", reason=error.detail, endpoint=claimed.endpoint)

    def _running(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads)


def claim(sessions: Sessions, lease: timedelta, now: datetime | None = None) -> ClaimedDelivery | None:
    """Take the delivery that has been due for longest, with its endpoint; None where nothing is due.

    An attempt that an earlier sender left behind counts as failed: what is due may then be due later, or have failed.
    """
    with transaction(sessions) as session:
        while (served := queries.serve_endpoint(session, lease, now)) is not None:
            for lost in queries.close_lost_attempts(session, served):
                _count_lost(session, lost, served)
            claimed = queries.take_delivery(session, served)
            if claimed is not None:
                return claimed
            queries.release_endpoint(session, served.id, served.fence)
    return None


def _count_lost(session: Session, lost: queries.LostAttempt, served: queries.ServedEndpoint) -> None:
    attempts = lost.earlier + 1
    # Counted from the attempt's beginning, so that after the first one the message goes as soon as the lease is over.
    due_at = next_attempt(attempts, lost.at, retry_after=None, chance=_DICE.random())
    if due_at is None:
        queries.end_delivery(session, lost.delivery_id, DeliveryStatus.FAILED, served.at, attempts=attempts)
    else:
        queries.postpone_delivery(session, lost.delivery_id, due_at, attempts=attempts)
    log.warning("alert delivery lost", endpoint=served.name, delivery=str(lost.delivery_id), attempts=attempts)


def record(sessions: Sessions, claimed: ClaimedDelivery, outcome: AttemptOutcome) -> None:
    """Write down how an attempt went, and what follows from it.

    Raises LeaseLost where another sender has taken over, who makes the attempt again: then nothing is written, but
    that a message that still waits has arrived.
    """
    ended = claimed.at + outcome.duration
    with transaction(sessions) as session:
        health = queries.release_endpoint(session, claimed.endpoint_id, claimed.fence)
        if health is None:
            _record_late(session, claimed, outcome, ended)
        elif outcome.failure is None:
            queries.record_attempt(session, claimed, outcome)
            queries.end_delivery(session, claimed.id, DeliveryStatus.DELIVERED, ended, attempts=claimed.earlier + 1)
            endpoints.change_endpoint(session, claimed.endpoint_id, {"failing_since": None, "held_until": None})
        else:
            enabled, failing_since = health
            queries.record_attempt(session, claimed, outcome)
            _record_failure(session, claimed, outcome, ended, failing_since or claimed.at, enabled=enabled)

    log.info(
        "alert delivery",
        endpoint=claimed.endpoint,
        alert=claimed.alert.message_id,
        attempt=claimed.number,
        failure=outcome.failure,
        status=outcome.status,
    )


def _record_late(session: Session, claimed: ClaimedDelivery, outcome: AttemptOutcome, ended: datetime) -> None:
    if outcome.failure is not None or not queries.deliver_late(session, claimed.id, ended):
        raise LeaseLost(f"Endpoint '{claimed.endpoint}' was deleted, or another sender serves it now.")
    queries.record_attempt(session, claimed, outcome)


def _record_failure(
    session: Session,
    claimed: ClaimedDelivery,
    outcome: AttemptOutcome,
    ended: datetime,
    failing_since: datetime,
    *,
    enabled: bool,
) -> None:
    attempts = claimed.earlier + 1

    due_at = None
    if not outcome.is_final:
        due_at = next_attempt(attempts, ended, retry_after=outcome.retry_after, chance=_DICE.random())
    if due_at is None:
        queries.end_delivery(session, claimed.id, DeliveryStatus.FAILED, ended, attempts=attempts)
    else:
        queries.postpone_delivery(session, claimed.id, due_at, attempts=attempts)

    values: ColumnValues = {"failing_since": failing_since, "held_until": hold_until(outcome, ended, due_at)}
    reason = reason_to_disable(outcome, failing_since, ended, given_up=due_at is None)
    if enabled and reason is not None:
        values |= {"enabled": False, "disabled_reason": reason}
        add_trail_entry(
            session,
            actor=SCHEDULER,
            action="disable alert endpoint",
            subject=f"/alert-endpoints/{claimed.endpoint}",
            after=digest_of({"enabled": False, "reason": reason}),
        )
        _tell_others(session, claimed, reason, ended)

    endpoints.change_endpoint(session, claimed.endpoint_id, values)


def _tell_others(session: Session, claimed: ClaimedDelivery, reason: str, at: datetime) -> None:
    data = {"endpoint": claimed.endpoint, "reason": reason}
    subject = f"Alert endpoint {claimed.endpoint} was disabled"
    alert = queries.add_alert(session, ENDPOINT_DISABLED, subject, data, at)
    queries.add_deliveries(session, alert, but=claimed.endpoint_id)
