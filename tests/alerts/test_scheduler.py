"""The scheduler delivers alerts, and looks after jobs whatever receivers do."""

import threading
from collections.abc import Callable
from datetime import timedelta

from pydantic import SecretStr

from service.config import Settings
from service.db.session import Sessions, transaction
from service.db.work import claim_item
from service.usecases import alerts
from tests.alerts.clockwork import Clockwork
from tests.alerts.receivers import HANG, Receiver
from tests.embedded.processes import wait_until
from tests.usecases.factories import leased, queued_job
from workers.duties import run


def test_a_receiver_that_hangs_does_not_keep_it_from_looking_after_jobs(
    sessions: Sessions, settings: Settings, broker_url: str, receiver: Callable[..., Receiver]
) -> None:
    hook, quick = receiver(HANG), receiver()
    clockwork = Clockwork(sessions, settings)
    clockwork.webhook("on-call", hook.url)
    with transaction(sessions) as session:
        alerts.publish_alert(session, "audit.failed", {}, subject="screening-b5: FAIL")
    ended = threading.Event()
    # A receiver has longer than this test takes.
    patient = settings.model_copy(update={"broker_url": SecretStr(broker_url), "alert_timeout_s": 60.0})
    scheduler = threading.Thread(target=run, args=(patient, ended))
    scheduler.start()
    try:
        wait_until(lambda: hook.hanging == 1)
        with transaction(sessions) as session:
            queued_job(session)
            assert claim_item(session, "a worker that dies", timedelta(0)) is not None
        wait_until(lambda: not leased(sessions))
        clockwork.webhook("quick", quick.url)
        with transaction(sessions) as session:
            alerts.send_test(session, "quick")
        wait_until(lambda: len(quick.received) == 1)
        assert len(hook.received) == 1
    finally:
        hook.let_go.set()
        ended.set()
        scheduler.join()
