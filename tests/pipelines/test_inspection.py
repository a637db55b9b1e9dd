"""Models are opened by workers, as items like any other: under leases, in turns, and not for ever."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from service.config import Settings
from service.db import work as queries
from service.db.resources import find_inspection
from service.db.session import Sessions, transaction
from service.domain.resources import Resource, ResourceKind
from service.domain.work import AnyLease, Preparation, PreparationLease
from service.errors import LeaseLost, ProblemFields
from service.pipelines.child_process import ChildProcess
from service.pipelines.host import WorkerHost
from service.ports import WORK_TASK
from service.storage import open_store
from service.usecases import preparation_work, preparations
from service.usecases.accidents import WORKER_LOST
from service.usecases.reconcile import reconcile
from service.usecases.work import reap
from tests.usecases.factories import RecordingQueue, queued_job, resource

OpenHost = Callable[..., WorkerHost]
LEASE = timedelta(seconds=30)
LAYERS = {"layers": [{"name": "a", "units": 8, "kind": "Conv2d"}]}


@pytest.fixture
def host(sessions: Sessions, settings: Settings) -> Iterator[OpenHost]:
    """A host with a real child, whose runner has that name."""
    with ExitStack() as opened:

        def open_host(runner: str, **changes: object) -> WorkerHost:
            chosen = settings.model_copy(update=changes)
            child = ChildProcess(chosen, f"tests.pipelines.tiny_runner:{runner}")
            worker_host = WorkerHost(sessions, chosen, RecordingQueue(), open_store(settings.artifacts_url), child)
            opened.callback(worker_host.close)
            return worker_host

        yield open_host


@pytest.fixture
def model(sessions: Sessions) -> Resource:
    """A registered model that a worker is to open."""
    return registered(sessions, "heavy")


def registered(sessions: Sessions, name: str) -> Resource:
    with transaction(sessions) as session:
        made = resource(session, ResourceKind.MODEL, name, checkpoint="/models/x", architecture="a", sha256="0")
        preparations.prepare(session, RecordingQueue(), made, Preparation.INSPECT)
        return made


def claim(sessions: Sessions) -> AnyLease | None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET ready_at = clock_timestamp() WHERE status = 'ready'"))
        return queries.claim_item(session, "tester", LEASE)


def claim_inspection(sessions: Sessions) -> PreparationLease:
    lease = claim(sessions)
    assert isinstance(lease, PreparationLease)
    return lease


def expire(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET lease_expires_at = clock_timestamp() - interval '1 s'"))


def problem(sessions: Sessions, model: Resource) -> ProblemFields | None:
    with transaction(sessions) as session:
        inspection = find_inspection(session, model.id)
    return None if inspection is None else inspection[1]


def work_off(sessions: Sessions, host: WorkerHost) -> None:
    """Work until nothing is left, without the waits between attempts."""
    while True:
        with transaction(sessions) as session:
            session.execute(text("UPDATE work_items SET ready_at = clock_timestamp() WHERE status = 'ready'"))
            if not queries.more_is_ready(session):
                return
        host.work()


def test_a_model_that_opens(sessions: Sessions, host: OpenHost, model: Resource) -> None:
    host("open_fine_inspector").work()
    with transaction(sessions) as session:
        assert find_inspection(session, model.id) == (LAYERS["layers"], None)
    assert claim(sessions) is None


@pytest.mark.parametrize(
    ("codes", "given_up"),
    [
        (["time-limit", "time-limit"], True),
        (["memory-limit", "time-limit"], True),
        (["worker-crashed", "time-limit"], False),
        (["time-limit", "worker-crashed"], False),
        (["time-limit", "worker-crashed", "time-limit"], False),
        (["time-limit", "told to stop", "time-limit"], True),
        (["time-limit", "lost", "time-limit"], False),
        (["worker-crashed", "time-limit", "memory-limit"], True),
    ],
)
def test_only_what_reaches_a_limit_twice_running_is_given_up_early(
    sessions: Sessions, model: Resource, codes: list[str], given_up: bool
) -> None:
    for code in codes:
        lease = claim_inspection(sessions)
        accident: ProblemFields = {"code": code, "title": "Accident", "detail": "It happened."}
        if code == "lost":
            expire(sessions)
            reap(sessions, max_attempts=9)
            continue

        with transaction(sessions) as session:
            if code == "told to stop":
                preparation_work.hand_back_preparation(session, RecordingQueue(), lease)
            else:
                preparation_work.try_preparation_again(session, lease, accident, max_attempts=9)
    assert (problem(sessions, model) is not None) == given_up


@pytest.mark.parametrize(
    ("runner", "changes", "attempts", "code", "said"),
    [
        ("open_dying_inspector", {}, 5, "worker-crashed", "without a result"),
        ("open_dying_inspector", {"max_attempts": 3}, 3, "worker-crashed", "without a result"),
        ("open_hanging_inspector", {"inspect_time_limit_s": 2}, 2, "time-limit", "INSPECT_TIME_LIMIT_S"),
        ("open_hoarding_inspector", {"memory_limit_mb": 300}, 2, "memory-limit", "MEMORY_LIMIT_MB"),
    ],
)
def test_a_model_that_ends_or_holds_up_who_opens_it_is_given_up(
    sessions: Sessions,
    host: OpenHost,
    model: Resource,
    runner: str,
    changes: dict[str, object],
    attempts: int,
    code: str,
    said: str,
) -> None:
    work_off(sessions, host(runner, **changes))
    stored = problem(sessions, model)
    assert stored is not None
    assert stored["code"] == code
    assert f"{attempts} times" in stored["detail"]
    assert said in stored["detail"]
    assert "POST /models/heavy@1/inspect" in stored["remedy"]
    assert asked_again(sessions) == []


@pytest.mark.parametrize(
    ("runner", "changes"),
    [("open_stranded_inspector", {}), ("open_runner", {"device": "cuda:99"})],
    ids=["no database", "a wrong setting of the worker"],
)
def test_what_is_not_the_models_fault_is_tried_again_but_not_for_ever(
    sessions: Sessions, host: OpenHost, model: Resource, runner: str, changes: dict[str, str]
) -> None:
    worker_host = host(runner, max_attempts=3, **changes)
    worker_host.work()
    assert problem(sessions, model) is None
    work_off(sessions, worker_host)
    stored = problem(sessions, model)
    assert stored is not None
    assert "3 times" in stored["detail"]


def test_an_error_of_the_model_is_stored_at_once_and_asking_again_opens_it_again(
    sessions: Sessions, host: OpenHost, model: Resource
) -> None:
    host("open_refusing_inspector").work()
    stored = problem(sessions, model)
    assert stored is not None
    assert stored["code"] == "invalid-input"
    assert stored["remedy"].startswith("Name one that there is. POST /models/heavy@1/inspect")

    queue = RecordingQueue()
    with transaction(sessions) as session:
        preparations.prepare(session, queue, model, Preparation.INSPECT)
    assert queue.published == [(WORK_TASK, model.id)]
    host("open_fine_inspector").work()
    assert problem(sessions, model) is None


def test_a_model_is_in_one_workers_hands_only(sessions: Sessions, model: Resource) -> None:
    lease = claim_inspection(sessions)
    queue = RecordingQueue()
    with transaction(sessions) as session:
        preparations.prepare(session, queue, model, Preparation.INSPECT)
    assert queue.published == []
    assert claim(sessions) is None
    assert asked_again(sessions) == []
    assert lease.resource_id == model.id


def test_a_worker_that_was_thought_lost_changes_nothing(sessions: Sessions, model: Resource) -> None:
    stale = claim_inspection(sessions)
    expire(sessions)
    assert reap(sessions, max_attempts=5) == [model.id]
    fresh = claim_inspection(sessions)
    assert (fresh.item_id, fresh.attempt, fresh.fence) == (stale.item_id, 2, stale.fence + 1)
    late: list[Callable[[Any], None]] = [
        lambda session: preparation_work.complete_preparation(session, stale, LAYERS),
        lambda session: preparation_work.fail_preparation(session, stale, WORKER_LOST),
        lambda session: preparation_work.try_preparation_again(session, stale, WORKER_LOST, max_attempts=1),
        lambda session: preparation_work.hand_back_preparation(session, RecordingQueue(), stale),
    ]
    for action in late:
        with pytest.raises(LeaseLost), transaction(sessions) as session:
            action(session)
    assert problem(sessions, model) is None
    with transaction(sessions) as session:
        preparation_work.complete_preparation(session, fresh, LAYERS)
    assert claim(sessions) is None


def test_a_model_whose_workers_are_lost_is_given_up(sessions: Sessions, model: Resource) -> None:
    claim_inspection(sessions)
    expire(sessions)
    reap(sessions, max_attempts=1)
    stored = problem(sessions, model)
    assert stored is not None
    assert stored["code"] == "worker-lost"
    assert claim(sessions) is None


def test_a_worker_that_is_told_to_stop_hands_it_back_uncounted(sessions: Sessions, model: Resource) -> None:
    queue = RecordingQueue()
    with transaction(sessions) as session:
        lease = queries.claim_item(session, "tester", LEASE)
        assert isinstance(lease, PreparationLease)
        preparation_work.hand_back_preparation(session, queue, lease)
    assert queue.published == [(WORK_TASK, model.id)]
    assert claim_inspection(sessions).attempt == 1


def test_jobs_go_on_beside_models_that_are_opened_again_and_again(sessions: Sessions, model: Resource) -> None:
    registered(sessions, "heavier")
    with transaction(sessions) as session:
        queued_job(session, shards=4)
    turns: list[bool] = []
    while (lease := claim(sessions)) is not None and len(turns) < 20:
        turns.append(isinstance(lease, PreparationLease))
        with transaction(sessions) as session:
            if isinstance(lease, PreparationLease):
                preparation_work.try_preparation_again(session, lease, WORKER_LOST, max_attempts=9)
            else:
                queries.finish_item(session, lease, {})
    job_items = [place for place, is_preparation in enumerate(turns) if not is_preparation]
    assert len(job_items) == 4
    assert job_items[-1] <= 8, "every other turn is the job's"


def test_models_and_probe_sets_of_earlier_releases_are_prepared(sessions: Sessions) -> None:
    grid = {"size": 32, "stride": 32}
    with transaction(sessions) as session:
        model = resource(session, ResourceKind.MODEL, "old", checkpoint="/x", architecture="a", sha256="0")
        cut = resource(session, ResourceKind.PROBE_SET, "cut", "1", patches=grid, images=7)
        resource(session, ResourceKind.PROBE_SET, "part", "2", patches=grid, images=7, part=["site", "n"])
        resource(session, ResourceKind.PROBE_SET, "whole", "3", patches=None, images=7)
    assert set(asked_again(sessions)) == {(WORK_TASK, model.id), (WORK_TASK, cut.id)}
    assert asked_again(sessions) == []


def asked_again(sessions: Sessions) -> list[tuple[str, Any]]:
    queue = RecordingQueue()
    reconcile(sessions, queue, max_attempts=5)
    return queue.published
