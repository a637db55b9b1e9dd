"""PostgreSQL as a child process."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cli.embedded.binaries import postgres_binary
from cli.embedded.identity import Identity, choose_identity
from cli.embedded.processes import Child, command_as
from cli.embedded.server import EmbeddedServer
from cli.embedded.state_dir import kept_secret, wait_for_leftovers, write_private
from service.errors import Unavailable

_OWNER = "mammodissect"
_SERVICE = "mammodissect_service"
_DATABASE = "mammodissect"
_HBA = """\
# Written by `mammodissect up`. Nobody comes in without a password, whoever may reach the socket.
local all all scram-sha-256
"""
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
    """PostgreSQL on a private socket, its cluster in `data_dir/cluster`; durable unless `settings` say otherwise.

    It has two logins, each with a password in a file of its own: the owner, who migrates, and the service's, which can
    use what the owner made and cannot become the owner.
    """

    name = "postgres"

    def __init__(self, data_dir: Path, *, log: Path | None = None, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are server parameters that go before our own, e.g. `{"fsync": "off"}` for tests."""
        super().__init__(data_dir, log=log)
        self.cluster = self.data_dir / "cluster"
        self._settings = {**_SETTINGS, **(settings or {})}
        self._identity = Identity()
        self._owner_password = self.data_dir / "owner-password"
        self._service_password = self.data_dir / "service-password"

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the service's database, as its owner. Raises Unavailable when the server is stopped."""
        return self.database_url(_DATABASE)

    def database_url(self, database: str) -> str:
        """SQLAlchemy URL of another database of this server, as owner. Raises Unavailable when it is stopped."""
        return self._url_of(_OWNER, _kept_password(self._owner_password), database)

    def admit_service(self) -> str:
        """Make the service's login once the database is migrated; the URL of the service's database with that login.

        Raises Unavailable when the server is stopped.
        """
        from service.db.logins import admit_login

        service_url = self._url_of(_SERVICE, _kept_password(self._service_password), _DATABASE)
        admit_login(self.url, service_url)
        return service_url

    def _url_of(self, user: str, password: str, database: str) -> str:
        from sqlalchemy import URL

        query = {"host": str(self.socket_dir)}
        url = URL.create("postgresql+psycopg", username=user, password=password, database=database, query=query)
        return url.render_as_string(hide_password=False)

    def _clear_remains(self) -> None:
        wait_for_leftovers("postgres", self.cluster)
        # Nobody works in the cluster, so these files are a dead server's; their process number may be somebody
        # else's by now, and Postgres would then refuse to start.
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        (self.data_dir / "run" / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _prepare(self) -> None:
        self._identity = choose_identity(self.data_dir, postgres_binary("postgres"))
        if not self.cluster.is_dir():
            self._make_cluster()
        self._close_to_strangers()

    def _make_cluster(self) -> None:
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
            [
                postgres_binary("initdb"),
                f"--pgdata={directory}",
                f"--username={_OWNER}",
                "--auth=reject",
                *locale,
                *sync,
            ],
            log=self.log,
            death_signal=signal.SIGKILL,
            options=self._identity.options,
        )

        try:
            if child.wait() != 0:
                raise Unavailable(f"initdb failed:\n{child.log_tail()}", remedy=f"Its log is {self.log}.")
        finally:
            child.stop(())

    def _close_to_strangers(self) -> None:
        """Give the owner a password, in clusters of earlier releases too, before anybody can connect without one."""
        rules = self.cluster / "pg_hba.conf"
        if self._owner_password.exists() and rules.read_text() == _HBA:
            return

        # The file comes last but one: where it is, the password is set.
        password = secrets.token_urlsafe(32)
        self._set_owner_password(password)
        write_private(self._owner_password, password + "\n")
        rules.write_text(_HBA)

    def _set_owner_password(self, password: str) -> None:
        """In single-user mode, which serves nobody else. The password goes in by standard input."""
        settings = {**self._settings, "log_min_error_statement": "panic"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        single: list[str | Path] = [postgres_binary("postgres"), "--single", "-D", self.cluster, *options, "postgres"]
        ended = subprocess.run(
            command_as(single, f"--parent={os.getpid()}", *self._identity.options),
            input=f"ALTER ROLE \"{_OWNER}\" PASSWORD '{password}'\n",
            capture_output=True,
            text=True,
            check=False,
        )

        with open(os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as log:  # noqa: PTH123
            log.write(ended.stderr)

        if ended.returncode != 0 or "ERROR:" in ended.stderr:
            raise Unavailable(
                f"Postgres cannot give its owner a password:\n{ended.stderr[-2000:]}", remedy=f"Its log is {self.log}."
            )

    def _launch(self) -> Child:
        settings = {**self._settings, "unix_socket_directories": str(self.socket_dir)}
        options = [f"--{key}={value}" for key, value in settings.items()]
        self._identity.give(self.socket_dir)

        return Child(
            [postgres_binary("postgres"), "-D", self.cluster, *options],
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
                host=str(self.socket_dir),
                user=_OWNER,
                password=_kept_password(self._owner_password),
                dbname="postgres",
                autocommit=True,
                connect_timeout=60,
            ) as connection:
                database = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,)).fetchone()
                if database is None:
                    connection.execute(f'CREATE DATABASE "{_DATABASE}"')
        except psycopg.OperationalError as error:
            raise Unavailable(f"Postgres refuses the first connection: {error}") from error

        return True

    def _end(self, child: Child) -> None:
        # SIGINT ends sessions and writes a checkpoint, so that the next start needs no recovery.
        child.stop([(signal.SIGINT, 120.0), (signal.SIGQUIT, 10.0)])


def _kept_password(file: Path) -> str:
    return kept_secret(file, field="data_dir", remedy="Delete it and start again; the next start creates a new one.")
