"""`make chaos`: the proof at full size. Prints a table; exits with 1 where anything was lost, repeated or different.

A real dissection whose worker is killed five times; dead workers and cancelled jobs against the clock; 1,000 races of
stopped holders; the crash-point sweep; 200 random cancels under kills; and for each seed 500 jobs of five work items,
workers killed every 1 to 5 seconds, the broker emptied three times, the database crashed twice, against the same jobs
undisturbed.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from cli.embedded import PostgresServer
from service.db.migrate import upgrade
from service.db.session import open_sessions, transaction
from service.domain.jobs import JobStatus
from service.errors import Conflict, Unavailable
from service.usecases.jobs import cancel_job
from tests.chaos.deadlines import cancelled_job_stopped, dead_worker_replaced
from tests.chaos.field import Field, open_field, register_all
from tests.chaos.plague import Accidents, Harvest, Plague, run_jobs
from tests.chaos.races import race
from tests.chaos.real import killed_dissection
from tests.chaos.sweep import sweep

WORKERS = 6
PATIENCE_S = 1800.0
SETTINGS = {"lease_s": 3.0, "heartbeat_s": 0.5, "max_attempts": 50, "chaos_nap_s": 0.08}
LONGEST_RATIO = 1.5

Row = tuple[str, str, bool]


def undisturbed(folder: Path, names: list[str]) -> Harvest:
    with open_field(folder, **SETTINGS) as field:
        field.start(workers=WORKERS, schedulers=2)
        return run_jobs(field, names, patience_s=PATIENCE_S)


def disturbed(folder: Path, names: list[str], seed: int, calm: Harvest) -> list[Row]:
    with open_field(folder, **SETTINGS) as field:
        field.start(workers=WORKERS, schedulers=2)
        with Plague(field, seed, Accidents()) as plague:
            harvest = run_jobs(field, names, patience_s=PATIENCE_S)
        lost = len(names) - field.counts().get(JobStatus.SUCCEEDED, 0)
        repeated = _repeated(field)
        different = sum(harvest.results[name] != calm.results[name] for name in names)
    crashes = plague.broker_crashes, plague.database_crashes
    what = f"seed {seed}: {plague.kills} worker kills, {crashes[0]} of the broker, {crashes[1]} of the database"
    ratio = harvest.seconds / calm.seconds
    return [
        (what, f"{lost} lost, {repeated} repeated, {different} different", lost + repeated + different == 0),
        (
            "  kills",
            str(plague.kills),
            plague.kills >= 45 and crashes == (3, 2),
        ),
        ("  time", f"{harvest.seconds:.0f} s, {ratio:.2f} x undisturbed", ratio <= LONGEST_RATIO),
    ]


def cancels(folder: Path, seed: int) -> list[Row]:
    """200 cancels at random moments of 300 jobs while workers are killed: none that was acknowledged is undone."""
    source = random.Random(seed)
    with open_field(folder, **SETTINGS) as field:
        field.start(workers=WORKERS, schedulers=2)
        jobs = [field.submit_patiently(f"c{number}.a", f"c{number}.b") for number in range(300)]
        with Plague(field, seed, Accidents()):
            acknowledged = _cancel_some(field, jobs, source)
            field.wait(lambda: field.ended(jobs), patience_s=PATIENCE_S)
        found = {job: field.job(job).status for job in jobs}
        repeated = _repeated(field)
    undone = sum(found[job] is not JobStatus.CANCELLED for job in acknowledged)
    others = sum(found[job] is not JobStatus.SUCCEEDED for job in set(jobs) - acknowledged)
    outcome = f"{len(acknowledged)} acknowledged, {undone} undone, {others} others harmed, {repeated} repeated"
    return [("200 cancels under kills", outcome, undone + others + repeated == 0)]


def _cancel_some(field: Field, jobs: Sequence[UUID], source: random.Random) -> set[UUID]:
    acknowledged = set()
    for job in source.sample(jobs, 200):
        time.sleep(source.uniform(0.0, 0.4))
        while True:
            try:
                with transaction(field.sessions) as session:
                    cancel_job(session, job)
            except Unavailable:
                time.sleep(0.1)
                continue
            except Conflict:
                break
            acknowledged.add(job)
            break
    return acknowledged


def deadlines(folder: Path) -> list[Row]:
    """Five dead workers and five cancelled jobs, each noticed in time."""
    with open_field(folder, lease_s=2.0, heartbeat_s=0.3) as field:
        field.start(workers=2)
        replaced = max(dead_worker_replaced(field) for _ in range(5))
        stopped = max(cancelled_job_stopped(field) for _ in range(5))
    return [
        ("dead workers", f"replaced within {replaced:.1f} s with leases of 2 s", replaced <= 2.0 + 5.0),
        ("cancelled jobs", f"the job behind them done within {stopped:.1f} s", stopped <= 2.0 + 1.0),
    ]


def races(folder: Path, seed: int) -> list[Row]:
    with PostgresServer(folder / "postgres") as postgres:
        upgrade(postgres.url)
        sessions = open_sessions(SecretStr(postgres.url), pool_size=1)
        register_all(sessions)
        sessions.kw["bind"].dispose()
        tally = race(postgres.url, races=1000, seed=seed)
    outcome = f"{tally.races} races, {tally.refused} refused, {tally.stale} stale commits"
    return [("stopped holders", outcome, tally.refused == tally.races and tally.stale == 0)]


def crash_points(folder: Path) -> list[Row]:
    with PostgresServer(folder / "postgres") as postgres:
        upgrade(postgres.url)
        *killed, calm = sweep(postgres.url, folder / "artifacts", shards=2, layers=2)
    bad = sum(outcome != {**calm, "point": outcome["point"], "died": True} for outcome in killed)
    whole = calm["status"] == JobStatus.SUCCEEDED and not calm["died"] and calm["done_twice"] == 0
    return [("crash points", f"{len(killed)} points, {bad} jobs that differ", bad == 0 and whole and len(killed) > 60)]


def _repeated(field: Field) -> int:
    """Items that were finished more than once, and layers beyond two a job that succeeded."""
    twice = text(
        "SELECT count(*) FROM "
        "(SELECT 1 FROM job_events WHERE kind = 'item' GROUP BY job_id, data HAVING count(*) > 1) t"
    )
    extra = text("SELECT count(*) FROM (SELECT 1 FROM layers GROUP BY job_id HAVING count(*) <> 2) t")
    with transaction(field.sessions) as session:
        return int(session.execute(twice).scalar_one()) + int(session.execute(extra).scalar_one())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Nothing is lost.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=500)
    arguments = parser.parse_args()
    names = [f"job-{number}" for number in range(arguments.jobs)]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as root:
        folder = Path(root)

        def report(new: list[Row]) -> None:
            rows.extend(new)
            for what, outcome, well in new:
                print(f"{'ok ' if well else 'BAD'} {what}: {outcome}", flush=True)

        report(killed_dissection(folder / "real"))
        report(deadlines(folder / "deadlines"))
        report(races(folder / "races", arguments.seeds[0]))
        report(crash_points(folder / "sweep"))
        report(cancels(folder / "cancels", arguments.seeds[0]))
        calm = undisturbed(folder / "calm", names)
        report([("undisturbed", f"{len(names)} jobs in {calm.seconds:.0f} s", True)])
        for seed in arguments.seeds:
            report(disturbed(folder / f"seed-{seed}", names, seed, calm))
    table = Table("what", "outcome", "well")
    for what, outcome, well in rows:
        table.add_row(what, outcome, "yes" if well else "[red]no")
    Console(width=140).print(table)
    return 0 if all(well for _, _, well in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
