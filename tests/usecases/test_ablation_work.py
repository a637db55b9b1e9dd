"""The items of ablations in workers' hands: leases, fences, attempts, and what becomes of the ablation."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.db import work as queries
from service.db.session import Sessions, transaction
from service.db.trail import stream_entries
from service.domain.ablations import Ablation, AblationStage, AblationStatus, UnitChoice
from service.domain.json_values import JsonObject
from service.domain.work import AblationLease
from service.errors import LeaseLost, ProblemFields
from service.usecases import ablation_work, work
from service.usecases.ablations import AblationSubmission, cancel_ablation, find_ablation, submit_ablation
from service.usecases.garbage import forget_results
from tests.usecases.factories import RecordingQueue, neuron, succeeded_job

LEASE = timedelta(seconds=30)
PROBLEM: ProblemFields = {"code": "x", "title": "X", "detail": "It broke."}
SHOWN: Mapping[str, Any] = {"key": "k", "sha256": "s", "output_of": "head", "outputs": 2, "used": 200}
CONCLUDED: Mapping[str, Any] = {
    "outputs": 2,
    "output_of": "head",
    "images": 200,
    "drawn_by": "exam",
    "drawn": 50,
    "resamples": 1000,
    "effect": {"outputs": [], "aurocs": [], "same": True},
    "findings": [],
    "units": [],
    "device": "cpu",
    "notes": [],
}


@pytest.fixture
def ablation(sessions: Sessions) -> Ablation:
    """One on a job of one shard, whose own items nobody takes any more."""
    with transaction(sessions) as session:
        job = succeeded_job(session, [neuron(0, 1.0)])
        session.execute(text("UPDATE work_items SET status = 'withdrawn'"))
        return submit_ablation(session, RecordingQueue(), job, AblationSubmission(UnitChoice("blocks.0", (0,))))


def claim(sessions: Sessions) -> AblationLease | None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET ready_at = clock_timestamp() WHERE status = 'ready'"))
        lease = queries.claim_item(session, "tester", LEASE)
    assert lease is None or isinstance(lease, AblationLease)
    return lease


def begun(sessions: Sessions) -> AblationLease:
    lease = claim(sessions)
    assert lease is not None
    with transaction(sessions) as session:
        assert ablation_work.begin_item(session, lease)
    return lease


def complete(sessions: Sessions, lease: AblationLease, result: JsonObject = SHOWN) -> None:
    with transaction(sessions) as session:
        ablation_work.complete_item(session, RecordingQueue(), lease, result)


def expire(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET lease_expires_at = '2000-01-01' WHERE status = 'leased'"))


def now(sessions: Sessions, ablation: Ablation) -> Ablation:
    with transaction(sessions) as session:
        return find_ablation(session, ablation.job, ablation.id)


def test_it_goes_through_its_stages(sessions: Sessions, ablation: Ablation) -> None:
    stages = []
    for result in (SHOWN, SHOWN, CONCLUDED):
        lease = begun(sessions)
        stages.append(lease.stage)
        assert now(sessions, ablation).status is AblationStatus.RUNNING
        complete(sessions, lease, result)
    assert stages == list(AblationStage)
    ended = now(sessions, ablation)
    assert ended.status is AblationStatus.SUCCEEDED
    assert ended.result is not None
    assert ended.finished_at is not None
    assert (ended.done, ended.total) == (400, 400)
    assert claim(sessions) is None


def test_a_holder_that_was_thought_lost_changes_nothing(sessions: Sessions, ablation: Ablation) -> None:
    early = begun(sessions)
    expire(sessions)
    assert work.reap(sessions, max_attempts=5) == [ablation.id]
    again = begun(sessions)
    calls: list[Callable[[Session], object]] = [
        lambda session: ablation_work.complete_item(session, RecordingQueue(), early, SHOWN),
        lambda session: ablation_work.fail(session, early, PROBLEM),
        lambda session: ablation_work.try_again(session, early, PROBLEM, max_attempts=5),
        lambda session: ablation_work.hand_back(session, RecordingQueue(), early),
    ]
    for late in calls:
        with pytest.raises(LeaseLost), transaction(sessions) as session:
            late(session)
    complete(sessions, again)
    assert begun(sessions).stage is AblationStage.ABLATE


def test_lost_workers_end_it_after_the_last_attempt(sessions: Sessions, ablation: Ablation) -> None:
    begun(sessions)
    expire(sessions)
    assert work.reap(sessions, max_attempts=1) == []
    ended = now(sessions, ablation)
    assert ended.status is AblationStatus.FAILED
    assert ended.problem is not None
    assert "outputs, item 0, was tried once." in ended.problem["detail"]
    with transaction(sessions) as session:
        [entry] = stream_entries(session)
    assert (entry.action, entry.subject) == ("give up ablation", f"/jobs/{ablation.job}/ablations/{ablation.id}")


def test_an_accident_is_tried_again_and_then_given_up(sessions: Sessions, ablation: Ablation) -> None:
    for attempt in (1, 2):
        lease = begun(sessions)
        assert lease.attempt == attempt
        with transaction(sessions) as session:
            ablation_work.try_again(session, lease, PROBLEM, max_attempts=2)
    ended = now(sessions, ablation)
    assert ended.status is AblationStatus.FAILED
    assert ended.problem is not None
    assert ended.problem["detail"].endswith("It broke.")


def test_an_item_handed_back_was_no_attempt(sessions: Sessions, ablation: Ablation) -> None:
    lease = begun(sessions)
    with transaction(sessions) as session:
        ablation_work.hand_back(session, RecordingQueue(), lease)
    assert begun(sessions).attempt == 1


def test_nothing_of_a_cancelled_one_is_kept_or_begun(sessions: Sessions, ablation: Ablation) -> None:
    lease = begun(sessions)
    with transaction(sessions) as session:
        cancel_ablation(session, ablation.job, ablation.id)
    with pytest.raises(LeaseLost):
        complete(sessions, lease)
    assert claim(sessions) is None
    with transaction(sessions) as session:
        assert not queries.extend_lease(session, lease, LEASE, done=1)
        assert not ablation_work.begin_item(session, lease)


def test_a_job_stays_while_an_ablation_of_it_is_under_way(sessions: Sessions, ablation: Ablation) -> None:
    assert forget_results(sessions, older_than=timedelta(0)) == 0
    with transaction(sessions) as session:
        cancel_ablation(session, ablation.job, ablation.id)
    assert forget_results(sessions, older_than=timedelta(0)) == 1
