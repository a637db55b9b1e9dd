"""HTTP servers in processes of their own, for benchmarks to ask: the API on a fresh database, and a baseline."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr
from sqlalchemy import text

from benchmarks.listed import register_listed
from cli.embedded import PostgresServer, ValkeyServer
from service.db.migrate import upgrade
from service.db.resources import add_resource, save_inspection
from service.db.session import open_sessions, transaction
from service.domain.resources import ResourceKind

JOB = {
    "target": "target",
    "dissector": "dissector",
    "probe_set": "probes",
    "concept_set": "bi-rads",
    "layers": ["blocks.0"],
}
"""A job on what `service_and_baseline` has registered."""


@contextmanager
def service_and_baseline(factory: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """The API on a database with the parts of a job, and the application that `module:function` builds beside it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(PostgresServer(folder / "postgres"))
        valkey = stack.enter_context(ValkeyServer(folder / "valkey"))
        upgrade(postgres.url)
        _register_parts(postgres.url)

        settings = {
            "DATABASE_URL": postgres.url,
            "BROKER_URL": valkey.url,
            "API_KEY": "benchmark",
            "DATA_ROOTS": str(folder),
            "LOG_LEVEL": "ERROR",
        }
        service = stack.enter_context(serving(["-m", "api"], settings))
        yield service, stack.enter_context(bare_server(factory, settings))


def _register_parts(url: str) -> None:
    sessions = open_sessions(SecretStr(url), pool_size=1, as_login=True)
    with transaction(sessions) as session:
        session.execute(text("CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body jsonb)"))
        target = add_resource(session, ResourceKind.MODEL, "target", "0", {"architecture": "a"})[0]
        save_inspection(session, target.id, layers=[{"name": "blocks.0", "units": 8, "kind": "Conv2d"}])
        add_resource(session, ResourceKind.DISSECTOR, "dissector", "0", {"path": "/x"})
        add_resource(session, ResourceKind.PROBE_SET, "probes", "0", {"patches": None, "images": 1000})
    register_listed(sessions)
    sessions.kw["bind"].dispose()


def bare_server(factory: str, settings: dict[str, str]) -> AbstractContextManager[httpx.Client]:
    """uvicorn with the application that `module:function` builds: the baseline."""
    return serving(["-m", "uvicorn", "--factory", factory, "--log-level", "critical"], settings)


@contextmanager
def serving(module: list[str], settings: dict[str, str]) -> Iterator[httpx.Client]:
    """A server process on a free port, and a client that keeps its connection."""
    port = _free_port()
    process = subprocess.Popen([sys.executable, *module, "--port", str(port)], env=os.environ | settings)
    headers = {"Authorization": "Bearer benchmark"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            _wait(client)
            yield client
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            client.get("/health/live")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the server did not start")
