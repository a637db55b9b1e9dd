"""`python -m workers.scheduler`: look after lost jobs, judge audits, deliver alerts. Several may run at once.

A loop of its own rather than Celery beat, whose tick would wait behind a job that keeps the worker busy for hours.
"""

import signal
import threading
from types import FrameType

import structlog

from broker.queue import CeleryJobQueue, open_broker
from service.config import Settings
from service.db.session import open_sessions
from service.errors import Unavailable
from service.logs import configure_logging
from service.usecases.audit_verdicts import judge_ended_audits
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
    with delivering(settings):
        while not stopped.wait(EVERY_S):
            try:
                reconcile(sessions, queue, max_attempts=settings.max_attempts)
                judge_ended_audits(sessions)
            except Unavailable as error:
                log.warning("cannot look after jobs now", reason=error.detail)


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
