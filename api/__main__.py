"""`python -m api`: serve the application with uvicorn.

Nothing is imported that may fail before `run_service` hears it.
"""

import argparse
import gc
import resource
import sys
from typing import Any, NoReturn

from service.errors import InvalidInput
from service.exits import run_service

SERVER: dict[str, Any] = {
    "http": "api.connections:Connection",
    "ws": "none",
    "backlog": 2048,
    # The gate says who is served, and says it as a problem: uvicorn's own limit would turn health checks away, too.
    "limit_concurrency": None,
    # Longer than clients and proxies keep theirs (mostly 60 s): none is closed while a request is on its way.
    "timeout_keep_alive": 75,
    # Event streams do not end by themselves when the server is told to stop.
    "timeout_graceful_shutdown": 8,
}
"""How uvicorn serves."""


def main() -> None:
    """Serve until SIGTERM. What keeps it from starting is one line on standard error, with exit status 2."""
    sys.exit(run_service("api", _serve))


def _serve() -> None:
    import uvicorn

    from api.app import create_app
    from service.config import read_settings
    from service.logs import configure_logging

    parser = _Parser(prog="python -m api", description="Serve the HTTP API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=8000)
    arguments = parser.parse_args()

    settings = read_settings()
    configure_logging(settings.log_level)
    app = create_app(settings)

    # What lives as long as the process need not be looked at by every collection: that took a tenth of a second.
    gc.collect()
    gc.freeze()
    # By default a thread keeps the interpreter for 5 ms, longer than most requests take.
    sys.setswitchinterval(0.0005)
    _allow_many_connections()
    # Paths hold layer names only, but queries may hold a hospital's own names: no access log.
    uvicorn.run(app, host=arguments.host, port=arguments.port, access_log=False, log_config=None, **SERVER)


class _Parser(argparse.ArgumentParser):
    """Wrong usage is an error like others, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raises InvalidInput."""
        raise InvalidInput(f"{message[:1].upper()}{message[1:]}.", remedy=f"See `{self.prog} --help`.")


def _allow_many_connections() -> None:
    """Each connection is an open file, of which processes may often have 1024 unless they ask for more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 2**16:
        raise argparse.ArgumentTypeError(f"{port} is not from 0 to 65535")
    return port


if __name__ == "__main__":
    main()
