"""`mammodissect up`: the whole service on one machine, until it is told to stop."""

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cli.embedded import PostgresServer, ValkeyServer
from cli.embedded.server import EmbeddedServer
from cli.embedded.state_dir import DirectoryLock, kept_secret, private_directory, write_private
from cli.embedded.supervisor import Program, Supervisor
from service.config import Settings, read_settings
from service.errors import Conflict, InvalidInput, Unavailable
from service.process_memory import hide_process_memory

HOST = "127.0.0.1"
_NOT_FOR_WORKERS = frozenset(
    {
        "API_KEY",
        "API_KEYS",
        "SIGNING_KEY",
        "MLFLOW_WEBHOOK_SECRET",
        "SMTP_USER",
        "SMTP_PASSWORD",
        "SERVICE_DATABASE_URL",
    }
)
"""Secrets of the API and the scheduler. A worker opens files that others wrote."""
ProgramsForPort = Callable[[int], Sequence[Program]]
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_API_ATTEMPTS = 3


@dataclass(frozen=True)
class StackInfo:
    """Where a running stack is and how to get in."""

    url: str
    api_key: str
    api_key_file: Path | None
    """None where the key comes from the setting API_KEY."""
    logs: Path


class _Stopped(BaseException):
    """A signal asked us to stop."""


def service_programs(port: int) -> tuple[Program, ...]:
    """API, worker and scheduler. `-P` keeps the working folder out of their import path."""
    python = (sys.executable, "-P", "-m")
    return (
        Program("api", (*python, "api", "--host", HOST, "--port", str(port))),
        Program("worker", (*python, "workers"), without=_NOT_FOR_WORKERS),
        Program("scheduler", (*python, "workers.scheduler")),
    )


def run_stack(data_dir: Path, port: int, *, programs: ProgramsForPort = service_programs) -> None:
    """Run everything until SIGTERM, SIGINT or SIGHUP; print `ready URL` when the API can serve.

    `programs` stand in for API, worker and scheduler. Raises Conflict when the folder or the port is in use,
    InvalidInput when they cannot be used, Unavailable when a server cannot be started or keeps dying.
    """
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        stopped.set()
        raise _Stopped  # whatever the main thread waits for now

    hide_process_memory()  # it may have a key in its environment
    earlier_handlers = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
    try:
        with _opened(data_dir, port, programs) as (info, supervisor):
            if info.api_key_file is not None:
                print(f"API key: {info.api_key_file}")
            print(f"Logs: {info.logs}")
            print(f"ready {info.url}", flush=True)
            # The event too: an exception raised while Python runs a finaliser is lost.
            supervisor.supervise(stopped.wait)
    except _Stopped:
        pass
    finally:
        for number, handler in earlier_handlers.items():
            signal.signal(number, handler)


@contextmanager
def running_stack(data_dir: Path, port: int, *, programs: ProgramsForPort = service_programs) -> Iterator[StackInfo]:
    """Everything `run_stack` runs, for the time of a block; port 0 takes a free one. Raises like `run_stack`."""
    with _opened(data_dir, port, programs) as (info, supervisor):
        ended = threading.Event()

        def supervise() -> None:
            try:
                supervisor.supervise(ended.wait)
            except Unavailable as error:
                _say(str(error))

        thread = threading.Thread(target=supervise, name="supervisor")
        thread.start()
        try:
            yield info
        finally:
            ended.set()
            thread.join()


@contextmanager
def _opened(data_dir: Path, port: int, programs: ProgramsForPort) -> Iterator[tuple[StackInfo, Supervisor]]:
    from service.db.migrate import upgrade

    settings = read_settings()
    with ExitStack() as until_the_end:
        port = _free_port(port)
        data_dir = private_directory(data_dir.absolute())
        until_the_end.enter_context(DirectoryLock(data_dir))
        logs = private_directory(data_dir / "logs")

        servers: list[EmbeddedServer] = []
        database_url = settings.database_url.get_secret_value()
        if not database_url:
            postgres = PostgresServer(data_dir / "postgres", log=logs / "postgres.log")
            servers.append(until_the_end.enter_context(postgres))
            upgrade(postgres.url)
            database_url = postgres.admit_service()
            write_private(data_dir / "database-url", database_url + "\n")
        else:
            database_url = _migrate(settings)

        broker_url = settings.broker_url.get_secret_value()
        if not broker_url:
            valkey = ValkeyServer(data_dir / "valkey", log=logs / "valkey.log")
            servers.append(until_the_end.enter_context(valkey))
            broker_url = valkey.url

        key = settings.api_key.get_secret_value()
        key_file = None if key else data_dir / "api-key"
        if key_file is not None:
            key = kept_secret(key_file, field="api_key", remedy="Delete it; the next start creates a new one.")

        signing_key = settings.signing_key or str(_kept_signing_key(data_dir / "signing-key.pem"))
        artifacts_url = settings.artifacts_url or private_directory(data_dir / "artifacts").as_uri()

        supervisor = Supervisor(
            programs(port),
            servers,
            environment={
                "DATABASE_URL": database_url,
                "BROKER_URL": broker_url,
                "API_KEY": key,
                "SIGNING_KEY": signing_key,
                "ARTIFACTS_URL": artifacts_url,
                "DATA_ROOTS": settings.data_roots or "/",
            },
            logs=logs,
            say=_say,
        )

        until_the_end.callback(supervisor.stop)

        info = StackInfo(f"http://{HOST}:{port}", key, key_file, logs)
        _wait_until_ready(info.url, supervisor)
        yield info, supervisor


def _free_port(port: int) -> int:
    """`port`, or a free one for 0. Raises Conflict when somebody listens there, InvalidInput when we may not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise InvalidInput(
                f"Port {port} needs root.", field="port", value=port, remedy="Choose one above 1023 with --port."
            ) from error
        except OSError as error:
            raise Conflict(
                f"Port {port} of {HOST} is in use.", field="port", value=port, remedy="Choose another with --port."
            ) from error

        return int(probe.getsockname()[1])


def _migrate(settings: Settings) -> str:
    """Migrate the database of DATABASE_URL; the URL that the programs use it by."""
    from service.db.logins import admit_login
    from service.db.migrate import upgrade

    owner_url = settings.database_url.get_secret_value()
    service_url = settings.service_database_url.get_secret_value()
    upgrade(owner_url)
    if not service_url:
        _say(
            "API, worker and scheduler use the login of DATABASE_URL. If that owns the database, "
            "set SERVICE_DATABASE_URL: it gives them a login that can change rows alone."
        )
        return owner_url

    admit_login(owner_url, service_url)
    return service_url


def _kept_signing_key(file: Path) -> Path:
    """The file, with a new key in it where there was none."""
    from service.signatures import SigningKey

    if not file.exists():
        SigningKey.create(file)
    file.chmod(0o600)
    return file


def _wait_until_ready(url: str, supervisor: Supervisor) -> None:
    """Wait, however busy the machine is, until the API serves. Raises Unavailable when it dies again and again."""
    import httpx

    with httpx.Client(trust_env=False, timeout=10.0) as client:

        def ready(wait_s: float) -> bool:
            try:
                if client.get(f"{url}/health/ready").status_code == httpx.codes.OK:
                    return True
            except httpx.TransportError:
                pass

            if supervisor.deaths("api") >= _API_ATTEMPTS:
                raise Unavailable("The API does not start.", remedy=f"Its log is {supervisor.log_of('api')}.")

            threading.Event().wait(wait_s)
            return False

        supervisor.check()
        supervisor.supervise(ready)


def _say(message: str) -> None:
    print(f"mammodissect: {message}", file=sys.stderr, flush=True)
