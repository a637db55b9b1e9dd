"""Schedulers on simulated time: the clock is a row that goes on, and back at times; processes die by SIGKILL."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from random import Random
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text

from service.db.session import Sessions, open_sessions, transaction
from service.domain.cron import fires_between
from service.domain.schedules import MOST_CAUGHT_UP, CatchUp, FireOutcome, Overlap, Schedule
from service.errors import Unavailable
from tests.schedules.field import DAILY, Field, fire_due
from tests.schedules.written_audits import WrittenAudits, audited, make_table

START = datetime(2026, 3, 27, tzinfo=UTC)
SCHEDULERS = 3
TABLE = (
    ("*/15 * * * *", "UTC"),
    ("30 2 * * *", "Europe/Berlin"),
    ("0 * * * *", "Australia/Lord_Howe"),
    ("*/20 1-3 * * *", "America/New_York"),
    ("5,35 * * * *", "Asia/Kolkata"),
    ("0 0 * * MON,TUE", "Africa/Casablanca"),
)


@dataclass(frozen=True)
class Found:
    """What happened: fires that were due, kills, and every fire that was not audited and recorded exactly once."""

    due: int
    kills: int
    wrong: Mapping[str, Sequence[datetime]]


def scheduler(database_url: str) -> None:
    """Look at the simulated clock, fire what is due, again and again until killed."""
    sessions = open_sessions(SecretStr(database_url), pool_size=1)
    audits = WrittenAudits(takes_s=0.002)  # long enough to be killed in the midst of it
    while True:
        try:
            fire_due(sessions, audits, _clock(sessions))
        except Unavailable:
            continue
        time.sleep(0.005)


def run(database_url: str, *, kills: int, days: int, seed: int) -> Found:
    """Simulate `days` with three schedulers, one of which is killed every now and then; each begins again at once."""
    source = Random(seed)
    sessions = open_sessions(SecretStr(database_url))
    make_table(sessions)
    field = Field(sessions, WrittenAudits())
    terms = replace(DAILY, catch_up=CatchUp.ALL, catch_up_max=MOST_CAUGHT_UP, overlap=Overlap.CANCEL_OLD)
    made = [
        field.schedule(replace(terms, cron=cron, zone=zone), name=f"number-{number}", now=START)
        for number, (cron, zone) in enumerate(TABLE)
    ]
    with transaction(sessions) as session:
        session.execute(text("SET LOCAL ROLE NONE"))  # the service's role makes no tables
        session.execute(text("CREATE TABLE simulated_clock (now timestamptz NOT NULL)"))
        session.execute(text("INSERT INTO simulated_clock VALUES (:now)"), {"now": START})
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.schedules.simulated"])

    def begin() -> ForkServerProcess:
        process = context.Process(target=scheduler, args=(database_url,), daemon=True)
        process.start()
        return process

    running = [begin() for _ in range(SCHEDULERS)]
    try:
        killed = 0
        now = latest = START
        while killed < kills or latest < START + timedelta(days=days):
            if source.random() < 0.05 and killed < kills:
                victim = source.randrange(SCHEDULERS)
                running[victim].kill()
                running[victim].join()
                running[victim] = begin()
                killed += 1
            back = source.random() < 0.1
            now += timedelta(minutes=-source.uniform(0, 120)) if back else _step(source, sessions, now)
            latest = max(latest, now)
            _set_clock(sessions, now)
            time.sleep(source.uniform(0.0, 0.01))
        _set_clock(sessions, latest)
        _wait(sessions, latest)
    finally:
        for process in running:
            process.kill()
            process.join()
    found = _compare(sessions, made, latest, killed)
    sessions.kw["bind"].dispose()
    return found


def _compare(sessions: Sessions, made: Sequence[Schedule], until: datetime, kills: int) -> Found:
    wrong: dict[str, list[datetime]] = {}
    due = 0
    for schedule in made:
        expected = list(fires_between(schedule.terms.cron, schedule.terms.zone, START, until))
        due += len(expected)
        begun = [fire_time for fire_time, _ in audited(sessions, schedule.id)]
        recorded = _recorded(sessions, schedule.id)
        if not begun == recorded == expected:
            counts = [Counter(begun), Counter(recorded), Counter(expected)]
            wrong[schedule.name] = sorted(
                {at for one, other in pairwise(counts) for at in (one - other) | (other - one)}
            )
    return Found(due, kills, wrong)


def _recorded(sessions: Sessions, schedule_id: UUID) -> list[datetime]:
    statement = "SELECT fire_time FROM fires WHERE schedule_id = :id AND outcome = :started ORDER BY fire_time"
    with transaction(sessions) as session:
        rows = session.scalars(text(statement), {"id": schedule_id, "started": FireOutcome.STARTED})
        return [at.astimezone(UTC) for at in rows]


def _step(source: Random, sessions: Sessions, now: datetime) -> timedelta:
    """Up to forty minutes, but no further than catch-up can follow the slowest schedule."""
    with transaction(sessions) as session:
        behind: datetime = session.execute(
            text("SELECT min(looked_at) FROM schedules WHERE cron LIKE '*/15%'")
        ).scalar_one()
    return timedelta(minutes=source.uniform(0, 40) if now - behind < timedelta(hours=20) else 0)


def _clock(sessions: Sessions) -> datetime:
    with transaction(sessions) as session:
        now: datetime = session.execute(text("SELECT now FROM simulated_clock")).scalar_one()
        return now.astimezone(UTC)


def _set_clock(sessions: Sessions, now: datetime) -> None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE simulated_clock SET now = :now"), {"now": now})


def _wait(sessions: Sessions, until: datetime) -> None:
    """Until nothing is due any more."""
    while True:
        with transaction(sessions) as session:
            statement = "SELECT count(*) FROM schedules WHERE next_fire_at <= :now"
            if session.execute(text(statement), {"now": until}).scalar_one() == 0:
                return
        time.sleep(0.02)
