"""`python -m tests.chaos.worker`: the real worker program with a runner that needs no networks."""

import os

from service.config import Settings
from service.logs import configure_logging
from workers.app import create_worker

RUNNER = "tests.chaos.runner:open_runner"


def main() -> None:
    settings = Settings()
    configure_logging(settings.log_level)
    variables = {name: value for name, value in os.environ.items() if name.startswith("CHAOS_")}
    create_worker(settings, runner=RUNNER, variables=variables).worker_main(
        ["worker", "--pool", "solo", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    )


if __name__ == "__main__":
    main()
