"""Valkey as a child process."""

import os
import signal
import stat
from pathlib import Path

import psutil
import pytest
import redis
from kombu.connection import Connection

from cli.embedded import ValkeyServer
from service.errors import Conflict
from tests.embedded.processes import running, wait_until


def client_of(server: ValkeyServer) -> redis.Redis:
    return redis.Redis.from_url(server.redis_url, decode_responses=True)


def test_it_forgets_nothing_it_was_told(valkey_server: ValkeyServer) -> None:
    expected = {"appendonly": "yes", "maxmemory-policy": "noeviction", "port": "0", "unixsocketperm": "700"}
    with client_of(valkey_server) as client:
        assert {name: client.config_get(name)[name] for name in expected} == expected
        assert Path(client.config_get("dir")["dir"]).is_relative_to(valkey_server.data_dir)


def test_a_restart_finds_its_data(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "v") as server:
        first = server.pid
        with client_of(server) as client:
            client.rpush("kept", "a", "b")
    assert not running(first)
    with server, client_of(server) as client:
        assert server.pid != first
        assert client.lrange("kept", 0, -1) == ["a", "b"]


def test_a_killed_server_starts_again_at_the_same_place(tmp_path: Path) -> None:
    with ValkeyServer(tmp_path / "v") as server, client_of(server) as client:
        client.rpush("kept", "a")
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not server.alive)
        server.restart()
        assert server.alive
        assert client.lrange("kept", 0, -1) == ["a"]


def test_only_its_owner_can_reach_it(valkey_server: ValkeyServer) -> None:
    for path in (valkey_server.data_dir, valkey_server.socket_dir, valkey_server.socket_dir / "valkey.sock"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert psutil.Process(valkey_server.pid).net_connections("inet") == []


def test_the_folder_takes_one_server(valkey_server: ValkeyServer) -> None:
    with pytest.raises(Conflict, match="in use by process"):
        ValkeyServer(valkey_server.data_dir).start()
    assert valkey_server.alive


@pytest.mark.parametrize("name", ["plain", "a folder 100%25 'quo\"ted' käfer", "deep" * 25])
def test_celery_and_the_client_find_it_in_any_folder(tmp_path: Path, name: str) -> None:
    with ValkeyServer(tmp_path / name) as server:
        connection = Connection(server.broker_url(3))  # type: ignore[no-untyped-call]
        with connection, connection.SimpleQueue("jobs") as sent:  # type: ignore[no-untyped-call]
            sent.put("wake up")
        with redis.Redis.from_url(server.redis_url.replace("db=0", "db=3")) as client:
            assert client.llen("jobs") == 1
