"""POST /jobs, against a bare FastAPI route that inserts one row and commits."""

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from benchmarks.servers import bare_server, serving
from benchmarks.table import Row
from cli.embedded import PostgresServer, ValkeyServer
from service.db.migrate import upgrade
from service.db.resources import add_resource, save_inspection
from service.db.session import open_sessions, transaction
from service.domain.resources import ResourceKind

_WARM_UP = 20
_ROUNDS = 600
_MOST = 2.5
JOB = {
    "target": "target",
    "dissector": "dissector",
    "probe_set": "probes",
    "concept_set": "bi-rads",
    "layers": ["blocks.0"],
}


def create_bare_app() -> FastAPI:
    """One route: the body becomes a row."""
    app = FastAPI()
    engine = create_engine(os.environ["DATABASE_URL"])

    @app.post("/{_path:path}")
    def insert(_path: str, body: dict[str, Any]) -> dict[str, Any]:
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO bare (body) VALUES (CAST(:body AS jsonb))"), {"body": str(len(body))})
        return body

    return app


def run() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(PostgresServer(folder / "postgres"))
        valkey = stack.enter_context(ValkeyServer(folder / "valkey"))
        upgrade(postgres.url)
        register(postgres.url)
        settings = {
            "DATABASE_URL": postgres.url,
            "BROKER_URL": valkey.url,
            "API_KEY": "benchmark",
            "DATA_ROOTS": "/",
            "LOG_LEVEL": "ERROR",
        }
        ours = stack.enter_context(serving(["-m", "api"], settings))
        bare = stack.enter_context(bare_server("benchmarks.posting:create_bare_app", settings))
        for _ in range(_WARM_UP):
            _post(ours), _post(bare)
        slow, fast = [], []
        for _ in range(_ROUNDS):
            slow.append(_post(ours))
            fast.append(_post(bare))
    middle = Row("POST /jobs: p50", 1e3 * _p50(fast), 1e3 * _p50(slow), "ms", _p50(slow) / _p50(fast))
    ratio = _p99(slow) / _p99(fast)
    return [
        middle,
        Row("POST /jobs: p99", 1e3 * _p99(fast), 1e3 * _p99(slow), "ms", ratio, f"< {_MOST}", ratio < _MOST),
    ]


def _p50(seconds: list[float]) -> float:
    return statistics.median(seconds)


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def _post(client: httpx.Client) -> float:
    start = time.perf_counter()
    client.post("/jobs", json=JOB).raise_for_status()
    return time.perf_counter() - start


def register(url: str) -> None:
    sessions = open_sessions(SecretStr(url), pool_size=1, as_login=True)
    with transaction(sessions) as session:
        session.execute(text("CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body jsonb)"))
        target = add_resource(session, ResourceKind.MODEL, "target", "0", {"architecture": "a"})[0]
        save_inspection(session, target.id, layers=[{"name": "blocks.0", "units": 8, "kind": "Conv2d"}])
        add_resource(session, ResourceKind.DISSECTOR, "dissector", "0", {"path": "/x"})
        add_resource(session, ResourceKind.PROBE_SET, "probes", "0", {"images": 1000})
    sessions.kw["bind"].dispose()
