"""`python -m workers.scheduler`: look after lost jobs, fire schedules, judge audits, deliver alerts.

Several may run at once.

A loop of its own rather than Celery beat, whose tick would wait behind a job that keeps the worker busy for hours.
"""

import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType

import structlog

from broker.queue import CeleryJobQueue, open_broker
from service.config import Settings
from service.db.session import open_sessions
from service.errors import Unavailable
from service.logs import configure_logging
from service.usecases.audit_port import open_audits
from service.usecases.audit_verdicts import judge_ended_audits
from service.usecases.fires import fire_due, look_again
from service.usecases.reconcile import reconcile
from workers.alerts import delivering

EVERY_S = 2.0

log = structlog.get_logger()


def run(settings: Settings, stopped: threading.Event) -> None:
    """Do so every two seconds until `stopped` is set; an unreachable database or broker is waited for.

    Raises InvalidInput for settings that cannot be used.
    """
    sessions = open_sessions(settings.database_url, pool_size=1)
    queue = CeleryJobQueue(open_broker(settings.broker_url))
    tasks: dict[str, Callable[[], object]] = {
        "look after jobs": partial(reconcile, sessions, queue, max_attempts=settings.max_attempts),
        "fire schedules": partial(fire_due, sessions, open_audits(queue)),
        "judge audits": partial(judge_ended_audits, sessions),
    }
    looked_again = False
    with delivering(settings):
        while not stopped.wait(EVERY_S):
            looked_again = looked_again or _patiently("look at every schedule", partial(look_again, sessions))
            for what, do in tasks.items():
                _patiently(what, do)
    sessions.kw["bind"].dispose()


def _patiently(what: str, do: Callable[[], object]) -> bool:
    """Was it done? What cannot be reached now is left for the next time."""
    try:
        do()
    except Unavailable as error:
        log.warning(f"cannot {what} now", reason=error.detail)
        return False
    return True


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    settings = Settings()
    configure_logging(settings.log_level)
    run(settings, stopped)


if __name__ == "__main__":
    main()
