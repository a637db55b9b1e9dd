"""Probe sets are checked by workers before any job: in pieces, and resumed where they stopped."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from service.db.checks import iterate_shards
from service.db.session import Sessions, transaction
from service.db.work import finish_item
from service.domain.checks import Reason, count_of, rows_of
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind, ResourceState
from service.errors import FileOutOfReach, LeaseLost, NotFound, ProblemFields
from service.files import ANYWHERE
from service.pipelines.items import DissectionRunner
from service.usecases import checks
from service.usecases.accidents import WORKER_LOST
from service.usecases.checks import states_of_sets
from service.usecases.jobs import replay_job, submit_job
from service.usecases.preparation_work import complete_preparation, fail_preparation, try_preparation_again
from service.usecases.preparations import measure_again
from service.usecases.probe_sets import check_again, find_check, probe_set_of, register_part, register_probe_set
from service.usecases.resources import find_resource
from service.usecases.work import reap
from tests.pipelines.checked_sets import (
    AT_ONCE,
    check_at_once,
    claim_check,
    damage,
    job_of,
    note_rows,
    register_set,
    result_of,
    standing,
)
from tests.pipelines.conftest import Run, Work
from tests.pipelines.inline_child import InlineChild
from tests.pipelines.small_jobs import IMAGES, SUBMISSION, submit
from tests.usecases.factories import RecordingQueue


@pytest.fixture(autouse=True)
def small_items(monkeypatch: pytest.MonkeyPatch) -> None:
    check_at_once(monkeypatch, AT_ONCE)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return note_rows(monkeypatch)


def test_a_set_is_checked_in_pieces_by_whoever_has_time(
    sessions: Sessions, folder: Path, work: Work, looked_at: list[int]
) -> None:
    probe_set = register_set(sessions, folder)
    before = standing(sessions)
    assert (before.state, before.done, before.total, before.result) == (ResourceState.CHECKING, 0, IMAGES, None)

    work()
    after = standing(sessions)
    assert (after.state, after.done, after.total, after.problem) == (ResourceState.READY, IMAGES, IMAGES, None)
    assert after.checked_at is not None
    assert sorted(looked_at) == list(range(1, IMAGES + 1)), "each is decoded once"
    check = result_of(sessions)
    assert (check["images"], check["readable"]) == (IMAGES, IMAGES)
    assert count_of(check, Reason.TINY) == IMAGES
    with transaction(sessions) as session:
        assert [shard["images"] for shard in iterate_shards(session, probe_set.id)] == [4, 4, 2]
        assert states_of_sets(session, [probe_set]) == {probe_set.id: ResourceState.READY}


def test_pieces_say_what_one_whole_check_says(
    sessions: Sessions, folder: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(folder, 1, 2, 6)
    register_set(sessions, folder, on_unreadable="skip")
    work()
    in_pieces = result_of(sessions)
    assert [row["row"] for row in rows_of(in_pieces, Reason.UNREADABLE)] == [2, 3, 7]

    check_at_once(monkeypatch, 256)
    with transaction(sessions) as session:
        manifest = str(folder / "manifest.csv")
        wanted: dict[str, Any] = {"patches": None, "on_unreadable": "fail", "roots": ANYWHERE}
        other, _ = register_probe_set(session, RecordingQueue(), name="other", manifest=manifest, **wanted)
    work()
    assert standing(sessions, "other").result == in_pieces
    with transaction(sessions) as session:
        items = "SELECT count(*) FROM work_items WHERE checked_set_id = :id"
        assert session.scalar(text(items), {"id": other.id}) == 1, "a small set takes a single item"


def test_a_check_goes_on_where_a_lost_worker_left_it(
    sessions: Sessions, folder: Path, work: Work, runner: DissectionRunner, looked_at: list[int]
) -> None:
    probe_set = register_set(sessions, folder)
    first = claim_check(sessions)
    with transaction(sessions) as session:
        complete_preparation(session, first, InlineChild(runner).runner.run(first, lambda _: None))
    lost = claim_check(sessions)
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET lease_expires_at = now() - interval '1 s' WHERE status = 'leased'"))
    assert probe_set.id in reap(sessions, max_attempts=5)

    assert looked_at == [1, 2, 3, 4]
    assert standing(sessions).done == AT_ONCE
    work()
    assert sorted(looked_at) == list(range(1, IMAGES + 1)), "what was done is not done again"
    with pytest.raises(LeaseLost), transaction(sessions) as session:
        complete_preparation(session, lost, {"shard": {}})
    assert standing(sessions).state is ResourceState.READY


def test_a_check_that_is_given_up_says_why_and_holds_nobody_up(sessions: Sessions, folder: Path, work: Work) -> None:
    job = submit(sessions, folder)
    lease = claim_check(sessions)
    with transaction(sessions) as session:
        fail_preparation(session, lease, WORKER_LOST)
    refused = standing(sessions)
    assert refused.state is ResourceState.REFUSED
    assert refused.problem is not None
    assert refused.problem["code"] == "worker-lost"
    assert "POST /probe-sets/probes@1/check tries again" in refused.problem["remedy"]
    assert job_of(sessions, job).waits_for is None

    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET status = 'done', result = '{}' WHERE resource_id IS NOT NULL"))
    work()
    assert job_of(sessions, job).status is JobStatus.SUCCEEDED, "it reads the images itself, as ever"

    with transaction(sessions) as session:
        probe_set = find_resource(session, ResourceKind.PROBE_SET, "probes", field="name")
        measure_again(session, RecordingQueue(), probe_set)
    assert standing(sessions).state is ResourceState.CHECKING
    work()
    assert standing(sessions).state is ResourceState.READY


def test_the_item_that_is_given_up_says_why_not_one_that_met_something_before(sessions: Sessions, folder: Path) -> None:
    register_set(sessions, folder)
    tried, given_up = claim_check(sessions), claim_check(sessions)
    accident: ProblemFields = {"code": "worker-crashed", "title": "Computation lost", "detail": "The process ended."}
    with transaction(sessions) as session:
        try_preparation_again(session, tried, accident, max_attempts=5)
    with transaction(sessions) as session:
        fail_preparation(session, given_up, WORKER_LOST)
    problem = standing(sessions).problem
    assert problem is not None
    assert problem["code"] == "worker-lost"


def test_who_gives_a_check_up_and_who_finishes_an_item_do_not_wait_for_each_other(
    sessions: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_set(sessions, folder)
    given_up, finished = claim_check(sessions), claim_check(sessions)
    finishing = threading.Event()

    def finish_slowly(*parts: Any) -> bool:
        finishing.set()
        time.sleep(0.5)
        return finish_item(*parts)

    monkeypatch.setattr(checks, "finish_item", finish_slowly)

    def finish() -> None:
        with transaction(sessions) as session:
            complete_preparation(session, finished, {"shard": {}})

    def give_up() -> None:
        assert finishing.wait(10)
        with transaction(sessions) as session:
            fail_preparation(session, given_up, WORKER_LOST)

    with ThreadPoolExecutor(2) as threads:
        for task in [threads.submit(finish), threads.submit(give_up)]:
            task.result()
    refused = standing(sessions)
    assert (refused.state, refused.done) == (ResourceState.REFUSED, AT_ONCE)


def test_trouble_of_the_disk_is_no_fault_of_an_image(
    sessions: Sessions, folder: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_set(sessions, folder)

    def broken(*_: Any, **__: Any) -> Any:
        raise FileOutOfReach("The image of manifest row 1 cannot be read now: Input/output error.")

    with monkeypatch.context() as patched:
        patched.setattr("service.probes.checking.look.look_into", broken)
        work()
    assert standing(sessions).state is ResourceState.CHECKING
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET ready_at = now()"))
    work()
    assert standing(sessions).state is ResourceState.READY


@pytest.mark.parametrize("at_once", [AT_ONCE, 256])
def test_a_manifest_that_changed_ends_the_check_though_the_worker_has_read_it_before(
    sessions: Sessions, folder: Path, work: Work, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    check_at_once(monkeypatch, at_once)
    probe_set = register_set(sessions, folder)
    work()
    assert standing(sessions).state is ResourceState.READY
    manifest = (folder / "manifest.csv").read_text()
    (folder / "manifest.csv").write_text("image\n0.png\n")
    with transaction(sessions) as session:
        check_again(session, RecordingQueue(), probe_set, ANYWHERE)
    work()
    refused = standing(sessions)
    assert refused.problem is not None
    assert "has changed since it was registered" in refused.problem["detail"]

    (folder / "manifest.csv").write_text(manifest)
    with transaction(sessions) as session:
        check_again(session, RecordingQueue(), probe_set, ANYWHERE)
    work()
    assert standing(sessions).state is ResourceState.READY


def test_sets_of_an_earlier_release_are_used_unchecked_until_somebody_asks(
    sessions: Sessions, folder: Path, run: Run, work: Work
) -> None:
    probe_set = register_set(sessions, folder)
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM work_items WHERE checked_set_id IS NOT NULL"))
    with transaction(sessions) as session, pytest.raises(NotFound, match="never checked"):
        find_check(session, probe_set)
    with transaction(sessions) as session:
        assert states_of_sets(session, [probe_set]) == {}
        job = submit_job(session, RecordingQueue(), SUBMISSION, request={})
    assert job.waits_for is None
    done = run(job)
    assert done.status is JobStatus.SUCCEEDED

    with transaction(sessions) as session:
        check_again(session, RecordingQueue(), probe_set, ANYWHERE)
    work()
    assert standing(sessions).state is ResourceState.READY
    with transaction(sessions) as session:
        replay = replay_job(session, RecordingQueue(), job.id)
    replayed = run(replay)
    assert replayed.manifest is not None
    assert done.manifest is not None
    assert replayed.manifest["results"] == done.manifest["results"]


def test_a_part_of_a_set_is_checked_when_somebody_asks(sessions: Sessions, folder: Path, work: Work) -> None:
    rows = [f"{index}.png,{'n' if index < 3 else 's'}" for index in range(IMAGES)]
    (folder / "manifest.csv").write_text("\n".join(["image,site", *rows, ""]))
    whole = register_set(sessions, folder)
    work()
    with transaction(sessions) as session:
        part = register_part(session, whole, probe_set_of(session, whole, ANYWHERE), {"site": ("n",)})
        assert states_of_sets(session, [part]) == {}
        check_again(session, RecordingQueue(), part, ANYWHERE)
    work()
    result = standing(sessions, part.reference).result
    assert result is not None
    assert result["images"] == 3
