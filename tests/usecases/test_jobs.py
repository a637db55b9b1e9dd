"""The job's legal moves, in the domain and in the database; cancel, retry, replay, and a job's history."""

from itertools import product
from uuid import uuid4

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from service.db.jobs import add_job, move_job, parts_of
from service.db.session import Sessions, transaction
from service.domain.jobs import ENDED, Job, JobStatus, Stage, check_move
from service.errors import Conflict, NotFound
from service.ports import WORK_TASK
from service.usecases.jobs import cancel_job, find_job, job_events, job_news, replay_job, retry_job
from tests.usecases.factories import RecordingQueue, queued_job, succeeded_job

Q, R, S, F, C, D = JobStatus
LEGAL = {(Q, R), (Q, C), (R, S), (R, F), (R, C), (R, D), (F, Q), (D, Q)}
PATH: dict[JobStatus, list[JobStatus]] = {Q: [], R: [R], S: [R, S], F: [R, F], C: [C], D: [R, D]}
NEW = {"new": '{"id": "00000000-0000-0000-0000-000000000000", "status": "running"}'}
INSERT_COPY = text("INSERT INTO jobs SELECT (jsonb_populate_record(j, CAST(:new AS jsonb))).* FROM jobs j")
SET_STATUS = text("UPDATE jobs SET status = :status WHERE id = :id")


def job_in(sessions: Sessions, status: JobStatus) -> Job:
    with transaction(sessions) as session:
        job = queued_job(session, shards=3)
        for step in PATH[status]:
            assert move_job(session, job.id, step)
        return job


@pytest.mark.parametrize(("current", "following"), list(product(JobStatus, JobStatus)))
def test_every_pair_of_statuses(sessions: Sessions, current: JobStatus, following: JobStatus) -> None:
    job = job_in(sessions, current)
    with transaction(sessions) as session:
        moved = move_job(session, job.id, following)
        assert moved is ((current, following) in LEGAL)
        assert find_job(session, job.id).status is (following if moved else current)
    if not moved:
        with pytest.raises(Conflict):
            check_move(current, following)


@pytest.mark.parametrize(("current", "following"), list(product(JobStatus, JobStatus)))
def test_the_database_refuses_the_same_moves(sessions: Sessions, current: JobStatus, following: JobStatus) -> None:
    job = job_in(sessions, current)
    statement = {"status": following, "id": job.id}
    if current is following or (current, following) in LEGAL:
        with sessions.begin() as session:
            session.execute(SET_STATUS, statement)
    else:
        refusal = f"a {current} job cannot become {following}"
        with pytest.raises(IntegrityError, match=refusal), sessions.begin() as session:
            session.execute(SET_STATUS, statement)


def test_the_database_refuses_a_status_it_does_not_know(sessions: Sessions) -> None:
    job = job_in(sessions, Q)
    with pytest.raises(IntegrityError, match="cannot become lost"), sessions.begin() as session:
        session.execute(SET_STATUS, {"status": "lost", "id": job.id})
    with pytest.raises(IntegrityError, match="begins queued"), sessions.begin() as session:
        session.execute(
            text("INSERT INTO jobs SELECT (jsonb_populate_record(j, CAST(:new AS jsonb))).* FROM jobs j"), NEW
        )


def test_cancel(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        waiting = cancel_job(session, queued_job(session).id)
        assert waiting.status is C
        assert waiting.finished_at is not None
        assert cancel_job(session, waiting.id) == waiting, "cancelling twice is the same as once"
        job = queued_job(session)
        move_job(session, job.id, R)
        assert cancel_job(session, job.id).status is C
        failed = queued_job(session)
        move_job(session, failed.id, R)
        move_job(session, failed.id, F, problem={"code": "x"})
        with pytest.raises(Conflict, match="failed job cannot become cancelled"):
            cancel_job(session, failed.id)
        with pytest.raises(NotFound):
            cancel_job(session, uuid4())


@pytest.mark.parametrize("status", [F, D])
def test_a_job_that_ended_badly_can_be_put_back(sessions: Sessions, status: JobStatus) -> None:
    job, queue = job_in(sessions, status), RecordingQueue()
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET status = 'withdrawn'"))
        again = retry_job(session, queue, job.id)
        assert (again.status, again.problem, again.finished_at) == (Q, None, None)
        assert queue.published == [], "nobody is woken before the commit"
    assert queue.published == [(WORK_TASK, job.id)]


@pytest.mark.parametrize("status", [Q, R, S, C])
def test_no_other_job_can(sessions: Sessions, status: JobStatus) -> None:
    job = job_in(sessions, status)
    with pytest.raises(Conflict), transaction(sessions) as session:
        retry_job(session, RecordingQueue(), job.id)


def test_a_replay_asks_for_the_same_again(sessions: Sessions) -> None:
    queue = RecordingQueue()
    with transaction(sessions) as session:
        original = succeeded_job(session, [])
        replay = replay_job(session, queue, original)
        assert replay.replay_of == original
        assert replay.request == find_job(session, original).request
        assert parts_of(session, replay.id) == parts_of(session, original)
        with pytest.raises(Conflict, match="no result to replay"):
            replay_job(session, queue, replay.id)
    assert queue.published == [(WORK_TASK, replay.id)]


def test_a_jobs_history_can_be_read_from_any_point(sessions: Sessions) -> None:
    job = job_in(sessions, F)
    with transaction(sessions) as session:
        now, events = job_events(session, job.id, after=0)
        assert now.status is F
        assert [event.data for event in events] == [{"status": status} for status in (Q, R, F)]
        assert job_events(session, job.id, after=events[0].id)[1] == events[1:]
        assert job_events(session, job.id, after=events[-1].id)[1] == []


def test_a_job_that_ends_while_its_history_is_read(sessions: Sessions) -> None:
    """Who sees that it has ended sees its last event, too."""
    job = job_in(sessions, R)
    ended: list[Job] = []

    def end_once(*_: object) -> None:
        if not ended:
            with transaction(sessions) as other:
                ended.append(cancel_job(other, job.id))

    with transaction(sessions) as session:
        event.listen(session.connection(), "after_cursor_execute", end_once)
        now, events = job_events(session, job.id, after=0)
        assert ended
        assert (now.status in ENDED) <= (events[-1].data == {"status": C})
        now, events = job_events(session, job.id, after=0)
        assert (now.status, events[-1].data) == (C, {"status": C})


def test_progress_counts_items_and_their_work(sessions: Sessions) -> None:
    job = job_in(sessions, R)
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET done = 50, started_at = now(), updated_at = now() + '10 s'"))
        session.execute(text("UPDATE work_items SET status = 'done', done = total, result = '{}' WHERE position = 0"))
        (probe,) = find_job(session, job.id).progress
    assert (probe.stage, probe.done, probe.total, probe.items, probe.items_done) == (Stage.PROBE, 167, 200, 3, 1)
    assert probe.rate == pytest.approx(16.7)
    assert probe.updated_at is not None
    assert probe.expected_end is not None
    assert (probe.expected_end - probe.updated_at).total_seconds() == pytest.approx(33 / 16.7, abs=1e-4)


def test_two_jobs_cannot_share_an_idempotency_key(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        job = queued_job(session)
        session.execute(text("UPDATE jobs SET idempotency_key = 'k' WHERE id = :id"), {"id": job.id})
        again = add_job(session, parts_of(session, job.id), job.request, request_digest="0", idempotency_key="k")
        assert again is None


def test_the_news_of_many_jobs_are_what_each_would_be_told_alone(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        first, second = queued_job(session), queued_job(session)
        cancel_job(session, second.id)
    with transaction(sessions) as session:
        events = {job.id: job_events(session, job.id, after=0)[1] for job in (first, second)}
        last = events[second.id][-1].id
        asked = [(first.id, 0), (second.id, 0), (second.id, last), (uuid4(), 0)]
        news = job_news(session, asked)
        assert set(news) == set(asked[:3])
        for job_id, seen in asked[:3]:
            told = news[job_id, seen]
            job = find_job(session, job_id)
            assert (told.status, told.progress) == (job.status, tuple(job.progress))
            assert list(told.events) == [event for event in events[job_id] if event.id > seen]
        assert job_news(session, []) == {}
