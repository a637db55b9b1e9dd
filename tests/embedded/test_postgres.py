"""Postgres as a child process."""

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import URL, make_url, text

from cli.embedded import PostgresServer
from service.db.logins import admit_login
from service.db.migrate import upgrade
from service.db.session import APP_ROLE, open_sessions, transaction
from service.errors import Conflict, InvalidInput, Unavailable
from tests.embedded.processes import running, wait_until

Seeded = Callable[..., PostgresServer]


def ask(server: PostgresServer, statement: str) -> object:
    with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return None if row is None else row[0]


def test_a_restart_finds_its_data_and_needs_no_recovery(seeded: Seeded) -> None:
    with seeded() as server:
        ask(server, "CREATE TABLE kept AS SELECT 'kept' AS value")
        first = server.pid
        processes = [first, *(child.pid for child in psutil.Process(first).children(recursive=True))]
    assert not any(running(pid) for pid in processes)
    with server:
        assert server.pid != first
        assert ask(server, "SELECT value FROM kept") == "kept"
    assert "not properly shut down" not in server.log.read_text()


def test_it_is_durable_and_the_same_everywhere(seeded: Seeded) -> None:
    expected = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "TimeZone": "UTC",
    }
    with seeded() as server:
        assert {name: ask(server, f"SHOW {name}") for name in expected} == expected
        assert ask(server, "SELECT 'a' < 'B'") is False  # by code point, not by a language's rules
        assert ask(server, "SELECT upper('ä')") == "Ä"


def test_only_its_owner_can_reach_it(seeded: Seeded) -> None:
    with seeded() as server:
        for path in (server.data_dir, server.socket_dir, server.socket_dir / ".s.PGSQL.5432", server.log):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert psutil.Process(server.pid).net_connections("inet") == []


def test_the_folder_takes_one_server(postgres_server: PostgresServer) -> None:
    with pytest.raises(Conflict, match=f"in use by process {os.getpid()}"):
        PostgresServer(postgres_server.data_dir).start()
    assert postgres_server.alive


def test_a_folder_too_deep_for_sockets(seeded: Seeded, tmp_path: Path) -> None:
    with seeded(tmp_path / ("deep" * 25)) as server:
        sockets = server.socket_dir
        assert not sockets.is_relative_to(tmp_path)
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert ask(server, "SELECT 1") == 1
    assert not sockets.exists()


@pytest.mark.parametrize("name", ["a käfer, 100%25", "'quo\"ted' $(touch x)"])
def test_a_folder_with_an_odd_name(seeded: Seeded, tmp_path: Path, name: str) -> None:
    with seeded(tmp_path / name) as server:
        assert (server.data_dir / "run").readlink() == server.socket_dir
        assert ask(server, "SELECT 1") == 1


def test_pid_files_whose_number_is_somebody_elses(seeded: Seeded) -> None:
    with seeded(fsync="off") as server:
        lines = (server.cluster / "postmaster.pid").read_text()
        socket_lines = (server.socket_dir / ".s.PGSQL.5432.lock").read_text()
        dead = str(server.pid)
    alive = str(os.getppid())
    (server.cluster / "postmaster.pid").write_text(lines.replace(dead, alive))
    (server.data_dir / "run").mkdir()
    (server.data_dir / "run" / ".s.PGSQL.5432.lock").write_text(socket_lines.replace(dead, alive))
    with server:
        assert ask(server, "SELECT 1") == 1


def test_a_killed_server_starts_again_at_the_same_place(seeded: Seeded) -> None:
    with seeded() as server:
        ask(server, "CREATE TABLE kept AS SELECT 'kept' AS value")
        url, killed = server.url, server.pid
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not server.alive)
        server.restart()
        assert server.alive
        assert server.pid != killed
        assert server.url == url
        assert ask(server, "SELECT value FROM kept") == "kept"


def test_a_damaged_cluster_is_an_error_and_lets_go_of_the_folder(seeded: Seeded) -> None:
    server = seeded()
    version = server.cluster / "PG_VERSION"
    good = version.read_text()
    version.write_text("1\n")
    with pytest.raises(Unavailable, match="not compatible") as caught:
        server.start()
    assert str(server.log) in str(caught.value)
    version.write_text(good)
    with server:
        assert ask(server, "SELECT 1") == 1


def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "cluster.new").mkdir()
    (tmp_path / "cluster.new" / "PG_VERSION").write_text("18\n")
    with PostgresServer(tmp_path, settings={"fsync": "off"}) as server:
        assert ask(server, "SELECT 1") == 1


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="cannot be used") as caught:
        PostgresServer(tmp_path / "file").start()
    assert caught.value.field == "data_dir"


def test_a_stopped_server_says_so(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path)
    server.stop()
    assert not server.alive
    with pytest.raises(Unavailable, match="stopped"):
        _ = server.url
    with pytest.raises(Unavailable, match="stopped"):
        _ = server.pid


def connect(server: PostgresServer, url: str, **other: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True, **other)  # type: ignore[arg-type]


def test_nobody_comes_in_without_a_password(seeded: Seeded) -> None:
    with seeded(fsync="off") as server:
        for user in ("mammodissect", "mammodissect_app", "mammodissect_service", "postgres"):
            with pytest.raises(psycopg.OperationalError, match=r"no password supplied|password authentication failed"):
                psycopg.connect(host=str(server.socket_dir), user=user, dbname="mammodissect")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(server, server.url, password="guessed")  # noqa: S106
        for file in ("owner-password", "cluster/pg_hba.conf"):
            assert stat.S_IMODE((server.data_dir / file).stat().st_mode) & 0o077 == 0
        assert (server.data_dir / "owner-password").read_text().strip() not in server.log.read_text()


@pytest.mark.parametrize("lost", ["rules", "password"])
def test_a_cluster_that_let_everybody_in_is_closed(seeded: Seeded, lost: str) -> None:
    with seeded(fsync="off") as server:
        ask(server, "CREATE TABLE kept AS SELECT 'kept' AS value")
    if lost == "rules":
        (server.cluster / "pg_hba.conf").write_text("local all all trust\n")
    else:
        (server.data_dir / "owner-password").unlink()
    with server:
        assert ask(server, "SELECT value FROM kept") == "kept"
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host=str(server.socket_dir), user="mammodissect", dbname="mammodissect")


BECOME_MORE = """
    SET ROLE mammodissect
    SET SESSION AUTHORIZATION mammodissect
    ALTER ROLE mammodissect_service SUPERUSER
    ALTER ROLE mammodissect_service CREATEROLE
    CREATE ROLE another SUPERUSER
    GRANT mammodissect TO mammodissect_service
    DELETE FROM trail
    UPDATE trail SET actor = 'nobody'
    TRUNCATE trail
    DELETE FROM audits
    UPDATE alembic_version SET version_num = '0001'
    ALTER TABLE trail DISABLE TRIGGER ALL
    DROP TABLE trail
    CREATE TABLE own (value int)
    CREATE FUNCTION own() RETURNS int LANGUAGE sql AS 'SELECT 1'
    CREATE SCHEMA own
    CREATE DATABASE own
    ALTER SYSTEM SET log_statement = 'all'
    COPY (SELECT 1) TO PROGRAM 'true'
    SELECT pg_read_file('pg_hba.conf')
    SELECT rolpassword FROM pg_authid
    SET session_replication_role = 'replica'
"""


@pytest.mark.parametrize("beginning", ["", "RESET ROLE", "SET ROLE mammodissect_app", "SET ROLE NONE"])
def test_the_services_login_cannot_become_more(postgres_server: PostgresServer, beginning: str) -> None:
    upgrade(postgres_server.url)
    url = postgres_server.admit_service()
    with connect(postgres_server, url) as connection:
        if beginning:
            connection.execute(beginning.encode())
        for attempt in filter(None, map(str.strip, BECOME_MORE.splitlines())):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject)):
                connection.execute(attempt.encode())
        owned = connection.execute(
            "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = 'mammodissect_service'"
        ).fetchone()
        assert owned == (0,)


def test_the_services_login_can_work(postgres_server: PostgresServer) -> None:
    upgrade(postgres_server.url)
    sessions = open_sessions(SecretStr(postgres_server.admit_service()))
    with transaction(sessions) as session:
        assert session.execute(text("SELECT current_user, session_user")).one() == (
            "mammodissect_app",
            "mammodissect_service",
        )
        assert session.execute(text("SELECT count(*) FROM jobs")).scalar_one() >= 0
    sessions.kw["bind"].dispose()


def login(database_url: str, user: str) -> URL:
    return make_url(database_url).set(username=user, password="hunting-season")  # noqa: S106


@pytest.mark.parametrize(("user", "words"), [("mammodissect", "owns"), ("", "does not contain a user")])
def test_a_login_that_is_not_fit(database_url: str, user: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        admit_login(database_url, login(database_url, user).render_as_string(hide_password=False))
    assert caught.value.remedy


@pytest.fixture
def stranger(database_url: str) -> Iterator[psycopg.Connection]:
    """The owner's connection, with a login and a group that are not ours; what it does to them is undone."""
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN")
        connection.execute("CREATE ROLE friends")
        yield connection
        connection.execute(f"REVOKE pg_execute_server_program FROM {APP_ROLE}")
        connection.execute("DROP OWNED BY stranger, friends CASCADE")
        connection.execute("DROP ROLE stranger, friends")


def function_of(connection: psycopg.Connection) -> str:
    row = connection.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY oid"
    ).fetchone()
    assert row is not None
    return str(row[0])


def admit_stranger(database_url: str) -> None:
    admit_login(database_url, login(database_url, "stranger").render_as_string(hide_password=False))


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("GRANT mammodissect TO stranger", "role mammodissect"),
        ("GRANT pg_execute_server_program TO stranger", "role pg_execute_server_program"),
        ("GRANT pg_read_server_files TO stranger WITH INHERIT FALSE, SET FALSE, ADMIN TRUE", "pg_read_server_files"),
        ("GRANT friends TO stranger; GRANT pg_monitor TO friends", "role friends, role pg_monitor"),
        (f"GRANT pg_execute_server_program TO {APP_ROLE}", "role pg_execute_server_program"),
        ("CREATE SCHEMA theirs AUTHORIZATION stranger", "schema theirs"),
        ("ALTER TABLE trail OWNER TO stranger", "table trail"),
        ("ALTER FUNCTION {function} OWNER TO stranger", "function"),
        ("ALTER DATABASE {database} OWNER TO stranger", "database"),
        ("GRANT DELETE ON trail TO stranger", "table trail"),
        ("GRANT UPDATE (action) ON trail TO stranger", "table trail"),
        ("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO stranger", "function pg_read_file"),
    ],
)
def test_a_login_that_could_become_more_is_not_admitted(
    database_url: str, stranger: psycopg.Connection, what: str, named: str
) -> None:
    names = {"database": stranger.info.dbname, "function": function_of(stranger)}
    stranger.execute(what.format(**names).encode())
    try:
        with pytest.raises(InvalidInput, match=named) as caught:
            admit_stranger(database_url)
        assert caught.value.remedy
    finally:
        stranger.execute("REASSIGN OWNED BY stranger TO mammodissect")


def test_what_a_login_owns_in_another_database_counts_too(
    postgres_server: PostgresServer, stranger: psycopg.Connection
) -> None:
    stranger.execute("CREATE TABLE theirs ()")
    stranger.execute("ALTER TABLE theirs OWNER TO stranger")
    service_url = login(postgres_server.url, "stranger").render_as_string(hide_password=False)
    with pytest.raises(InvalidInput, match=f"something in database {stranger.info.dbname}"):
        admit_login(postgres_server.url, service_url)


def test_a_login_that_may_connect_and_has_the_services_role_is_admitted(
    database_url: str, stranger: psycopg.Connection
) -> None:
    stranger.execute(f"GRANT CONNECT ON DATABASE {stranger.info.dbname} TO stranger".encode())
    stranger.execute(f"GRANT {APP_ROLE} TO stranger".encode())
    admit_stranger(database_url)


@pytest.mark.parametrize("url", ["nonsense", "postgres://u:secret-word@[h/d", "sqlite:///secret-word"])
def test_a_url_that_is_none_is_refused_by_its_own_name_and_without_its_password(database_url: str, url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^SERVICE_DATABASE_URL is not a Postgres URL") as caught:
        admit_login(database_url, url)
    assert caught.value.field == "service_database_url"
    assert "secret-word" not in f"{caught.value} {caught.value.value}"


@pytest.mark.parametrize("url", ["postgresql+psycopg://a:hidden@h:port/d", "mysql://a:hidden@h/d", "{url}?hidden=1"])
def test_a_login_in_a_url_that_cannot_be_used(database_url: str, url: str) -> None:
    with pytest.raises(InvalidInput, match="SERVICE_DATABASE_URL ") as caught:
        admit_login(database_url, url.format(url="postgresql+psycopg://a:hidden@h/d"))
    assert "hidden" not in str(caught.value)


def test_an_owner_that_is_no_superuser_makes_the_login(database_url: str, stranger: psycopg.Connection) -> None:
    stranger.execute("ALTER ROLE stranger CREATEROLE PASSWORD 'hunting-season'")
    stranger.execute(f"GRANT {APP_ROLE} TO stranger WITH ADMIN OPTION".encode())
    owner_url = login(database_url, "stranger").render_as_string(hide_password=False)
    service_url = login(database_url, "newcomer").render_as_string(hide_password=False)
    try:
        for _ in range(2):
            admit_login(owner_url, service_url)
        with psycopg.connect(service_url.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() is not None
    finally:
        stranger.execute("DROP ROLE IF EXISTS newcomer")


def test_a_login_that_may_not_migrate(empty_database_url: str, database_url: str) -> None:
    plain_url = login(empty_database_url, "department").render_as_string(hide_password=False)
    admit_login(database_url, login(database_url, "department").render_as_string(hide_password=False))
    with pytest.raises(Conflict, match="is not allowed to change the tables"):
        upgrade(plain_url)


def test_a_login_is_made_once_and_brought_up_to_date(database_url: str) -> None:
    service = login(database_url, "department").render_as_string(hide_password=False)
    for _ in range(2):
        admit_login(database_url, service)
    with psycopg.connect(service.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = 'department'").fetchone() == (False,)


def test_a_login_that_may_not_make_logins(database_url: str) -> None:
    plain_url = login(database_url, "department").render_as_string(hide_password=False)
    admit_login(database_url, plain_url)
    with pytest.raises(Conflict, match="is not allowed to create other logins") as caught:
        admit_login(plain_url, login(database_url, "other").render_as_string(hide_password=False))
    assert "CREATE ROLE other" in str(caught.value.remedy)
