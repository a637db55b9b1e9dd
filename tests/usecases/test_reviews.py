"""Reviews of one neuron take turns, and go with their job."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, text

from service.db.review_tables import ReviewRow
from service.db.session import Sessions, transaction
from service.domain.reviews import Decision, Review
from service.errors import Conflict
from service.usecases.garbage import forget_results
from service.usecases.reviews import ReviewSubmission, submit_review
from tests.usecases.factories import neuron, succeeded_job


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    with transaction(sessions) as session:
        return succeeded_job(session, [neuron(0, 2.0), neuron(1, 1.0)])


def submit(sessions: Sessions, job: UUID, reader: str, decision: Decision, unit: int = 0) -> Review:
    with transaction(sessions) as session:
        return submit_review(session, reader, job, ReviewSubmission("blocks.0", unit, decision, "why"))[0]


def wait_until_one_waits(owner_sessions: Sessions) -> None:
    """Return once a transaction waits for a lock, which the service's own role may not see of others."""
    for _ in range(3_000):
        with owner_sessions() as session:
            query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            if session.execute(query).scalar_one():
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_who_comes_second_waits_and_is_told(sessions: Sessions, owner_sessions: Sessions, job: UUID) -> None:
    with ThreadPoolExecutor(1) as pool:
        with transaction(sessions) as session:
            submit_review(session, "anna", job, ReviewSubmission("blocks.0", 0, Decision.ACCEPT, "first"))
            second = pool.submit(submit, sessions, job, "anna", Decision.REJECT)
            elsewhere = submit(sessions, job, "anna", Decision.REJECT, unit=1)
            wait_until_one_waits(owner_sessions)
            assert not second.done()
        with pytest.raises(Conflict, match="is version 1 by now: accept, 'first'"):
            second.result(timeout=60)
    assert elsewhere.version == 1
    assert submit(sessions, job, "ben", Decision.REJECT).blind


def test_who_comes_second_goes_on_where_the_first_fails(
    sessions: Sessions, owner_sessions: Sessions, job: UUID
) -> None:
    with ThreadPoolExecutor(1) as pool, sessions() as session:
        submit_review(session, "anna", job, ReviewSubmission("blocks.0", 0, Decision.ACCEPT, "first"))
        second = pool.submit(submit, sessions, job, "anna", Decision.REJECT)
        wait_until_one_waits(owner_sessions)
        session.rollback()
        assert second.result(timeout=60).version == 1


def test_old_results_take_their_reviews_with_them(sessions: Sessions, job: UUID) -> None:
    submit(sessions, job, "anna", Decision.ACCEPT)
    with transaction(sessions) as session:
        session.execute(text("UPDATE jobs SET finished_at = finished_at - interval '2 days'"))
    assert forget_results(sessions, older_than=timedelta(days=1)) == 1
    with transaction(sessions) as session:
        assert session.scalar(select(func.count()).select_from(ReviewRow)) == 0
