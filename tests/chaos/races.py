"""Races between a holder that was stopped past its lease and the one that has its item now.

`python -m tests.chaos.races DATABASE_URL` is the holder: it claims, says so, stops itself with SIGSTOP, and once it is
continued tries to finish what it thinks is still its own.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from pydantic import SecretStr
from sqlalchemy import text

from service.db.session import Sessions, open_sessions, transaction
from service.domain.work import Lease
from service.errors import LeaseLost
from service.usecases.work import begin_item, complete_item, reap
from tests.chaos.field import IMAGES, ROOT, post_job
from tests.usecases.factories import RecordingQueue, taken

SHORT = timedelta(milliseconds=20)
LONG = timedelta(minutes=5)
LATE = {"layers": ["late"]}
FINISHED = text("SELECT fence, result FROM work_items WHERE id = :id AND status = 'done'")


def take(sessions: Sessions, lease: timedelta) -> Lease | None:
    with transaction(sessions) as session:
        claimed = taken(session, "racer", lease)
    if claimed is not None:
        with transaction(sessions) as session:
            begin_item(session, claimed)
    return claimed


def finish(sessions: Sessions, lease: Lease, result: dict[str, list[str]]) -> bool:
    """Was the result taken?"""
    try:
        with transaction(sessions) as session:
            complete_item(session, RecordingQueue(), lease, result)
    except LeaseLost:
        return False
    return True


def hold(database_url: str) -> None:
    sessions = open_sessions(SecretStr(database_url), pool_size=1)
    for _ in sys.stdin:
        lease = take(sessions, SHORT)
        assert lease is not None
        print(lease.fence, flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        print("taken" if finish(sessions, lease, LATE) else "refused", flush=True)


@dataclass
class Tally:
    """How the races ended."""

    races: int = 0
    refused: int = 0
    stale: int = 0


def race(database_url: str, *, races: int, seed: int) -> Tally:
    """Run races; half of the items are finished by their new holder before the old one wakes, half after."""
    source, tally = Random(seed), Tally()
    sessions = open_sessions(SecretStr(database_url), pool_size=1)
    command = [sys.executable, "-m", "tests.chaos.races", database_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        try:
            for _ in range(races):
                _race_once(sessions, holder, tally, early=source.random() < 0.5)
        finally:
            holder.kill()  # it may be stopped, and then nothing else ends it
    sessions.kw["bind"].dispose()
    return tally


def _race_once(sessions: Sessions, holder: subprocess.Popen[str], tally: Tally, *, early: bool) -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    post_job(sessions, "raced", shard_size=IMAGES)
    print("go", file=holder.stdin, flush=True)
    fence = int(holder.stdout.readline())
    fresh = _reclaim(sessions)
    assert fresh.fence == fence + 1
    if early:
        assert finish(sessions, fresh, {"layers": []})
    _continue(holder.pid)
    tally.refused += holder.stdout.readline().strip() == "refused"
    if not early:
        assert finish(sessions, fresh, {"layers": []})
    tally.races += 1
    tally.stale += _is_stale(sessions, fresh)


def _reclaim(sessions: Sessions) -> Lease:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        reap(sessions, max_attempts=100)
        if (fresh := take(sessions, LONG)) is not None:
            return fresh
        time.sleep(0.005)
    raise AssertionError("the item was not reclaimed")


def _continue(pid: int) -> None:
    """Wake the holder; it may still be on its way to stopping itself."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0]
        if state == "T":
            os.kill(pid, signal.SIGCONT)
            return
        time.sleep(0.001)
    raise AssertionError("the holder did not stop")


def _is_stale(sessions: Sessions, fresh: Lease) -> bool:
    with transaction(sessions) as session:
        # The store item that follows belongs to nobody's race.
        session.execute(text("UPDATE work_items SET status = 'withdrawn' WHERE status = 'ready'"))
        fence, result = session.execute(FINISHED, {"id": fresh.item_id}).one()
    return bool(fence != fresh.fence or result == LATE)


if __name__ == "__main__":
    hold(sys.argv[1])
