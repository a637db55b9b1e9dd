"""GET /neurons/{layer} at 100,000 neurons, against a bare FastAPI route that returns the same bytes."""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx
from fastapi import FastAPI, Response
from pydantic import SecretStr

from benchmarks.servers import bare_server, serving
from benchmarks.table import Row
from cli.embedded import PostgresServer
from service.db.migrate import upgrade
from service.db.session import open_sessions, transaction
from service.domain.neurons import LayerDissection, Neuron, RankedConcept
from tests.db.realistic import CONCEPTS, realistic_neurons
from tests.usecases.factories import dissected_job

NEURONS = 100_000
DIFFERENT = 1_000
"""Neurons with figures of their own; the others differ in unit and scores."""
MOST_BYTES = 60_000
ROUNDS = 400
CLIENTS = 8
BODY = "BENCHMARK_BODY"


def create_bare_app() -> FastAPI:
    """One route that reads nothing and computes nothing."""
    app = FastAPI()
    body = Path(os.environ[BODY]).read_bytes()

    @app.get("/{_path:path}")
    def answer(_path: str) -> Response:
        return Response(body, media_type="application/json")

    return app


def run() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(PostgresServer(folder / "postgres"))
        upgrade(server.url)
        job = _store(server.url)
        settings = {
            "DATABASE_URL": server.url,
            "BROKER_URL": "redis://localhost:1",
            "API_KEY": "benchmark",
            "DATA_ROOTS": "/",
            "LOG_LEVEL": "ERROR",
        }
        ours = stack.enter_context(serving(["-m", "api"], settings))
        path = f"/neurons/blocks.0?job={job}&limit=50"
        (folder / "body").write_bytes(ours.get(path).raise_for_status().content)
        bare = stack.enter_context(
            bare_server("benchmarks.neuron_queries:create_bare_app", {BODY: str(folder / "body")})
        )
        rows = [_size((folder / "body").stat().st_size)]
        middle = ours.get(path).json()["next"]
        for what, query in {"first page": path, "a later page": f"{path}&cursor={middle}"}.items():
            slow, fast = _latencies(ours, bare, query)
            rows.append(_row(f"GET /neurons, {what} of 50: p50", statistics.median(fast), statistics.median(slow)))
            rows.append(_row(f"GET /neurons, {what} of 50: p99", _p99(fast), _p99(slow)))
        baseline, measured = _rate(bare, path), _rate(ours, path)
        rows.append(Row(f"GET /neurons, {CLIENTS} clients", baseline, measured, "requests/s", measured / baseline))
        return rows


def _size(page: int) -> Row:
    """Bytes of a page beside what is promised of it."""
    name = "GET /neurons, a page of 50 against the promise"
    return Row(name, MOST_BYTES / 1e3, page / 1e3, "kB", page / MOST_BYTES, "at most 1", page <= MOST_BYTES)


def _row(name: str, baseline: float, measured: float) -> Row:
    return Row(name, 1e3 * baseline, 1e3 * measured, "ms", measured / baseline)


def _p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def _store(database_url: str) -> UUID:
    """A layer of neurons as heavy as real ones, each unit with a score of its own."""
    models = list(realistic_neurons(DIFFERENT))
    neurons = [
        replace(models[unit % DIFFERENT], unit=unit, concepts=_scored(models[unit % DIFFERENT], unit))
        for unit in range(NEURONS)
    ]
    sessions = open_sessions(SecretStr(database_url))
    with transaction(sessions) as session:
        job = dissected_job(session, [LayerDissection("blocks.0", tuple(neurons))], concept_set=CONCEPTS)
    sessions.kw["bind"].dispose()
    return job


def _scored(model: Neuron, unit: int) -> tuple[RankedConcept, ...]:
    return tuple(replace(concept, score=unit % 997 - rank / 10) for rank, concept in enumerate(model.concepts))


def _latencies(ours: httpx.Client, bare: httpx.Client, path: str) -> tuple[list[float], list[float]]:
    """Seconds of each request to either side, in turns."""
    slow, fast = [], []
    for _ in range(ROUNDS):
        slow.append(_seconds(ours, path))
        fast.append(_seconds(bare, path))
    return slow, fast


def _seconds(client: httpx.Client, path: str) -> float:
    start = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - start


def _rate(client: httpx.Client, path: str) -> float:
    """Requests per second with several clients at once."""
    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda _: client.get(path).raise_for_status(), range(ROUNDS)))
    return ROUNDS / (time.perf_counter() - start)
