"""Real scheduler processes: killed at random they begin each audit once; and the program fires schedules."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

import workers.scheduler
from service.config import Settings
from tests.schedules import simulated
from tests.schedules.field import DAILY, Field


def test_schedulers_that_are_killed_begin_each_audit_exactly_once(database_url: str) -> None:
    found = simulated.run(database_url, kills=6, days=2, seed=7)
    assert found.kills == 6
    assert found.due > 300
    assert found.wrong == {}


def test_the_scheduler_program_fires_schedules(
    field: Field, database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = field.schedule(replace(DAILY, cron="* * * * *"), now=datetime.now(UTC) - timedelta(minutes=10))
    settings = Settings(database_url=SecretStr(database_url), broker_url=SecretStr(broker_url))
    monkeypatch.setattr(workers.scheduler, "open_audits", lambda _: field.audits)
    monkeypatch.setattr(workers.scheduler, "EVERY_S", 0.02)
    stopped = threading.Event()
    program = threading.Thread(target=workers.scheduler.run, args=(settings, stopped))
    program.start()
    try:
        while not field.audited(schedule):
            stopped.wait(0.05)
    finally:
        stopped.set()
        program.join()
    assert len(field.audited(schedule)) == 1
