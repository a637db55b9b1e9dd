"""PostgreSQL as a child process."""

import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from cli.embedded.binaries import postgres_binary
from cli.embedded.identity import Identity, choose_identity
from cli.embedded.processes import Child
from cli.embedded.server import EmbeddedServer
from cli.embedded.state_dir import wait_for_leftovers
from service.errors import Unavailable

_USER = "mammodissect"
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    # /dev/shm is only 64 MB in containers; files in the data folder have room.
    "dynamic_shared_memory_type": "mmap",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
}


class PostgresServer(EmbeddedServer):
    """PostgreSQL on a private socket, its cluster in `data_dir/cluster`; durable unless `settings` say otherwise."""

    name = "postgres"

    def __init__(self, data_dir: Path, *, log: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are server parameters that go before our own, e.g. `{"fsync": "off"}` for tests."""
        super().__init__(data_dir, log=log)
        self.cluster = self.data_dir / "cluster"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._identity = Identity()

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the service's database. Raises Unavailable when the server is stopped."""
        return self.database_url(_USER)

    def database_url(self, database: str) -> str:
        """SQLAlchemy URL of another database of this server. Raises Unavailable when the server is stopped."""
        from sqlalchemy import URL

        url = URL.create("postgresql+psycopg", username=_USER, database=database, query={"host": str(self.socket_dir)})
        return url.render_as_string()

    def _clear_remains(self) -> None:
        wait_for_leftovers("postgres", self.cluster)
        # Nobody works in the cluster, so these files are a dead server's; their process number may be somebody
        # else's by now, and Postgres would then refuse to start.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        (self.data_dir / "run" / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _prepare(self) -> None:
        self._identity = choose_identity(self.data_dir, postgres_binary("postgres"))
        if self.cluster.is_dir():
            return
        unfinished = self.data_dir / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._identity.give(unfinished)
        self._initialise(unfinished)
        unfinished.rename(self.cluster)

    def _initialise(self, directory: Path) -> None:
        sync = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        # The builtin C.UTF-8 sorts alike on every machine, whatever locales the system has.
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        child = Child(
            [postgres_binary("initdb"), f"--pgdata={directory}", f"--username={_USER}", "--auth=trust", *locale, *sync],
            log=self.log,
            death_signal=signal.SIGKILL,
            options=self._identity.options,
        )
        try:
            if child.wait() != 0:
                raise Unavailable(f"initdb failed:\n{child.log_tail()}", remedy=f"Its log is {self.log}.")
        finally:
            child.stop(())

    def _launch(self) -> Child:
        settings = {**self._settings, "unix_socket_directories": str(self.socket_dir)}
        self._identity.give(self.socket_dir)
        return Child(
            [postgres_binary("postgres"), "-D", self.cluster, *(f"--{key}={value}" for key, value in settings.items())],
            log=self.log,
            # Quick and safe: all its processes end at once and the next start recovers from the log.
            death_signal=signal.SIGQUIT,
            options=self._identity.options,
        )

    def _answers(self) -> bool:
        import psycopg

        status = self.cluster / "postmaster.pid"
        if not status.exists() or not status.read_text().rstrip().endswith("ready"):
            return False  # asking earlier only fills the log
        try:
            with psycopg.connect(
                host=str(self.socket_dir), user=_USER, dbname="postgres", autocommit=True, connect_timeout=60
            ) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_USER,)).fetchone()
                if found is None:
                    connection.execute(f'CREATE DATABASE "{_USER}"')
        except psycopg.OperationalError as error:
            raise Unavailable(f"Postgres refuses its first connection: {error}") from error
        return True

    def _end(self, child: Child) -> None:
        # SIGINT ends sessions and writes a checkpoint, so that the next start needs no recovery.
        child.stop([(signal.SIGINT, 120.0), (signal.SIGQUIT, 10.0)])
