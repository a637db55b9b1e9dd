"""Who sends alerts: several at once, killed, hanging or late, and what is never lost by it."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.alerts import RETRY_DELAYS, AttemptOutcome, ClaimedDelivery, DeliveryStatus, Failure
from service.errors import LeaseLost
from service.usecases import alerts
from service.usecases.alert_delivery import claim, record
from tests.alerts.clockwork import SPECIFIED, START, Clockwork, after
from tests.alerts.conftest import MakeReceiver
from tests.alerts.receivers import HANG, Answer, Received
from tests.embedded.processes import REPOSITORY, wait_until

_DELIVER = "from service.config import Settings; from service.db.session import open_sessions; import sys; \
from tests.alerts.clockwork import Clockwork; settings = Settings(); sys.stdin.readline(); \
Clockwork(open_sessions(settings.database_url), settings).deliver()"


def test_a_sender_that_is_killed_before_it_records_loses_nothing(
    clockwork: Clockwork, sessions: Sessions, database_url: str, receiver: MakeReceiver
) -> None:
    environment = {"DATABASE_URL": database_url, "ALERT_HOSTS": "127.0.0.0/8", "PYTHONPATH": str(REPOSITORY)}
    sender = subprocess.Popen(
        [sys.executable, "-c", _DELIVER], cwd=REPOSITORY, env={**os.environ, **environment}, stdin=subprocess.PIPE
    )

    def kill(_: Received) -> Answer:
        sender.kill()
        sender.wait()
        return Answer()

    hook = receiver(kill)
    clockwork.webhook("on-call", hook.url)
    with transaction(sessions) as session:
        alert_id = alerts.publish_alert(session, "audit.failed", {}, subject="FAIL")
    assert sender.stdin is not None
    sender.stdin.write(b"\n")
    sender.stdin.close()
    assert sender.wait() != 0
    assert len(hook.received) == 1
    (attempt,) = clockwork.delivery(alert_id).log
    assert (attempt.duration_s, attempt.failure) == (None, None)
    assert clockwork.deliver() == 0, "its lease has not run out"
    hook.answering = Answer()
    assert clockwork.deliver(datetime.now(UTC) + timedelta(minutes=10)) == 1
    first, second = hook.received
    assert (first.id, first.body) == (second.id, second.body)
    delivery = clockwork.delivery(alert_id)
    assert [attempt.failure for attempt in delivery.log] == [Failure.LOST, None]
    assert delivery.status is DeliveryStatus.DELIVERED


def lost_and_replaced(clockwork: Clockwork) -> tuple[UUID, ClaimedDelivery, ClaimedDelivery]:
    """An alert, what a sender had of it that did not record it in time, and what the next one has."""
    clockwork.webhook("on-call", "http://127.0.0.1:9/")
    alert_id, sessions = clockwork.publish(), clockwork.sessions
    stale = claim(sessions, timedelta(seconds=30), START)
    assert stale is not None
    assert claim(sessions, timedelta(seconds=30), after(seconds=29)) is None
    fresh = claim(sessions, timedelta(seconds=30), after(seconds=31))
    assert fresh is not None
    assert (fresh.id, fresh.number, fresh.fence) == (stale.id, 2, stale.fence + 1)
    return alert_id, stale, fresh


def test_a_failure_of_a_sender_that_was_thought_lost_changes_nothing(clockwork: Clockwork, sessions: Sessions) -> None:
    alert_id, stale, fresh = lost_and_replaced(clockwork)
    before = clockwork.delivery(alert_id)
    assert (before.status, before.attempts) == (DeliveryStatus.PENDING, 1)
    with pytest.raises(LeaseLost):
        record(sessions, stale, AttemptOutcome(timedelta(seconds=40), status=500, failure=Failure.STATUS, detail="500"))
    assert clockwork.delivery(alert_id) == before
    record(sessions, fresh, AttemptOutcome(timedelta(seconds=1), status=204))
    after_all = clockwork.delivery(alert_id)
    assert (after_all.status, after_all.attempts) == (DeliveryStatus.DELIVERED, 2)


def test_a_success_that_comes_late_is_believed(clockwork: Clockwork, sessions: Sessions) -> None:
    alert_id, stale, fresh = lost_and_replaced(clockwork)
    record(sessions, stale, AttemptOutcome(timedelta(seconds=40), status=204))
    delivery = clockwork.delivery(alert_id)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert [(one.status, one.failure, one.detail) for one in delivery.log] == [(204, None, None), (None, None, None)]
    record(sessions, fresh, AttemptOutcome(timedelta(seconds=1), status=500, failure=Failure.STATUS, detail="500"))
    assert clockwork.delivery(alert_id).status is DeliveryStatus.DELIVERED
    assert clockwork.next_due() is None
    with pytest.raises(LeaseLost):
        record(sessions, stale, AttemptOutcome(timedelta(seconds=40), status=204))


def test_an_alert_whose_senders_always_vanish_is_given_up(
    clockwork: Clockwork, sessions: Sessions, receiver: MakeReceiver
) -> None:
    clockwork.webhook("on-call", receiver().url)
    alert_id, lease = clockwork.publish(), timedelta(minutes=2)
    now: datetime | None = START
    begun: list[datetime] = []
    while now is not None and len(begun) <= len(SPECIFIED):
        if claim(sessions, lease, now) is None:
            now = clockwork.next_due()
        else:
            begun.append(now)
            now += lease
    delivery = clockwork.delivery(alert_id)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, len(SPECIFIED))
    assert [attempt.failure for attempt in delivery.log] == [Failure.LOST] * len(SPECIFIED)
    assert begun[1] - begun[0] == lease, "the first time it goes again at once"
    waited = [later - earlier for earlier, later in pairwise(begun[1:])]
    for actual, specified in zip(waited, RETRY_DELAYS[1:], strict=True):
        assert specified <= actual <= 1.1 * specified
    assert clockwork.endpoint("on-call").enabled, "it is not the receiver's fault"


def test_others_do_not_wait_for_what_was_lost(clockwork: Clockwork, sessions: Sessions, receiver: MakeReceiver) -> None:
    hook = receiver()
    clockwork.webhook("lost", hook.url, ["audit.failed"])
    clockwork.webhook("quick", hook.url, ["audit.passed"])
    clockwork.publish("audit.failed")
    for seconds in (0, 120):
        assert claim(sessions, timedelta(minutes=2), after(seconds=seconds)) is not None
    alert_id = clockwork.publish("audit.passed", at=after(seconds=130))
    assert clockwork.deliver(after(seconds=240)) == 1
    assert hook.ids == [f"msg_{alert_id.hex}"]


def test_several_schedulers_deliver_each_alert_once(
    clockwork: Clockwork, sessions: Sessions, settings: Settings, receiver: MakeReceiver
) -> None:
    hooks = [receiver() for _ in range(4)]
    alone = threading.Lock()
    together = []

    def answer(_: Received) -> Answer:
        if not alone.acquire(blocking=False):
            together.append(1)
            return Answer()
        time.sleep(0.01)
        alone.release()
        return Answer()

    hooks[0].answering = answer
    for number, hook in enumerate(hooks):
        clockwork.webhook(f"hook-{number}", hook.url)
    published = [clockwork.publish() for _ in range(10)]
    schedulers = [Clockwork(sessions, settings) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        attempts = sum(pool.map(lambda one: one.deliver(START), schedulers))
    attempts += clockwork.deliver(START)
    assert attempts == 40
    for hook in hooks:
        assert sorted(hook.ids) == sorted(f"msg_{alert_id.hex}" for alert_id in published)
    assert together == [], "one at a time to each endpoint"


def test_a_receiver_that_hangs_holds_up_nobody_else(clockwork: Clockwork, receiver: MakeReceiver) -> None:
    slow, quick = receiver([HANG, Answer()]), receiver()
    clockwork.webhook("a-slow", slow.url)
    clockwork.webhook("quick", quick.url)
    for _ in range(3):
        clockwork.publish()
    clockwork.senders.start_due(START)
    wait_until(lambda: slow.hanging == 1 and len(quick.received) == 3)
    clockwork.publish()
    clockwork.senders.start_due(START)
    wait_until(lambda: len(quick.received) == 4)
    assert len(slow.received) == 1, "and it gets one at a time"
    slow.let_go.set()
    clockwork.senders.wait()


def test_no_more_threads_than_are_set(sessions: Sessions, settings: Settings, receiver: MakeReceiver) -> None:
    clockwork = Clockwork(sessions, settings.model_copy(update={"alert_senders": 2}))
    hooks = [receiver([HANG, Answer()]) for _ in range(4)]
    for number, hook in enumerate(hooks):
        clockwork.webhook(f"hook-{number}", hook.url)
    clockwork.publish()
    clockwork.senders.start_due(START)
    wait_until(lambda: sum(hook.hanging for hook in hooks) == 2)
    clockwork.senders.start_due(START)
    assert sum(len(hook.received) for hook in hooks) == 2
    for hook in hooks:
        hook.answering = Answer()
        hook.let_go.set()
    clockwork.senders.wait()
    clockwork.deliver_until(after(minutes=1))
    assert all(len(set(hook.ids)) == 1 for hook in hooks)
