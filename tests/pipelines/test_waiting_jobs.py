"""Jobs wait for the check of their probe set, and take from it what cannot be read."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from service.db.session import Sessions, transaction
from service.db.work import claim_item
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind, ResourceState
from service.domain.work import Preparation
from service.errors import PartRefused
from service.files import ANYWHERE
from service.usecases.checks import standing_of_check
from service.usecases.jobs import cancel_job, retry_job, submit_job
from service.usecases.preparation_work import complete_preparation
from service.usecases.probe_sets import check_again, probe_set_of, register_part
from service.usecases.resources import find_resource
from tests.pipelines.checked_sets import (
    AT_ONCE,
    check_at_once,
    claim_check,
    damage,
    job_of,
    note_rows,
    register_set,
    standing,
)
from tests.pipelines.conftest import Run, Work
from tests.pipelines.small_jobs import IMAGES, SUBMISSION, submit
from tests.usecases.factories import RecordingQueue, queued_job


@pytest.fixture(autouse=True)
def small_items(monkeypatch: pytest.MonkeyPatch) -> None:
    check_at_once(monkeypatch, AT_ONCE)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return note_rows(monkeypatch)


def test_a_job_waits_for_the_check_and_shows_it(sessions: Sessions, folder: Path) -> None:
    job = submit(sessions, folder)
    assert job.waits_for is not None
    shown = job_of(sessions, job)
    assert shown.waits_for == job.waits_for
    assert (job.waits_for.path, job.waits_for.done, job.waits_for.total) == ("/probe-sets/probes@1/check", 0, IMAGES)

    with transaction(sessions) as session:
        stages = []
        while (lease := claim_item(session, "tester", timedelta(seconds=60))) is not None:
            stages.append(str(lease.stage))
    assert sorted(stages) == ["check", "check", "check", "inspect", "inspect"], "nobody may take the job's items yet"


def test_a_job_begins_after_the_last_piece(sessions: Sessions, folder: Path, run: Run, looked_at: list[int]) -> None:
    job = run(submit(sessions, folder))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.waits_for is None
    assert len(looked_at) == IMAGES
    assert job.started_at is not None
    checked_at = standing(sessions).checked_at
    assert checked_at is not None
    assert job.started_at > checked_at


def test_images_that_cannot_be_read_fail_a_waiting_job_at_once_with_all_rows(
    sessions: Sessions, folder: Path, run: Run
) -> None:
    damage(folder, 1, 6)
    job = run(submit(sessions, folder))
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    assert job.problem["code"] == "unreadable-image"
    assert job.problem["value"] == "rows 2, 7"
    assert "row 2: it is not a DICOM" in job.problem["detail"]
    assert job.progress[0].done == 0, "nothing was shown"

    refused = standing(sessions)
    assert refused.state is ResourceState.REFUSED
    assert refused.problem is not None
    assert refused.problem["value"] == "rows 2, 7"
    with transaction(sessions) as session, pytest.raises(PartRefused, match="row 7") as error:
        submit_job(session, RecordingQueue(), SUBMISSION, request={})
    assert error.value.field == "probe_set"
    assert "POST /probe-sets/probes@1/check" in str(error.value.remedy)


def test_what_was_mended_is_checked_again_and_used(
    sessions: Sessions, folder: Path, run: Run, work: Work, looked_at: list[int]
) -> None:
    whole = (folder / "6.png").read_bytes()
    damage(folder, 6)
    failed = run(submit(sessions, folder))
    assert failed.problem is not None
    assert failed.problem["detail"].startswith("The image of manifest row 7 cannot be read: it is not a DICOM")
    (folder / "6.png").write_bytes(whole)
    with transaction(sessions) as session:
        retried = retry_job(session, RecordingQueue(), failed.id)
    assert retried.waits_for is None
    assert run(retried).status is JobStatus.SUCCEEDED, "the check is not believed blindly"

    looked_at.clear()
    queue = RecordingQueue()
    with transaction(sessions) as session:
        probe_set = find_resource(session, ResourceKind.PROBE_SET, "probes", field="name")
        check_again(session, queue, probe_set, ANYWHERE)
        check_again(session, queue, probe_set, ANYWHERE)
        assert len(queue.published) == 0
        assert standing_of_check(session, probe_set) is not None
    assert len(queue.published) == 1, "one is under way"
    assert standing(sessions).result is not None, "what is known stays until there is more"
    with transaction(sessions) as session:
        job = submit_job(session, RecordingQueue(), SUBMISSION, request={})
    assert job.waits_for is not None
    assert run(job).status is JobStatus.SUCCEEDED
    assert sorted(looked_at) == list(range(1, IMAGES + 1))


def test_a_set_that_skips_keeps_the_reasons(sessions: Sessions, folder: Path, run: Run) -> None:
    damage(folder, 1, 6)
    job = run(submit(sessions, folder, probe_set={"on_unreadable": "skip"}))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert job.manifest["rows_skipped"] == [2, 7]
    assert [row["row"] for row in job.manifest["skipped_why"]] == [2, 7]
    assert job.manifest["skipped_why"][0]["why"] == "it is not a DICOM, PNG, JPEG, PGM or TIFF file"
    assert standing(sessions).state is ResourceState.READY


def test_a_job_without_skipped_images_says_nothing_of_them(sessions: Sessions, folder: Path, run: Run) -> None:
    manifest = run(submit(sessions, folder)).manifest
    assert manifest is not None
    assert "skipped_why" not in manifest


def test_a_check_is_as_urgent_as_the_job_that_waits_for_it(sessions: Sessions, folder: Path) -> None:
    urgent = submit(sessions, folder, priority=9)
    assert urgent.waits_for is not None
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM work_items WHERE resource_id IS NOT NULL"))
        less_urgent = queued_job(session, shards=2, priority=5)
        assert less_urgent.waits_for is None

    for _ in range(3):
        lease = claim_check(sessions)
        with transaction(sessions) as session:
            complete_preparation(session, lease, {"shard": {}})
    assert claim_check(sessions).stage is Preparation.TALLY


def test_a_waiting_job_can_be_cancelled(sessions: Sessions, folder: Path, work: Work) -> None:
    job = submit(sessions, folder)
    with transaction(sessions) as session:
        assert cancel_job(session, job.id).status is JobStatus.CANCELLED
    work()
    assert job_of(sessions, job).status is JobStatus.CANCELLED
    assert standing(sessions).state is ResourceState.READY


@pytest.mark.parametrize("damaged", [1, 8])
def test_a_job_on_a_part_waits_for_the_check_of_the_whole(
    sessions: Sessions, folder: Path, run: Run, damaged: int
) -> None:
    rows = [f"{index}.png,{'n' if index < 7 else 's'}" for index in range(IMAGES)]
    (folder / "manifest.csv").write_text("\n".join(["image,site", *rows, ""]))
    damage(folder, damaged)
    whole = register_set(sessions, folder)
    with transaction(sessions) as session:
        part = register_part(session, whole, probe_set_of(session, whole, ANYWHERE), {"site": ("n",)})
        job = submit_job(session, RecordingQueue(), replace(SUBMISSION, probe_set=part.reference), request={})
    assert job.waits_for is not None
    assert job.waits_for.path == "/probe-sets/probes@1/check"

    job = run(job)
    if damaged == 8:
        assert job.status is JobStatus.SUCCEEDED, "what is unreadable is in another part"
    else:
        assert job.problem is not None
        assert job.problem["value"] == "row 2"
