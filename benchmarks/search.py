"""GET /search/neurons over many jobs, against a bare FastAPI route that returns the same bytes, and against numpy."""

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import SecretStr
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from benchmarks.neuron_queries import BODY
from benchmarks.servers import bare_server, serving
from benchmarks.table import Row
from cli.embedded import PostgresServer
from service.db.direction_tables import LayerDirectionsRow, NeuronDirectionRow
from service.db.half_vectors import Vector
from service.db.migrate import upgrade
from service.db.session import Sessions, open_sessions, transaction
from service.db.tables import LayerRow
from service.db.text_embeddings import keep_texts
from service.domain.neurons import LayerDissection
from tests.db.realistic import CONCEPTS
from tests.usecases.factories import dissected_job, judged_neuron, neuron

NEURONS = int(os.environ.get("BENCHMARK_NEURONS", "1000000"))
"""An index of a million takes some minutes to build."""
JOBS, LAYERS_OF_JOB = 100, 10
WIDTH, GROUPS = 512, 300
PROMISED_S = 0.3
ROUNDS = 200
PAGE = 50


def run() -> list[Row]:
    random = np.random.default_rng(0)
    centres = random.normal(size=(GROUPS, WIDTH)).astype(np.float32)
    concepts = CONCEPTS.texts
    # A concept lies near some group, and far from it: texts and images lie apart.
    texts = centres[random.integers(0, GROUPS, len(concepts))] + random.normal(scale=2, size=(len(concepts), WIDTH))

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(PostgresServer(folder / "postgres", settings={"shared_buffers": "4GB"}))
        upgrade(server.url)
        owner = open_sessions(SecretStr(server.url), as_login=True)
        directions = _store(owner, centres, random)
        with transaction(owner) as session:
            keep_texts(session, "0", CONCEPTS.digest, "cpu", texts.astype(np.float32))
        owner.kw["bind"].dispose()

        settings = {
            "DATABASE_URL": server.url,
            "BROKER_URL": "redis://localhost:1",
            "API_KEY": "benchmark",
            "DATA_ROOTS": "/",
            "LOG_LEVEL": "ERROR",
        }
        ours = stack.enter_context(serving(["-m", "api"], settings))
        first = ours.get("/search/neurons", params={"concept": concepts[0], "limit": PAGE}).raise_for_status()
        (folder / "body").write_bytes(first.content)
        bare = stack.enter_context(
            bare_server("benchmarks.neuron_queries:create_bare_app", {BODY: str(folder / "body")})
        )
        job = next(iter(directions))
        rows = []
        for what, more in {
            "a known concept": "",
            "the same, min_z=0": "&min_z=0",
            "the same, of one job": f"&job={job}",
        }.items():
            paths = [
                str(httpx.URL("/search/neurons", params={"concept": each, "limit": PAGE})) + more for each in concepts
            ]
            rows += _rows(what, *_latencies(ours, bare, paths))
        rows.append(_recall(ours, concepts, texts, directions))
        return rows


def _rows(what: str, slow: Sequence[float], fast: Sequence[float]) -> list[Row]:
    name = f"GET /search/neurons among {NEURONS:,}, {what}"
    middle, bare_middle = statistics.median(slow), statistics.median(fast)
    p95 = statistics.quantiles(slow, n=20)[18]
    return [
        Row(f"{name}: p50", 1e3 * bare_middle, 1e3 * middle, "ms", middle / bare_middle),
        Row(
            f"{name}: p95 against the promise",
            1e3 * PROMISED_S,
            1e3 * p95,
            "ms",
            p95 / PROMISED_S,
            "at most 1",
            p95 <= PROMISED_S,
        ),
    ]


def _store(
    owner: Sessions, centres: NDArray[np.float32], random: np.random.Generator
) -> dict[UUID, NDArray[np.float16]]:
    """Jobs with light neurons, and their directions in the order of layers and units."""
    units = NEURONS // JOBS // LAYERS_OF_JOB
    neurons = tuple(judged_neuron(neuron(unit, 1.0), p=0.01, q=0.02, z=unit % 7 - 2.0) for unit in range(units))
    names = [f"blocks.{number}" for number in range(LAYERS_OF_JOB)]
    of_job: dict[UUID, NDArray[np.float16]] = {}

    with transaction(owner) as session:
        session.execute(text(f"DROP INDEX ix_neuron_directions_{WIDTH}"))
    for _ in range(JOBS):
        vectors = centres[random.integers(0, GROUPS, units * LAYERS_OF_JOB)]
        vectors = vectors + random.normal(scale=0.7, size=vectors.shape).astype(np.float32)
        directions = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        with transaction(owner) as session:
            layers = [LayerDissection(name, neurons) for name in names]
            job = dissected_job(session, layers, concept_set=CONCEPTS)
            _add(session, job, directions.reshape(LAYERS_OF_JOB, units, WIDTH))
        of_job[job] = directions

    with transaction(owner) as session:
        session.execute(text("SET LOCAL maintenance_work_mem = '3GB'"))
        session.execute(
            text(
                f"CREATE INDEX ix_neuron_directions_{WIDTH} ON neuron_directions USING hnsw "
                f"((direction::halfvec({WIDTH})) halfvec_cosine_ops) WHERE vector_dims(direction) = {WIDTH}"
            )
        )
    with transaction(owner) as session:
        session.execute(text("ANALYZE"))
    return of_job


def _add(session: Session, job: UUID, directions: NDArray[np.float16]) -> None:
    layers = session.scalars(select(LayerRow.id).where(LayerRow.job_id == job).order_by(LayerRow.position)).all()
    for layer_id, of_layer in zip(layers, directions, strict=True):
        values = {"layer_id": layer_id, "dissector": "0", "width": WIDTH, "neurons": len(of_layer)}
        session.execute(insert(LayerDirectionsRow).values(values))
        rows = [
            {"layer_id": layer_id, "unit": unit, "length": 1.0, "direction": direction}
            for unit, direction in enumerate(of_layer)
        ]
        session.execute(insert(NeuronDirectionRow), rows)


def _latencies(ours: httpx.Client, bare: httpx.Client, paths: Sequence[str]) -> tuple[list[float], list[float]]:
    """Seconds of each request to either side, in turns; each concept is asked for as if for the first time."""
    slow, fast = [], []
    for number in range(ROUNDS):
        path = paths[number % len(paths)]
        slow.append(_seconds(ours, path))
        fast.append(_seconds(bare, path))
    return slow, fast


def _seconds(client: httpx.Client, path: str) -> float:
    start = time.perf_counter()
    client.get(path).raise_for_status()
    return time.perf_counter() - start


def _recall(ours: httpx.Client, concepts: Sequence[str], texts: Vector, of_job: dict[UUID, NDArray[np.float16]]) -> Row:
    """The share of the nearest neurons, as numpy has them, that a page has."""
    shares = []
    for concept, wanted in list(zip(concepts, texts, strict=True))[:20]:
        path = httpx.URL("/search/neurons", params={"concept": concept, "limit": PAGE})
        last = ours.get(path).raise_for_status().json()["items"][-1]["cosine"]
        direction = wanted / np.linalg.norm(wanted)
        cosines = np.concatenate([vectors.astype(np.float32) @ direction for vectors in of_job.values()])
        # As many are nearer than the last of the page as numpy finds, and the page has 50 of them.
        shares.append(min(1.0, PAGE / max(PAGE, int((cosines > last + 1e-4).sum()))))
    share = statistics.mean(shares)
    return Row(
        "GET /search/neurons, the nearest 50 by numpy that are listed",
        1,
        share,
        "share",
        share,
        "at least 0.9",
        share >= 0.9,
    )
