"""Claiming work items, beside a bare `FOR UPDATE SKIP LOCKED` on a table of ids: claims a second of four workers."""

import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.table import Row
from cli.embedded import PostgresServer
from service.db.migrate import upgrade
from service.db.session import open_sessions
from service.db.work import claim_item
from tests.usecases.factories import queued_job

_WORKERS = 4
_ITEMS = 12_000
_GOAL = 1000
_BARE = text(
    "UPDATE bare SET taken = true WHERE id = "
    "(SELECT id FROM bare WHERE NOT taken ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id"
)


def claim_bare(session: Session) -> object:
    """What no claim can do without."""
    return session.execute(_BARE).scalar()


def claim(session: Session) -> object:
    """The service's claim."""
    return claim_item(session, "bench", timedelta(minutes=5))


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, PostgresServer(Path(folder)) as postgres:
        upgrade(postgres.url)
        _fill(postgres.url)
        bare, ours = (_rate(postgres.url, kind) for kind in (claim_bare, claim))
    name = f"claims of {_WORKERS} workers, against a bare SKIP LOCKED"
    return [Row(name, bare, ours, "claims/s", ours / bare, f">= {_GOAL} claims/s", ours >= _GOAL)]


def _fill(url: str) -> None:
    sessions = open_sessions(SecretStr(url), pool_size=1, as_login=True)
    with sessions.begin() as session:
        session.execute(text("CREATE TABLE bare (id int PRIMARY KEY, taken bool NOT NULL DEFAULT false)"))
        session.execute(text("CREATE INDEX ON bare (id) WHERE NOT taken"))
        session.execute(text("INSERT INTO bare SELECT generate_series(1, :n)"), {"n": _ITEMS})
        for queue in range(4):
            queued_job(session, images=_ITEMS // 4, shards=_ITEMS // 4, queue=f"q{queue}")
    with sessions.begin() as session:
        session.execute(text("ANALYZE"))
    sessions.kw["bind"].dispose()


def _rate(url: str, kind: Callable[[Session], object]) -> float:
    """Claims a second, all workers together, until nothing is left."""
    context = get_context("spawn")
    barrier = context.Barrier(_WORKERS + 1)
    with context.Pool(_WORKERS, initializer=_prepare, initargs=(url, barrier)) as pool:
        counts = pool.map_async(_claim_all, [kind] * _WORKERS, chunksize=1)
        barrier.wait()
        begun = time.perf_counter()
        total = sum(counts.get())
        seconds = time.perf_counter() - begun
    if total != _ITEMS:
        raise AssertionError(f"{total} claims of {_ITEMS} items")
    return total / seconds


_state: dict[str, object] = {}


def _prepare(url: str, barrier: Barrier) -> None:
    _state.update(sessions=open_sessions(SecretStr(url), pool_size=1), barrier=barrier)


def _claim_all(kind: Callable[[Session], object]) -> int:
    sessions, barrier = _state["sessions"], _state["barrier"]
    with sessions.begin() as session:  # type: ignore[attr-defined]
        session.execute(text("SELECT 1"))
    barrier.wait()  # type: ignore[attr-defined]
    claimed = 0
    while True:
        with sessions.begin() as session:  # type: ignore[attr-defined]
            if kind(session) is None:
                return claimed
        claimed += 1
