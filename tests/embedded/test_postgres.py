"""Postgres as a child process."""

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from cli.embedded import PostgresServer
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
