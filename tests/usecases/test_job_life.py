"""The whole life of jobs, in any order of events: a state machine that hypothesis drives against the database."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.db.session import Sessions, transaction
from service.domain.jobs import ENDED, LEGAL_MOVES, JobStatus, Stage
from service.domain.work import Lease
from service.errors import Conflict, LeaseLost, ProblemFields
from service.usecases import work
from service.usecases.jobs import cancel_job, find_job, retry_job
from tests.usecases.factories import RecordingQueue, queued_job, taken

MAX_ATTEMPTS = 3
PROBLEM: ProblemFields = {"code": "x", "title": "x", "detail": "x"}
OPEN_ITEMS = text("SELECT count(*) FROM work_items WHERE job_id = :job AND status IN ('ready', 'leased')")
NEARLY_EXPIRED = text("UPDATE work_items SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE id = :id")


class JobLife(RuleBasedStateMachine):
    """Two jobs, any number of workers that may be late, and a model that knows who holds what."""

    sessions: Sessions

    @initialize()
    def post(self) -> None:
        self.queue = RecordingQueue()
        with transaction(self.sessions) as session:
            session.execute(text("DELETE FROM jobs"))
            self.jobs = [queued_job(session, shards=2).id for _ in range(2)]
        self.seen = dict.fromkeys(self.jobs, JobStatus.QUEUED)
        self.holders: dict[UUID, Lease] = {}
        self.stale: list[Lease] = []
        self.finished: set[tuple[UUID, Stage, int]] = set()

    def do(self, action: Callable[[Session], object]) -> None:
        with transaction(self.sessions) as session:
            action(session)

    def write(self, lease: Lease) -> None:
        if lease.stage is Stage.STORE:
            self.do(lambda session: work.complete_job(session, lease, {}, {"layers": []}))
        else:
            self.do(lambda session: work.complete_item(session, self.queue, lease, {"layers": ["a"]}))

    def drop_holders(self, job_id: UUID) -> None:
        gone = [lease for lease in self.holders.values() if lease.job_id == job_id]
        self.stale += gone
        for lease in gone:
            del self.holders[lease.item_id]

    @rule()
    def claim(self) -> None:
        with transaction(self.sessions) as session:
            session.execute(text("UPDATE work_items SET ready_at = clock_timestamp() WHERE status = 'ready'"))
            lease = taken(session)
        if lease is None:
            return
        assert lease.item_id not in self.holders
        assert (lease.job_id, lease.stage, lease.position) not in self.finished
        assert lease.attempt <= MAX_ATTEMPTS
        self.do(lambda session: self.expect(work.begin_item(session, lease)))
        self.holders[lease.item_id] = lease

    def expect(self, holds: bool) -> None:
        assert holds

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.holders.values(), key=str)))
        self.write(lease)
        del self.holders[lease.item_id]
        self.finished.add((lease.job_id, lease.stage, lease.position))

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.holders.values(), key=str)))
        self.do(lambda session: work.try_again(session, lease, PROBLEM, max_attempts=MAX_ATTEMPTS))
        del self.holders[lease.item_id]
        if lease.attempt == MAX_ATTEMPTS:
            self.drop_holders(lease.job_id)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.holders.values(), key=str)))
        self.do(lambda session: work.fail_job(session, lease, PROBLEM))
        self.drop_holders(lease.job_id)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def fall_silent(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.holders.values(), key=str)))
        self.do(lambda session: session.execute(NEARLY_EXPIRED, {"id": lease.item_id}))
        work.reap(self.sessions, max_attempts=MAX_ATTEMPTS)
        del self.holders[lease.item_id]
        self.stale.append(lease)
        if lease.attempt == MAX_ATTEMPTS:
            self.drop_holders(lease.job_id)

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def come_back_late(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.stale, key=str)))
        with pytest.raises(LeaseLost):
            self.write(lease)

    @rule(which=st.integers(0, 1))
    def cancel(self, which: int) -> None:
        job_id = self.jobs[which]
        legal = JobStatus.CANCELLED in LEGAL_MOVES[self.seen[job_id]] or self.seen[job_id] is JobStatus.CANCELLED
        try:
            self.do(lambda session: cancel_job(session, job_id))
        except Conflict:
            assert not legal
        else:
            assert legal
            self.drop_holders(job_id)

    @rule(which=st.integers(0, 1))
    def retry(self, which: int) -> None:
        job_id = self.jobs[which]
        legal = self.seen[job_id] in {JobStatus.FAILED, JobStatus.DEAD}
        try:
            self.do(lambda session: retry_job(session, self.queue, job_id))
        except Conflict:
            assert not legal
        else:
            assert legal

    @invariant()
    def every_job_is_where_it_may_be(self) -> None:
        with transaction(self.sessions) as session:
            for job_id in self.jobs:
                job = find_job(session, job_id)
                before = self.seen[job_id]
                reachable = {before} | LEGAL_MOVES[before]
                assert job.status in reachable
                self.seen[job_id] = job.status
                still_open = session.execute(OPEN_ITEMS, {"job": job_id}).scalar_one()
                assert (still_open == 0) is (job.status in ENDED), "a job without open items has ended, and only that"
                assert (job.finished_at is not None) is (job.status in ENDED)
                assert (job.manifest is not None) is (job.status is JobStatus.SUCCEEDED)


def test_no_order_of_events_loses_or_repeats_anything(sessions: Sessions) -> None:
    JobLife.sessions = sessions
    run_state_machine_as_test(
        JobLife,
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
