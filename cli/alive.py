"""`python -m cli.alive [URL]`: a container's health check; exit status 0 when all is well, else 1 and the reason.

With a URL: it answers 200. Without: the database and the broker, which worker and scheduler live on, answer.
"""

import sys

from service.config import Settings, read_settings
from service.errors import DissectError, Unavailable

_TIMEOUT_S = 5.0


def check_url(url: str) -> None:
    """Raises Unavailable unless `url` answers 200."""
    import httpx

    try:
        status = httpx.get(url, timeout=_TIMEOUT_S, trust_env=False).status_code
    except httpx.TransportError as error:
        raise Unavailable(f"{url} does not answer.") from error

    if status != httpx.codes.OK:
        raise Unavailable(f"{url} answers {status}.")


def check_connections(settings: Settings) -> None:
    """Raises Unavailable when the database or the broker does not answer, InvalidInput when one is not set."""
    from kombu.exceptions import OperationalError
    from sqlalchemy import text

    from broker.queue import open_broker
    from service.db.session import open_sessions, transaction

    sessions = open_sessions(settings.database_url, pool_size=1)
    with transaction(sessions) as session:
        session.execute(text("SELECT 1"))
    sessions.kw["bind"].dispose()

    with open_broker(settings.broker_url).connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_S)
        except OperationalError as error:
            raise Unavailable("The broker cannot be reached.") from error


def main() -> None:
    """Check, and say why not."""
    try:
        if len(sys.argv) > 1:
            check_url(sys.argv[1])
        else:
            check_connections(read_settings())
    except DissectError as error:
        sys.exit(str(error))
    except Exception as error:
        sys.exit(" ".join(f"Unexpected {type(error).__name__}: {error}".split()))


if __name__ == "__main__":
    main()
