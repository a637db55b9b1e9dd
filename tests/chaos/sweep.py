"""`python -m tests.chaos.sweep DATABASE_URL ARTIFACTS_URL SHARDS LAYERS`: a job per crash point, killed and finished.

The whole path of a worker (host and computation) runs in one process that is forked for each point and killed with
SIGKILL before its n-th statement or commit. A second fork goes on. One JSON line a point: status, digests, repetitions.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import event, text

from service.config import Settings
from service.db.session import open_sessions, transaction
from service.domain.jobs import JobStatus
from service.usecases.jobs import find_job
from service.usecases.work import reap
from tests.chaos.field import IMAGES, ROOT, post_job, register_all
from tests.chaos.runner import HashingRunner
from tests.pipelines.inline_child import inline_host

EXPIRE = text("UPDATE work_items SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE status = 'leased'")
DONE_TWICE = text(
    "SELECT count(*) FROM (SELECT data FROM job_events WHERE job_id = :id AND kind = 'item' GROUP BY data "
    "HAVING count(*) > 1) AS twice"
)


def in_a_fork(settings: Settings, action: Callable[[Settings], None]) -> bool:
    """Run it in a forked process; False where that was killed."""
    child = os.fork()
    if child == 0:
        action(settings)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def work(settings: Settings, *, die_at: int | None = None) -> None:
    """Do what is ready; die before the statement or commit with that number."""
    sessions = open_sessions(settings.database_url)
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    for moment in ("before_cursor_execute", "commit"):
        event.listen(sessions.kw["bind"], moment, count)
    inline_host(sessions, settings, HashingRunner(settings)).work()


def prepare(settings: Settings) -> None:
    register_all(open_sessions(settings.database_url))


def judge(settings: Settings, job_id: UUID) -> dict[str, object]:
    sessions = open_sessions(settings.database_url)
    with transaction(sessions) as session:
        job = find_job(session, job_id)
        repeated = session.execute(DONE_TWICE, {"id": job_id}).scalar_one()
    return {"status": job.status, "results": dict((job.manifest or {}).get("results", {})), "done_twice": repeated}


def sweep_point(settings: Settings, point: int, *, shards: int, layers: int) -> tuple[bool, dict[str, object]]:
    """Was there such a point, and what became of the job that was killed there?"""
    sessions = open_sessions(settings.database_url)
    with transaction(sessions) as session:  # nothing may be found that an earlier point has left
        session.execute(text("DELETE FROM artifacts"))
    job_id = post_job(sessions, *(f"swept.{layer}" for layer in range(layers)), shard_size=-(-IMAGES // shards))
    died = not in_a_fork(settings, lambda settings: work(settings, die_at=point))
    with transaction(sessions) as session:
        session.execute(EXPIRE)
    reap(sessions, max_attempts=100)
    sessions.kw["bind"].dispose()
    assert in_a_fork(settings, work), "nothing kills the second one"
    return died, judge(settings, job_id)


def sweep(database_url: str, artifacts: Path, *, shards: int, layers: int) -> list[dict[str, Any]]:
    """The outcomes of all points in order; the last one is that of the job that nothing killed."""
    arguments = [database_url, artifacts.as_uri(), str(shards), str(layers)]
    command = [sys.executable, "-m", "tests.chaos.sweep", *arguments]
    swept = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=280)
    return [json.loads(line) for line in swept.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    settings = Settings(
        database_url=SecretStr(sys.argv[1]), artifacts_url=sys.argv[2], heartbeat_s=60.0, data_roots="/"
    )
    os.environ["CHAOS_NAP_S"] = "0"
    prepare(settings)
    point, died = 0, True
    while died:
        point += 1
        died, outcome = sweep_point(settings, point, shards=int(sys.argv[3]), layers=int(sys.argv[4]))
        print(json.dumps({"point": point, "died": died, **outcome}), flush=True)
        if outcome["status"] != JobStatus.SUCCEEDED:
            break


if __name__ == "__main__":
    main()
