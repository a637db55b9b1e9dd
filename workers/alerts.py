"""Alerts go out from threads of the scheduler's own, so that no receiver holds up the jobs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from service.config import Settings
from service.db.session import open_sessions
from service.delivery.courier import Courier
from service.errors import DissectError
from service.usecases.alert_delivery import Senders

EVERY_S = 1.0
_PATIENCE_S = 10.0
_PAUSE_S = 5.0

log = structlog.get_logger()


@contextmanager
def delivering(settings: Settings) -> Iterator[None]:
    """Deliver alerts for the time of a block. What is being sent at its end has ten seconds.

    Raises InvalidInput for settings that cannot be used.
    """
    sessions = open_sessions(settings.database_url, pool_size=2)
    senders = Senders(sessions, settings, Courier(settings))
    ended = threading.Event()
    thread = threading.Thread(target=_start_due, args=(senders, ended), name="alerts")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        senders.stop(_PATIENCE_S)
        sessions.kw["bind"].dispose()


def _start_due(senders: Senders, ended: threading.Event) -> None:
    pause = EVERY_S
    while not ended.wait(pause):
        pause = EVERY_S
        try:
            senders.start_due()
        except DissectError as error:
            log.warning("cannot deliver alerts now", reason=error.detail)
        except Exception as error:  # alerts must not stop for ever, whatever is wrong with one
            log.error("delivering alerts failed", exc_info=error)
            pause = _PAUSE_S
