"""The job's legal moves, in the domain and in the database; the reconciler."""

from datetime import timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from service.db.jobs import add_job, get_job, move_job, record_progress
from service.db.resources import get_resource
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus, Progress, Stage, check_move
from service.errors import Conflict, NotFound
from service.usecases.jobs import cancel_job, find_job, reconcile
from tests.service.factories import RecordingQueue, queued_job

Q, R, S, F, C = JobStatus
LEGAL = {(Q, R), (Q, C), (R, S), (R, F), (R, C)}
PATH: dict[JobStatus, list[JobStatus]] = {Q: [], R: [R], S: [R, S], F: [R, F], C: [C]}


@pytest.mark.parametrize(("current", "following"), list(product(JobStatus, JobStatus)))
def test_every_pair_of_statuses(sessions: Sessions, current: JobStatus, following: JobStatus) -> None:
    with transaction(sessions) as session:
        job = queued_job(session)
        for step in PATH[current]:
            assert move_job(session, job.id, step)
        moved = move_job(session, job.id, following)
        assert moved is ((current, following) in LEGAL)
        assert find_job(session, job.id).status is (following if moved else current)
    if not moved:
        with pytest.raises(Conflict):
            check_move(current, following)


def test_the_database_refuses_a_status_it_does_not_know(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session)
    with pytest.raises(Exception, match="ck_jobs_status"), sessions.begin() as session:
        session.execute(text("UPDATE jobs SET status = 'lost' WHERE id = :id"), {"id": job.id})


def test_progress_is_kept_per_stage_and_says_when_to_stop(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session)
        assert not record_progress(session, job.id, Progress(Stage.LOAD, 0, 1)), "a queued job makes no progress"
        move_job(session, job.id, R)
        assert record_progress(session, job.id, Progress(Stage.LOAD, 1, 1))
        assert record_progress(session, job.id, Progress(Stage.PROBE, 8, 24))
        assert record_progress(session, job.id, Progress(Stage.PROBE, 16, 24))
    with transaction(sessions) as session:
        stages = find_job(session, job.id).progress
        assert [(stage.stage, stage.done, stage.total) for stage in stages] == [
            (Stage.LOAD, 1, 1),
            (Stage.PROBE, 16, 24),
        ]
        assert stages[1].started_at < stages[1].updated_at
        cancel_job(session, job.id)
        assert not record_progress(session, job.id, Progress(Stage.PROBE, 24, 24))


def test_cancel(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        waiting = cancel_job(session, queued_job(session).id)
        assert waiting.status is C
        assert cancel_job(session, waiting.id).status is C, "cancelling twice is the same as once"
        job = queued_job(session)
        move_job(session, job.id, R)
        running = cancel_job(session, job.id)
        assert (running.status, running.cancel_requested) == (R, True)
        move_job(session, job.id, F, problem={"code": "x"})
        with pytest.raises(Conflict, match="failed job cannot become cancelled"):
            cancel_job(session, job.id)
        with pytest.raises(NotFound):
            cancel_job(session, uuid4())


def test_the_reconciler_wakes_waiting_jobs_and_ends_abandoned_ones(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        fresh, waiting, silent, unwanted = (queued_job(session) for _ in range(4))
        for job in (silent, unwanted):
            move_job(session, job.id, R)
        cancel_job(session, unwanted.id)
        long_ago = {"hours": timedelta(hours=1), "new": fresh.id}
        session.execute(text("UPDATE jobs SET created_at = created_at - :hours WHERE id <> :new"), long_ago)
        session.execute(text("UPDATE jobs SET heartbeat_at = heartbeat_at - :hours"), {"hours": timedelta(hours=1)})
        queue = RecordingQueue()
        reconcile(session, queue)
        assert queue.published == [("mammodissect.run_job", waiting.id)]
        lost = get_job(session, silent.id)
        assert lost is not None
        assert lost.status is F
        assert lost.problem is not None
        assert lost.problem["code"] == "worker-lost"
        assert find_job(session, unwanted.id).status is C


def test_two_jobs_cannot_share_an_idempotency_key(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session)
        session.execute(text("UPDATE jobs SET idempotency_key = 'k' WHERE id = :id"), {"id": job.id})
        row = session.execute(text("SELECT target_id FROM jobs")).scalar_one()
        assert isinstance(row, UUID)
        part = get_resource(session, row)
        again = add_job(
            session,
            target=part,
            dissector=part,
            probe_set=part,
            concept_set=part,
            options=job.request.options,
            request_digest="0",
            idempotency_key="k",
        )
        assert again is None
