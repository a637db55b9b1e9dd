"""A burst of requests on the API, against a bare FastAPI application with a pooled session as a dependency.

500 equal GETs of every list, 200 event streams, 180 clients that send slowly and 20 that do not read an answer of over
8 MB, 200 equal POSTs with one idempotency key. Of equal requests all must be answered, of different ones a fifth. The
baseline gets a fifth of the readers: its threads wait for connections whose holders wait for threads, and with more of
them it would be silent for minutes.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from benchmarks.crowd import NO_ANSWER, Answer, Crowd, large_concept_set, p50, p99, statuses
from benchmarks.listed import lists_of
from benchmarks.servers import JOB, service_and_baseline
from benchmarks.table import Row

_JOBS = 60
_READERS = 500
_BASELINE_READERS = 100
_FOLLOWERS = 200
_SLOW_SENDERS = 180
_SLOW_READERS = 20
_POSTERS = 200
_SLOWEST_P99_S = 2.0
_RECOVERY_S = 1.0
_SHARE_OF_DIFFERENT = 0.2


def create_bare_app() -> FastAPI:
    """One route that lists jobs, as the documentation of FastAPI and SQLAlchemy would have it."""
    app = FastAPI()
    engine = create_engine(os.environ["DATABASE_URL"])

    def open_session() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    @app.get("/jobs")
    def list_jobs(session: Annotated[Session, Depends(open_session)]) -> list[dict[str, Any]]:
        rows = session.execute(text("SELECT id, status, options FROM jobs ORDER BY id DESC LIMIT 50"))
        return [dict(row._mapping) for row in rows]

    return app


def run() -> list[Row]:
    with service_and_baseline("benchmarks.burst:create_bare_app") as (service, bare):
        (dissected,) = service.get("/jobs").json()["items"]
        for _ in range(_JOBS):
            service.post("/jobs", json=JOB).raise_for_status()
        service.post("/concept-sets", json=large_concept_set("large")).raise_for_status()

        lists = lists_of(UUID(dissected["id"]))
        return asyncio.run(_measure(_crowd(service.base_url.port), _crowd(bare.base_url.port), lists))


def _crowd(port: int | None) -> Crowd:
    return Crowd(port or 80, "benchmark")


async def _measure(ours: Crowd, bare: Crowd, lists: Sequence[str]) -> list[Row]:
    baseline = await bare.all_at_once("/jobs", _BASELINE_READERS)
    base = p99(baseline)
    counted = " ".join(f"{status}:{count}" for status, count in sorted(statuses(baseline).items()))
    rows = [Row(f"burst: {_BASELINE_READERS} GET /jobs of the bare application ({counted}): p99", base, base, "s", 1.0)]
    for path in lists:
        answers = await ours.all_at_once(path, _READERS)
        rows += [_row(f"burst: {_READERS} GET {path}", base, answers), await _recovery(ours, base)]

    different = await asyncio.gather(*(ours.ask(f"/jobs?limit={number}") for number in range(1, _READERS + 1)))
    rows += [
        _row(f"burst: {_READERS} different GET /jobs", base, different, share=_SHARE_OF_DIFFERENT),
        await _recovery(ours, base),
    ]

    posted = await ours.all_at_once(
        "/jobs", _POSTERS, json.dumps(JOB).encode(), "Idempotency-Key: burst", "Content-Type: application/json"
    )
    jobs = {answer.json()["id"] for answer in posted if answer.status == 202}
    rows += [
        _row(f"burst: {_POSTERS} equal POSTs", base, posted),
        Row("burst: jobs of the equal POSTs", 1, len(jobs), "jobs", len(jobs), "= 1", len(jobs) == 1),
        Row(
            "burst: equal POSTs answered 202", _POSTERS, statuses(posted)[202], "answers",
            statuses(posted)[202] / _POSTERS, "= 1", statuses(posted)[202] == _POSTERS,
        ),
    ]  # fmt: skip
    return rows + await _beside_slow_ones(ours, base, next(iter(jobs)))


async def _beside_slow_ones(ours: Crowd, base: float, job: str) -> list[Row]:
    """All of it at the same time: streams that stay open, slow senders and readers, and readers who want an answer."""
    async with asyncio.TaskGroup() as group:
        streams = [group.create_task(_follow(ours, job)) for _ in range(_FOLLOWERS)]
        senders = [
            group.create_task(ours.open(ours.head("POST", "/policies", "Content-Length: 1000") + b"{"))
            for _ in range(_SLOW_SENDERS)
        ]
        readers = [
            group.create_task(ours.read_slowly(f"/concept-sets/large?reader={number}"))
            for number in range(_SLOW_READERS)
        ]
    followed = [stream.result()[0] for stream in streams]
    answers = await ours.all_at_once("/jobs", _READERS)
    live = await ours.all_at_once("/health/live", 20)
    ready = await ours.all_at_once("/health/ready", _READERS)
    rows = [
        _row(f"burst: {_FOLLOWERS} event streams, first event", base, followed),
        _row(f"burst: {_READERS} GET /jobs beside streams and slow clients", base, answers),
        _row("burst: GET /health/live beside them", base, live),
        _row(f"burst: {_READERS} GET /health/ready beside them", base, ready),
        await _recovery(ours, base),
    ]
    for opened in (*senders, *readers):
        opened.result()[1].close()
    for stream in streams:
        stream.result()[1].close()
    return rows


async def _follow(ours: Crowd, job: str) -> tuple[Answer, asyncio.StreamWriter]:
    """Open a stream and wait for its first event."""
    began = time.perf_counter()
    reader, writer = await ours.open(ours.head("GET", f"/jobs/{job}/events"))
    first = await reader.readuntil(b"event: ")
    return Answer(int(first.split(b" ", 2)[1]), time.perf_counter() - began), writer


async def _recovery(ours: Crowd, base: float) -> Row:
    """How long it is from the end of a burst to an ordinary answer."""
    began = time.perf_counter()
    status = NO_ANSWER
    while status != 200:
        status = (await ours.ask("/jobs?limit=1")).status
    seconds = time.perf_counter() - began
    return Row("burst: recovery", base, seconds, "s", seconds / base, f"< {_RECOVERY_S} s", seconds < _RECOVERY_S)


def _row(name: str, base: float, answers: list[Answer], *, share: float = 1.0) -> Row:
    """The slowest of the crowd; missed where too few had an answer, or one was told anything but to come again."""
    counts = statuses(answers)
    counted = " ".join(f"{status}:{count}" for status, count in sorted(counts.items()))
    slowest = p99(answers)
    answered = (counts[200] + counts[202]) / len(answers)
    is_right = not set(counts) - {200, 202, 503} and answered >= share and slowest < _SLOWEST_P99_S
    label = f"{name} ({counted}; p50 {p50(answers):.2f} s): p99"
    return Row(label, base, slowest, "s", slowest / base, f"< {_SLOWEST_P99_S} s, {share:.0%} answered", is_right)
