"""`python -m workers`: take work items, one at a time; a child process of its own computes them."""

from service.config import Settings
from service.logs import configure_logging
from workers.app import create_worker


def main() -> None:
    """Work until SIGTERM."""
    settings = Settings()
    configure_logging(settings.log_level)
    create_worker(settings).worker_main(
        ["worker", "--pool", "solo", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    )


if __name__ == "__main__":
    main()
