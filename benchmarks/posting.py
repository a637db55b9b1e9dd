"""POST /jobs, against a bare FastAPI route that inserts one row and commits."""

import os
import statistics
import time
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import create_engine, text

from benchmarks.servers import JOB, service_and_baseline
from benchmarks.table import Row

_WARM_UP = 20
_ROUNDS = 600
_MOST = 2.5


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
    with service_and_baseline("benchmarks.posting:create_bare_app") as (service, bare):
        for _ in range(_WARM_UP):
            _post(service), _post(bare)

        slow, fast = [], []
        for _ in range(_ROUNDS):
            slow.append(_post(service))
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
