"""`python -m workers`: take work items, one at a time; a child process of its own computes them.

Nothing is imported that may fail before `run_service` hears it.
"""

import sys

from service.exits import run_service


def main() -> None:
    """Work until SIGTERM. What keeps it from starting is one line on standard error, with exit status 2."""
    sys.exit(run_service("worker", _work))


def _work() -> None:
    from service.config import read_settings
    from service.logs import configure_logging
    from workers.app import create_worker

    settings = read_settings()
    configure_logging(settings.log_level)
    create_worker(settings).worker_main(
        ["worker", "--pool", "solo", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    )


if __name__ == "__main__":
    main()
