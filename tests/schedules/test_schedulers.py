"""Real scheduler processes: killed at random they begin each audit once; and the program fires schedules."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

import workers.duties
import workers.repeating
from service.config import Settings
from service.db.session import Sessions, transaction
from service.db.work import claim_item
from tests.embedded.processes import wait_until
from tests.schedules import simulated
from tests.schedules.field import DAILY, Field
from tests.usecases.factories import leased, queued_job
from workers.repeating import repeating


def test_schedulers_that_are_killed_begin_each_audit_exactly_once(database_url: str) -> None:
    found = simulated.run(database_url, kills=6, days=2, seed=7)
    assert found.kills == 6
    assert found.due > 300
    assert found.wrong == {}


def test_the_scheduler_program_fires_schedules(
    field: Field, database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = field.schedule(replace(DAILY, cron="* * * * *"), now=datetime.now(UTC) - timedelta(minutes=10))
    settings = Settings(database_url=SecretStr(database_url), broker_url=SecretStr(broker_url), data_roots="/")
    monkeypatch.setattr(workers.duties, "open_audits", lambda *_: field.audits)
    monkeypatch.setattr(workers.duties, "EVERY_S", 0.02)
    stopped = threading.Event()
    program = threading.Thread(target=workers.duties.run, args=(settings, stopped))
    program.start()
    try:
        while not field.audited(schedule):
            stopped.wait(0.05)
    finally:
        stopped.set()
        program.join()
    assert len(field.audited(schedule)) == 1


def test_judging_an_audit_does_not_keep_it_from_looking_after_jobs(
    sessions: Sessions, database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judging, enough = threading.Event(), threading.Event()

    def judge_slowly(_: Sessions) -> None:
        judging.set()
        enough.wait(60)

    monkeypatch.setattr(workers.duties, "judge_ended_audits", judge_slowly)
    monkeypatch.setattr(workers.duties, "EVERY_S", 0.02)
    settings = Settings(database_url=SecretStr(database_url), broker_url=SecretStr(broker_url), data_roots="/")
    stopped = threading.Event()
    program = threading.Thread(target=workers.duties.run, args=(settings, stopped))
    program.start()
    try:
        assert judging.wait(30)
        with transaction(sessions) as session:
            queued_job(session)
            assert claim_item(session, "a worker that dies", timedelta(0)) is not None
        wait_until(lambda: not leased(sessions))
    finally:
        enough.set()
        stopped.set()
        program.join()


def test_what_fails_for_an_unknown_reason_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.repeating, "_PAUSE_S", 0.01)
    turns: list[None] = []

    def fail_twice() -> None:
        turns.append(None)
        if len(turns) < 3:
            raise ZeroDivisionError

    with repeating("count", fail_twice, every_s=0.01):
        wait_until(lambda: len(turns) > 3)
    ended = len(turns)
    threading.Event().wait(0.1)
    assert len(turns) == ended
