"""`python -m workers.scheduler`: do a scheduler's duties until it is told to stop.

Nothing is imported that may fail before `run_service` hears it.
"""

import signal
import sys
import threading
from types import FrameType

from service.exits import run_service


def main() -> None:
    """Run until SIGTERM or SIGINT. What keeps it from starting is one line on standard error, with exit status 2."""
    sys.exit(run_service("scheduler", _schedule))


def _schedule() -> None:
    from service.config import read_settings
    from service.logs import configure_logging
    from workers.duties import run

    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    settings = read_settings()
    configure_logging(settings.log_level)
    run(settings, stopped)


if __name__ == "__main__":
    main()
