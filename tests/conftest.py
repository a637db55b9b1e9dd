"""Real servers for the tests: one Postgres and one Valkey per session, a fresh database per test."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import psycopg
import pytest
import redis
import structlog
from pydantic import SecretStr

from cli.embedded import PostgresServer, ValkeyServer
from service.db.migrate import upgrade
from service.db.session import Sessions, open_sessions

_numbers = count()

_MEMORY = Path("/dev/shm")  # noqa: S108 - the name is drawn by TemporaryDirectory
_ROOM_BYTES = 3 << 30
"""For each test process: databases of 10 MB, and what is written ahead."""

# A busy machine is no reason to fail.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# The usual renderer draws every local variable of a traceback, which takes half a minute for one of FastAPI's.
_drawn = structlog.get_config()["processors"]
structlog.configure(
    processors=[*_drawn[:-1], structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A Postgres that forgets everything on a power cut, for speed.

    It lies in memory where there is room for it: each database of a test is hundreds of files.
    """
    settings = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_wal_size": "128MB"}
    memory = TemporaryDirectory(prefix="mammodissect-tests-", dir=_roomy_memory())
    with memory as folder, PostgresServer(Path(folder), settings=settings) as server:
        yield server


def _roomy_memory() -> Path | None:
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ROOM_BYTES:
        return None
    return _MEMORY


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """Name of a database with the newest schema and no rows, to be copied."""
    _execute(postgres_server, "CREATE DATABASE migrated")
    upgrade(postgres_server.database_url("migrated"))
    return "migrated"


@pytest.fixture
def empty_database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a database of one's own without any table."""
    yield from _database(postgres_server, "template1")


@pytest.fixture
def database_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """URL of a database of one's own with the newest schema."""
    yield from _database(postgres_server, migrated_template)


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    """A session factory on a database of one's own."""
    factory = open_sessions(SecretStr(database_url))
    yield factory
    factory.kw["bind"].dispose()


@pytest.fixture
def owner_sessions(database_url: str) -> Iterator[Sessions]:
    """The same database as its owner and the cluster's superuser, not under the service's role."""
    factory = open_sessions(SecretStr(database_url), as_login=True)
    yield factory
    factory.kw["bind"].dispose()


@pytest.fixture
def broker_url(valkey_server: ValkeyServer) -> str:
    """Celery's URL of an empty broker."""
    with redis.Redis.from_url(valkey_server.redis_url) as client:
        client.flushall()
    return valkey_server.url


def _database(server: PostgresServer, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    _execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server.database_url(name)
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(server: PostgresServer, statement: str) -> None:
    with psycopg.connect(server.database_url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())
