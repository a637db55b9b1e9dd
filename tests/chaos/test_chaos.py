"""Real workers on real servers, killed, starved, cancelled and misled: nothing is lost, nothing is done twice."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from cli.samples import write_samples
from service.db.session import open_sessions, transaction
from service.domain.jobs import JobStatus
from service.usecases.jobs import cancel_job, job_events
from tests.chaos.deadlines import cancelled_job_stopped, dead_worker_replaced
from tests.chaos.field import Field, open_field, register_all
from tests.chaos.plague import Accidents, Plague, run_jobs
from tests.chaos.races import race
from tests.chaos.real import dissect
from tests.chaos.sweep import sweep

LEASE_S = 2.0


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    folder = tmp_path_factory.mktemp("field")
    limits = {"lease_s": LEASE_S, "heartbeat_s": 0.3, "memory_limit_mb": 300, "max_attempts": 3, "grace_s": 1.0}
    with open_field(folder, **limits) as field:
        field.start(workers=2)
        yield field


def items(field: Field, job_id: object) -> int:
    with transaction(field.sessions) as session:
        return int(
            session.execute(
                text("SELECT count(*) FROM job_events WHERE job_id = :id AND kind = 'item'"), {"id": job_id}
            ).scalar_one()
        )


def ended(field: Field, job_id: object, status: JobStatus, patience_s: float = 60.0) -> None:
    field.wait(lambda: field.job(job_id).status is status, patience_s=patience_s)  # type: ignore[arg-type]


def test_nothing_is_lost_and_nothing_done_twice(tmp_path: Path) -> None:
    names = [f"job-{number}" for number in range(16)]
    with open_field(tmp_path / "calm") as calm:
        calm.start(workers=2)
        undisturbed = run_jobs(calm, names, patience_s=120)
    settings = {"lease_s": LEASE_S, "heartbeat_s": 0.3, "max_attempts": 50, "chaos_nap_s": 0.02}
    with open_field(tmp_path / "chaos", **settings) as field:
        field.start(workers=3, schedulers=2)
        accidents = Accidents(every_s=(0.5, 1.5), broker_crashes=1, database_crashes=1)
        with Plague(field, seed=1, accidents=accidents) as plague:
            disturbed = run_jobs(field, names, patience_s=240)
            while plague.broker_crashes + plague.database_crashes < 2:
                time.sleep(0.1)
        assert disturbed.results == undisturbed.results
        assert field.counts() == {JobStatus.SUCCEEDED: len(names)}
        with transaction(field.sessions) as session:
            layers, done = session.execute(
                text("SELECT (SELECT count(*) FROM layers), (SELECT count(*) FROM work_items WHERE status = 'done')")
            ).one()
        assert (layers, done) == (2 * len(names), 5 * len(names))
    assert plague.kills >= 8


def test_a_poison_job_ends_dead_and_harms_nobody(field: Field) -> None:
    poison, healthy = field.submit("poison"), field.submit("fine.a", "fine.b")
    ended(field, healthy, JobStatus.SUCCEEDED)
    ended(field, poison, JobStatus.DEAD)
    problem = field.job(poison).problem
    assert problem is not None
    assert problem["code"] == "given-up"
    assert "ended without a result" in problem["detail"]


def test_a_job_that_allocates_without_end_ends_dead(field: Field) -> None:
    hungry, healthy = field.submit("hungry"), field.submit("well.a", "well.b")
    ended(field, hungry, JobStatus.DEAD)
    problem = field.job(hungry).problem
    assert problem is not None
    assert "more memory than MEMORY_LIMIT_MB allows" in problem["detail"]
    ended(field, healthy, JobStatus.SUCCEEDED)


def test_an_error_that_lasts_fails_the_job_at_once(field: Field) -> None:
    broken = field.submit("broken")
    ended(field, broken, JobStatus.FAILED)
    job = field.job(broken)
    assert job.problem is not None
    assert (job.problem["code"], job.problem["field"]) == ("invalid-checkpoint", "checkpoint")


def test_a_cancelled_job_lets_its_workers_go(field: Field) -> None:
    cancelled_job_stopped(field)


def test_an_emptied_broker_loses_no_job(field: Field) -> None:
    for worker in field.workers:
        worker.send(signal.SIGSTOP)
    jobs = [field.submit(f"wiped-{number}.a") for number in range(5)]
    field.wipe_broker()
    assert field.queue.waiting() == 0
    for worker in field.workers:
        worker.send(signal.SIGCONT)
    for job in jobs:
        ended(field, job, JobStatus.SUCCEEDED)


def test_a_dead_workers_item_is_taken_by_another(field: Field) -> None:
    dead_worker_replaced(field)


def test_a_stopped_holder_that_goes_on_after_its_lease_changes_nothing(field: Field) -> None:
    job = field.submit("late.a", "late.b")
    stopped: set[int] = set()
    while not field.ended([job] * sum(field.counts().values())):
        with transaction(field.sessions) as session:
            holders = session.execute(
                text("SELECT worker FROM work_items WHERE status = 'leased' AND job_id = :id"), {"id": job}
            ).scalars()
            pids = {int(holder.rsplit("/", 1)[1]) for holder in holders}
        for pid in pids - stopped if len(stopped) < 3 else ():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(LEASE_S + 1.5)
            os.kill(pid, signal.SIGCONT)
            stopped.add(pid)
    assert stopped, "nobody was caught holding an item"
    assert field.job(job).status is JobStatus.SUCCEEDED
    assert items(field, job) == 4, "two shards and two layers, each finished once"


def test_a_worker_told_to_stop_hands_its_item_back(field: Field) -> None:
    slow = field.submit("slow", shard_size=100)
    field.wait(lambda: any(stage.started_at for stage in field.job(slow).progress), patience_s=60)
    with transaction(field.sessions) as session:
        holder = session.execute(text("SELECT worker FROM work_items WHERE status = 'leased'")).scalar_one()
    os.kill(int(holder.rsplit("/", 1)[1]), signal.SIGTERM)

    def handed_on() -> bool:
        with transaction(field.sessions) as session:
            row = session.execute(
                text("SELECT fence, attempt, worker FROM work_items WHERE job_id = :id"), {"id": slow}
            ).one()
            return bool(row.fence == 2 and row.attempt == 1 and row.worker != holder)

    field.wait(handed_on, patience_s=30)
    with transaction(field.sessions) as session:
        cancel_job(session, slow)


def test_the_history_tells_of_accidents(field: Field) -> None:
    poison = field.submit("poison", shard_size=100)
    ended(field, poison, JobStatus.DEAD)
    with transaction(field.sessions) as session:
        _, events = job_events(session, poison, after=0)
    kinds = [event.kind if event.kind != "status" else event.data["status"] for event in events]
    assert kinds == ["queued", "running", "accident", "accident", "dead"]


def test_a_holder_that_was_stopped_past_its_lease_is_always_refused(database_url: str) -> None:
    sessions = open_sessions(SecretStr(database_url), pool_size=1)
    register_all(sessions)
    sessions.kw["bind"].dispose()
    tally = race(database_url, races=40, seed=3)
    assert (tally.races, tally.refused, tally.stale) == (40, 40, 0)


@pytest.mark.timeout(1_200)  # forty workers start and die one after another, on a machine that may be busy
def test_a_worker_may_die_at_any_statement(database_url: str, tmp_path: Path) -> None:
    *killed, undisturbed = sweep(database_url, tmp_path / "artifacts", shards=1, layers=1)
    assert len(killed) > 40, "every statement of the path was a crash point"
    assert not undisturbed["died"]
    for outcome in killed:
        assert outcome == {**undisturbed, "point": outcome["point"], "died": True}
    assert (undisturbed["status"], undisturbed["done_twice"]) == ("succeeded", 0)


def test_a_real_dissection_comes_out_the_same_however_often_its_worker_dies(tmp_path: Path) -> None:
    files = write_samples(tmp_path / "samples", phantoms=60, seed=11)
    calm, _ = dissect(tmp_path / "calm", files, kills=0)
    disturbed, kills = dissect(tmp_path / "killed", files, kills=2)
    assert kills == 2
    assert disturbed == calm
