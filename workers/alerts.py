"""Alerts go out from threads of the scheduler's own, so that no receiver holds up the jobs."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.config import Settings
from service.db.session import open_sessions
from service.delivery.courier import Courier
from service.usecases.alert_delivery import Senders
from workers.repeating import repeating

EVERY_S = 1.0
_PATIENCE_S = 10.0


@contextmanager
def delivering(settings: Settings) -> Iterator[None]:
    """Deliver alerts for the time of a block. What is being sent at its end has ten seconds.

    Raises InvalidInput for settings that cannot be used.
    """
    sessions = open_sessions(settings.database_url, pool_size=2)
    senders = Senders(sessions, settings, Courier(settings))
    try:
        with repeating("deliver alerts", senders.start_due, every_s=EVERY_S):
            yield
    finally:
        senders.stop(_PATIENCE_S)
        sessions.kw["bind"].dispose()
