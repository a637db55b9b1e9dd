"""Work items: claims, leases, fences, turns, and what becomes of a job through its items."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.db import work as queries
from service.db.checks import make_items_wait
from service.db.session import Sessions, transaction
from service.domain.jobs import Job, JobStatus, Stage
from service.domain.work import Lease
from service.errors import LeaseLost, ProblemFields
from service.ports import WORK_TASK
from service.usecases import work
from service.usecases.jobs import cancel_job, find_job, retry_job
from service.usecases.reconcile import reconcile
from tests.usecases.factories import RecordingQueue, queued_job, taken

LEASE = timedelta(seconds=30)
PROBED = {"layers": ["a", "b"]}
CRASH: ProblemFields = {"code": "worker-crashed", "title": "Computation lost", "detail": "The process ended."}
RESULT: dict[str, list[str]] = {"layers": []}


def claim(sessions: Sessions) -> Lease | None:
    with transaction(sessions) as session:
        return taken(session, lease=LEASE)


def begun(sessions: Sessions) -> Lease:
    """The next item, its job running."""
    lease = claim(sessions)
    assert lease is not None
    with transaction(sessions) as session:
        assert work.begin_item(session, lease)
    return lease


def post(sessions: Sessions, **kind: object) -> Job:
    with transaction(sessions) as session:
        return queued_job(session, **kind)  # type: ignore[arg-type]


def status(sessions: Sessions, job: Job) -> JobStatus:
    with transaction(sessions) as session:
        return find_job(session, job.id).status


def complete(sessions: Sessions, lease: Lease, queue: RecordingQueue | None = None) -> None:
    with transaction(sessions) as session:
        if lease.stage is Stage.STORE:
            work.complete_job(session, lease, {"device": "cpu"}, RESULT)
        else:
            work.complete_item(session, queue or RecordingQueue(), lease, PROBED)


def expire(sessions: Sessions, lease: Lease) -> None:
    with transaction(sessions) as session:
        session.execute(
            text("UPDATE work_items SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE id = :id"),
            {"id": lease.item_id},
        )


def test_a_job_goes_through_its_stages(sessions: Sessions) -> None:
    job, queue = post(sessions, shards=2), RecordingQueue()
    first, second = begun(sessions), begun(sessions)
    assert claim(sessions) is None
    assert status(sessions, job) is JobStatus.RUNNING
    complete(sessions, second, queue)
    assert claim(sessions) is None, "scoring waits for every shard"
    complete(sessions, first, queue)
    assert queue.published == [(WORK_TASK, job.id)], "one wakes the next"
    scores = [begun(sessions), begun(sessions)]
    assert [(lease.stage, lease.label) for lease in scores] == [(Stage.SCORE, "a"), (Stage.SCORE, "b")]
    for lease in scores:
        complete(sessions, lease, queue)
    store = begun(sessions)
    assert store.stage is Stage.STORE
    complete(sessions, store)
    assert status(sessions, job) is JobStatus.SUCCEEDED
    assert claim(sessions) is None


def test_a_job_without_a_readable_image_still_reaches_its_end(sessions: Sessions) -> None:
    post(sessions)
    lease = begun(sessions)
    with transaction(sessions) as session:
        work.complete_item(session, RecordingQueue(), lease, {"layers": []})
    assert begun(sessions).stage is Stage.STORE


def test_many_claim_at_once_and_none_gets_what_another_has(sessions: Sessions) -> None:
    post(sessions, images=60, shards=60)
    with ThreadPoolExecutor(6) as threads:
        leases = list(threads.map(lambda _: claim(sessions), range(72)))
    taken = Counter(lease.item_id for lease in leases if lease is not None)
    assert len(taken) == 60
    assert set(taken.values()) == {1}


def test_a_holder_that_was_thought_lost_changes_nothing(sessions: Sessions) -> None:
    job = post(sessions, shards=2)
    stale = begun(sessions)
    expire(sessions, stale)
    assert work.reap(sessions, max_attempts=5) == [job.id]
    fresh = begun(sessions)
    assert (fresh.item_id, fresh.attempt, fresh.fence) == (stale.item_id, 2, stale.fence + 1)
    late: list[Callable[[Session], None]] = [
        lambda session: work.complete_item(session, RecordingQueue(), stale, PROBED),
        lambda session: work.fail_job(session, stale, CRASH),
        lambda session: work.try_again(session, stale, CRASH, max_attempts=1),
        lambda session: work.try_again(session, stale, CRASH, max_attempts=9),
        lambda session: work.hand_back(session, RecordingQueue(), stale),
    ]
    for action in late:
        with pytest.raises(LeaseLost), transaction(sessions) as session:
            action(session)
    with transaction(sessions) as session:
        assert not queries.extend_lease(session, stale, LEASE, done=1)
        assert queries.extend_lease(session, fresh, LEASE, done=1)
    assert status(sessions, job) is JobStatus.RUNNING


def test_a_lease_lasts_as_long_as_its_heartbeats(sessions: Sessions) -> None:
    job = post(sessions)
    lease = begun(sessions)
    assert work.reap(sessions, max_attempts=5) == []
    with transaction(sessions) as session:
        queries.extend_lease(session, lease, timedelta(seconds=-1), done=0)
    assert work.reap(sessions, max_attempts=5) == [job.id]


def test_an_item_that_never_sent_a_heartbeat_expires_too(sessions: Sessions) -> None:
    job = post(sessions)
    with transaction(sessions) as session:
        assert queries.claim_item(session, "tester", timedelta(seconds=-1)) is not None
    assert work.reap(sessions, max_attempts=5) == [job.id]


def test_lost_workers_end_a_job_after_the_last_attempt(sessions: Sessions) -> None:
    job, other = post(sessions, shards=2), post(sessions)
    for attempt in range(1, 4):
        lease = begun(sessions)
        assert (lease.job_id, lease.attempt) == (job.id, attempt)
        expire(sessions, lease)
        work.reap(sessions, max_attempts=3)
    with transaction(sessions) as session:
        dead = find_job(session, job.id)
    assert dead.status is JobStatus.DEAD
    assert dead.problem is not None
    assert dead.problem["code"] == "given-up"
    assert "tried 3 times" in dead.problem["detail"]
    assert begun(sessions).job_id == other.id, "the others go on"


def test_an_item_that_nobody_has_begun_is_not_given_up(sessions: Sessions) -> None:
    job = post(sessions)
    for expected in (1, 2, 3, 3, 3):
        lease = claim(sessions)
        assert lease is not None
        assert lease.attempt == expected
        expire(sessions, lease)
        assert work.reap(sessions, max_attempts=3) == [job.id]
    assert status(sessions, job) is JobStatus.QUEUED
    begun(sessions)
    assert status(sessions, job) is JobStatus.RUNNING


def test_an_accident_is_tried_again_a_little_later_and_then_given_up(sessions: Sessions) -> None:
    job = post(sessions)
    for attempt in range(1, 4):
        lease = begun(sessions)
        with transaction(sessions) as session:
            work.try_again(session, lease, CRASH, max_attempts=3)
        assert claim(sessions) is None, "not at once"
        with transaction(sessions) as session:
            waits = session.execute(
                text("SELECT extract(epoch FROM ready_at - clock_timestamp()) FROM work_items WHERE status = 'ready'")
            ).scalars()
            assert [0.0 < wait <= 0.5 * 2 ** (attempt - 1) for wait in waits] == [True] * (attempt < 3)
            session.execute(text("UPDATE work_items SET ready_at = clock_timestamp()"))
    assert status(sessions, job) is JobStatus.DEAD


def test_a_retried_job_goes_on_where_it_stopped(sessions: Sessions) -> None:
    job = post(sessions, shards=2)
    complete(sessions, begun(sessions))
    with transaction(sessions) as session:
        lease = taken(session)
        assert lease is not None
        work.fail_job(session, lease, CRASH)
    assert claim(sessions) is None
    assert status(sessions, job) is JobStatus.FAILED
    with transaction(sessions) as session:
        retry_job(session, RecordingQueue(), job.id)
    again = begun(sessions)
    assert (again.item_id, again.attempt) == (lease.item_id, 1)
    assert again.fence > lease.fence
    assert claim(sessions) is None, "the other shard is done"


def test_an_item_handed_back_was_no_attempt(sessions: Sessions) -> None:
    job, queue = post(sessions), RecordingQueue()
    lease = begun(sessions)
    with transaction(sessions) as session:
        work.hand_back(session, queue, lease)
    assert queue.published == [(WORK_TASK, job.id)]
    assert begun(sessions).attempt == 1


def test_nothing_of_a_cancelled_job_is_kept_or_begun(sessions: Sessions) -> None:
    job = post(sessions, shards=3)
    running, claimed = begun(sessions), claim(sessions)
    assert claimed is not None
    with transaction(sessions) as session:
        cancel_job(session, job.id)
        assert not queries.extend_lease(session, running, LEASE, done=0), "the heartbeat tells the worker"
        assert not work.begin_item(session, claimed)
    with pytest.raises(LeaseLost):
        complete(sessions, running)
    assert claim(sessions) is None
    assert status(sessions, job) is JobStatus.CANCELLED


def test_departments_take_turns(sessions: Sessions) -> None:
    post(sessions, images=60, shards=6, queue="radiology")
    post(sessions, images=60, shards=6, queue="radiology")
    research = post(sessions, images=30, shards=3, queue="research")
    order = [lease.job_id for lease in (claim(sessions) for _ in range(15)) if lease is not None]
    assert [position for position, job_id in enumerate(order) if job_id == research.id] == [1, 3, 5]


def test_a_queue_that_comes_late_does_not_wait_for_all_of_before(sessions: Sessions) -> None:
    post(sessions, images=60, shards=20, queue="radiology")
    for _ in range(10):
        claim(sessions)
    late = post(sessions, images=30, shards=3, queue="research")
    following = [claim(sessions) for _ in range(8)]
    assert [lease is not None and lease.job_id == late.id for lease in following].count(True) == 3


def test_a_job_that_waits_for_a_check_does_not_say_what_turn_it_is(sessions: Sessions) -> None:
    waiting = post(sessions, shards=4, queue="screening")
    with transaction(sessions) as session:
        make_items_wait(session, waiting.id)
    post(sessions, images=60, shards=20, queue="radiology")
    for _ in range(10):
        claim(sessions)
    late = post(sessions, images=60, shards=6, queue="research")
    following = [claim(sessions) for _ in range(6)]
    assert [lease is not None and lease.job_id == late.id for lease in following].count(True) == 3


def test_priority_goes_before_turns(sessions: Sessions) -> None:
    post(sessions, shards=4)
    urgent = post(sessions, shards=2, priority=1)
    leases = [claim(sessions) for _ in range(3)]
    assert [lease is not None and lease.job_id == urgent.id for lease in leases] == [True, True, False]


def test_the_reconciler_sends_what_the_broker_lost(sessions: Sessions) -> None:
    job, queue = post(sessions, images=60, shards=20), RecordingQueue()
    reconcile(sessions, queue, max_attempts=5)
    assert queue.published == [], "fresh items have their own messages"
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET ready_at = ready_at - interval '1 minute'"))
    reconcile(sessions, queue, max_attempts=5)
    assert queue.published == [(WORK_TASK, job.id)] * 16
    reconcile(sessions, queue, max_attempts=5)
    assert len(queue.published) == 16, "messages do not pile up while all workers are busy"
    queue.taken = 3
    reconcile(sessions, queue, max_attempts=5)
    assert len(queue.published) == 19


def test_the_reconciler_wakes_a_worker_at_once_for_what_it_frees(sessions: Sessions) -> None:
    job, queue = post(sessions), RecordingQueue()
    expire(sessions, begun(sessions))
    reconcile(sessions, queue, max_attempts=5)
    assert queue.published == [(WORK_TASK, job.id)]


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_workers_own_clock_decides_nothing(sessions: Sessions, monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """A host whose clock jumps holds its leases as long as any other: all times are the database's."""
    post(sessions)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours)
    lease = begun(sessions)
    with transaction(sessions) as session:
        assert queries.extend_lease(session, lease, LEASE, done=1)
    assert work.reap(sessions, max_attempts=5) == []
    with transaction(sessions) as session:
        left = session.execute(text("SELECT lease_expires_at - clock_timestamp() FROM work_items")).scalar_one()
    assert timedelta(seconds=20) < left <= LEASE


def test_the_databases_clock_may_jump(sessions: Sessions) -> None:
    """Forward: leases expire early, an item is done again, and its first holder is refused. Nothing is lost."""
    job = post(sessions)
    early = begun(sessions)
    expire(sessions, early)
    work.reap(sessions, max_attempts=5)
    again = begun(sessions)
    complete(sessions, again)
    with pytest.raises(LeaseLost):
        complete(sessions, early)
    for _ in PROBED["layers"]:
        complete(sessions, begun(sessions))
    complete(sessions, begun(sessions))
    assert status(sessions, job) is JobStatus.SUCCEEDED
