"""`python -m workers`: take jobs, one at a time, in this process (CUDA and fork do not mix)."""

from service.logs import configure_logging
from workers.app import create_worker


def main() -> None:
    """Work until SIGTERM."""
    configure_logging()
    create_worker().worker_main(
        ["worker", "--pool", "solo", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    )


if __name__ == "__main__":
    main()
