"""Probe sets that are cut into patches: registered unopened, measured by a worker, dissected after that."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from service.config import Settings
from service.db.pictures import find_sizes, keep_sizes
from service.db.resources import find_resource, get_resource, unprepared_resources
from service.db.session import Sessions, transaction
from service.domain.jobs import Job, JobStatus
from service.domain.probes import ImageSize, PatchGrid, ProbeSet
from service.domain.resources import Resource, ResourceKind
from service.domain.work import Preparation
from service.errors import Conflict, NotMeasured, ProblemFields
from service.files import ANYWHERE
from service.pipelines.items import DissectionRunner
from service.pipelines.prepare import measure_probe_set
from service.probes import measuring
from service.usecases.jobs import replay_job, submit_job
from service.usecases.preparations import measure_again, prepare, problem_of
from service.usecases.probe_sets import (
    digest_of_probe_set,
    listed_probe_set,
    probe_set_of,
    register_part,
    register_probe_set,
)
from tests.pipelines.conftest import Run
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import IMAGES, SUBMISSION, register, submit
from tests.usecases.factories import RecordingQueue

GRID = PatchGrid(20, 20)
PATCHES = 4
"""Of an image of 40 x 30 pixels."""

Work = Callable[[], Resource]
"""Do what is to be done; the probe set as it is then."""


@pytest.fixture
def work(sessions: Sessions, settings: Settings, runner: DissectionRunner) -> Work:
    def work_off() -> Resource:
        inline_host(sessions, settings, runner).work()
        return registered(sessions)

    return work_off


def registered(sessions: Sessions) -> Resource:
    with transaction(sessions) as session:
        probe_set = find_resource(session, ResourceKind.PROBE_SET, "probes", None)
        assert probe_set is not None
        return probe_set


def register_patches(sessions: Sessions, folder: Path, on_unreadable: str = "fail") -> Resource:
    with transaction(sessions) as session:
        wanted = {"patches": GRID, "on_unreadable": on_unreadable}
        return register(session, folder, RecordingQueue(), probe_set=wanted)


def dissect(sessions: Sessions, folder: Path, on_unreadable: str = "fail", **changes: Any) -> Job:
    return submit(sessions, folder, probe_set={"patches": GRID, "on_unreadable": on_unreadable}, **changes)


def site_of(image: int) -> str:
    """Three images are of n, two of m, the others of s."""
    return "n" if image < 3 else "m" if image < 5 else "s"


def problem(sessions: Sessions, probe_set: Resource) -> ProblemFields:
    with transaction(sessions) as session:
        stored = problem_of(session, probe_set, Preparation.MEASURE)
    assert stored is not None
    return stored


def test_registering_opens_no_image(sessions: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(measuring, "image_size", refuse)
    probe_set = register_patches(sessions, folder)
    assert probe_set.spec["images"] is None
    with pytest.raises(NotMeasured, match="has not yet read the image sizes") as refused:
        dissect(sessions, folder)
    assert "GET /probe-sets/probes@1" in str(refused.value.remedy)


def test_a_worker_counts_the_patches_and_a_job_shows_them(
    sessions: Sessions, folder: Path, run: Run, work: Work
) -> None:
    register_patches(sessions, folder)
    assert work().spec["images"] == IMAGES * PATCHES
    job = run(dissect(sessions, folder, shard_size=7))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert job.manifest["images_used"] == IMAGES * PATCHES
    assert job.progress[0].items == -(-IMAGES * PATCHES // 7)
    with transaction(sessions) as session:
        replay = replay_job(session, RecordingQueue(), job.id)
    replayed = run(replay).manifest
    assert replayed is not None
    assert replayed["results"] == job.manifest["results"]


def test_what_has_been_measured_is_not_measured_again(sessions: Sessions, folder: Path, work: Work) -> None:
    register_patches(sessions, folder)
    before = work()
    size = (folder / "0.png").stat().st_size
    (folder / "0.png").write_bytes(bytes(size))
    assert register_patches(sessions, folder) == before
    queue = RecordingQueue()
    with transaction(sessions) as session:
        prepare(session, queue, before, Preparation.MEASURE)
    assert queue.published == []
    assert work() == before


def test_an_unreadable_image_is_named_by_its_row_until_it_is_mended(
    sessions: Sessions, folder: Path, work: Work
) -> None:
    image = (folder / "6.png").read_bytes()
    (folder / "6.png").write_bytes(bytes(len(image)))
    probe_set = register_patches(sessions, folder)
    assert work().spec["images"] is None
    failure = problem(sessions, probe_set)
    assert (failure["code"], failure["value"]) == ("unreadable-image", "row 7")
    assert "6.png" not in str(failure), "file names may carry patient data"
    with transaction(sessions) as session, pytest.raises(Conflict, match="row 7") as refused:
        submit_job(session, RecordingQueue(), SUBMISSION, request={})
    assert not isinstance(refused.value, NotMeasured)
    assert "POST /probe-sets/probes@1/measure" in str(refused.value.remedy)

    (folder / "6.png").write_bytes(image)
    with transaction(sessions) as session:
        prepare(session, RecordingQueue(), probe_set, Preparation.MEASURE)
    assert work().spec["images"] == IMAGES * PATCHES


def test_an_image_smaller_than_a_patch_is_named_by_its_row(sessions: Sessions, folder: Path, work: Work) -> None:
    Image.fromarray(np.zeros((10, 10), dtype=np.uint8)).save(folder / "2.png")
    probe_set = register_patches(sessions, folder)
    work()
    failure = problem(sessions, probe_set)
    assert (failure["code"], failure["value"]) == ("invalid-manifest", "row 3")


def test_a_set_that_skips_counts_what_cannot_be_read(sessions: Sessions, folder: Path, run: Run, work: Work) -> None:
    whole = (folder / "6.png").read_bytes()
    (folder / "6.png").write_bytes(bytes(len(whole)))
    register_patches(sessions, folder, "skip")
    assert work().spec["images"] == (IMAGES - 1) * PATCHES + 1
    (folder / "6.png").write_bytes(whole)
    job = run(dissect(sessions, folder, "skip"))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert job.manifest["rows_skipped"] == [7], "an image that is readable again is not shown whole among patches"


def unreadable(path: Path) -> bytes:
    """Damage a file without changing its size; what it was."""
    content = path.read_bytes()
    path.write_bytes(bytes(len(content)))
    return content


def ask_again(sessions: Sessions, probe_set: Resource) -> list[UUID]:
    """The probe sets that are then measured."""
    queue = RecordingQueue()
    with transaction(sessions) as session:
        measure_again(session, queue, probe_set)
    return [identifier for _, identifier in queue.published]


def test_skipped_images_that_were_mended_are_measured_again(
    sessions: Sessions, folder: Path, run: Run, work: Work
) -> None:
    whole = unreadable(folder / "6.png")
    register_patches(sessions, folder, "skip")
    measured = work()
    assert (measured.spec["unmeasured"], measured.spec["unmeasured_rows"]) == (1, [7])

    (folder / "6.png").write_bytes(whole)
    assert ask_again(sessions, measured) == [measured.id]
    forgotten = registered(sessions)
    assert forgotten.spec["images"] is None
    assert "unmeasured" not in forgotten.spec
    with pytest.raises(NotMeasured):
        dissect(sessions, folder, "skip")

    measured = work()
    assert measured.spec["images"] == IMAGES * PATCHES
    assert (measured.spec["unmeasured"], measured.spec["unmeasured_rows"]) == (0, [])
    assert ask_again(sessions, measured) == [], "all is measured"
    job = run(dissect(sessions, folder, "skip"))
    assert job.manifest is not None
    assert job.manifest["rows_skipped"] == []


def test_of_many_unmeasured_images_the_first_rows_are_named(
    sessions: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.pipelines.prepare._ROWS_NAMED", 2)
    for name in ("2.png", "3.png", "6.png"):
        unreadable(folder / name)
    probe_set = register_patches(sessions, folder, "skip")

    result = measure_probe_set(sessions, ANYWHERE, probe_set.id, lambda _: None)
    assert result == {"images": (IMAGES - 3) * PATCHES + 3, "unmeasured": 3, "unmeasured_rows": [3, 4]}


def test_the_patches_are_those_of_the_worker_that_was_first(
    sessions: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe_set = register_patches(sessions, folder, "skip")

    def measure_as_second(listed: ProbeSet, *_: object) -> list[ImageSize | None]:
        sizes = measuring.measure(listed)
        with transaction(sessions) as session:
            keep_sizes(session, digest_of_probe_set(listed), [None, *sizes[1:]])
        return sizes

    monkeypatch.setattr("service.pipelines.prepare.measure", measure_as_second)
    result = measure_probe_set(sessions, ANYWHERE, probe_set.id, lambda _: None)
    assert result == {"images": (IMAGES - 1) * PATCHES + 1, "unmeasured": 1, "unmeasured_rows": [1]}


def test_the_same_set_under_another_name_is_measured_again_with_it(
    sessions: Sessions, folder: Path, work: Work
) -> None:
    whole = unreadable(folder / "6.png")
    probe_set = register_patches(sessions, folder, "skip")
    with transaction(sessions) as session:
        wanted: dict[str, Any] = {"patches": GRID, "on_unreadable": "skip", "roots": ANYWHERE}
        manifest = str(folder / "manifest.csv")
        other, _ = register_probe_set(session, RecordingQueue(), name="other", manifest=manifest, **wanted)
    work()

    (folder / "6.png").write_bytes(whole)
    assert sorted(ask_again(sessions, probe_set)) == sorted([probe_set.id, other.id])
    work()
    with transaction(sessions) as session:
        assert get_resource(session, other.id).spec["images"] == IMAGES * PATCHES


@pytest.mark.parametrize("sites", [None, ("n",), ("m", "n")])
def test_what_a_job_has_used_is_not_measured_again(
    sessions: Sessions, folder: Path, work: Work, sites: tuple[str, ...] | None
) -> None:
    """sites: of the part that the job is on; None for the whole set."""
    rows = [f"{index}.png,{site_of(index)}" for index in range(IMAGES)]
    (folder / "manifest.csv").write_text("\n".join(["image,site", *rows, ""]))
    whole = unreadable(folder / "6.png")
    register_patches(sessions, folder, "skip")
    probe_set = work()
    with transaction(sessions) as session:
        used = probe_set
        if sites is not None:
            used = register_part(session, probe_set, probe_set_of(session, probe_set, ANYWHERE), {"site": sites})
            assert "unmeasured" not in used.spec
        submit_job(session, RecordingQueue(), replace(SUBMISSION, probe_set=used.reference), request={})

    (folder / "6.png").write_bytes(whole)
    with pytest.raises(Conflict, match="has used probe set probes@1") as refused:
        ask_again(sessions, probe_set)
    assert "Add a column to the manifest" in str(refused.value.remedy)
    assert registered(sessions).spec == probe_set.spec

    (folder / "manifest.csv").write_text("\n".join(["image,site,revision", *(f"{row},2" for row in rows), ""]))
    assert register_patches(sessions, folder, "skip").version == 2
    assert work().spec["images"] == IMAGES * PATCHES


@pytest.mark.parametrize(
    "changes",
    [{"patches": PatchGrid(15, 15), "on_unreadable": "skip"}, {"patches": GRID, "on_unreadable": "fail"}],
    ids=["another grid", "unreadable images forbidden"],
)
def test_a_part_of_another_set_of_the_same_manifest_is_no_use_of_it(
    sessions: Sessions, folder: Path, work: Work, changes: dict[str, Any]
) -> None:
    rows = [f"{index}.png,{'n' if index < 3 else 's'}" for index in range(IMAGES)]
    (folder / "manifest.csv").write_text("\n".join(["image,site", *rows, ""]))
    with transaction(sessions) as session:
        register(session, folder, RecordingQueue(), probe_set=changes)
    other = work()
    with transaction(sessions) as session:
        part = register_part(session, other, probe_set_of(session, other, ANYWHERE), {"site": ("n",)})
        submit_job(session, RecordingQueue(), replace(SUBMISSION, probe_set=part.reference), request={})

    whole = unreadable(folder / "6.png")
    probe_set = register_patches(sessions, folder, "skip")
    work()
    (folder / "6.png").write_bytes(whole)
    assert ask_again(sessions, probe_set) == [probe_set.id]


def test_no_job_comes_in_while_sizes_are_forgotten(sessions: Sessions, folder: Path, work: Work) -> None:
    unreadable(folder / "6.png")
    register_patches(sessions, folder, "skip")
    probe_set = work()
    with sessions() as submitting, sessions() as forgetting:
        submit_job(submitting, RecordingQueue(), SUBMISSION, request={})
        forgetting.execute(text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(OperationalError, match="lock timeout"):
            measure_again(forgetting, RecordingQueue(), probe_set)


def test_top_k_follows_the_number_of_patches(sessions: Sessions, folder: Path, work: Work) -> None:
    register_patches(sessions, folder)
    work()
    job = dissect(sessions, folder, fit_top_k=True)
    assert job.request.options.method.top_k == 10


@pytest.mark.parametrize(("sites", "images"), [(("n",), 3), (("m", "n"), 5)])
def test_a_stratum_has_the_patches_of_its_images(
    sessions: Sessions, folder: Path, work: Work, sites: tuple[str, ...], images: int
) -> None:
    rows = [f"{index}.png,{site_of(index)}" for index in range(IMAGES)]
    (folder / "manifest.csv").write_text("\n".join(["image,site", *rows, ""]))
    register_patches(sessions, folder)
    probe_set = work()
    with transaction(sessions) as session:
        whole = probe_set_of(session, probe_set, ANYWHERE)
        part = register_part(session, probe_set, whole, {"site": sites})
        assert part.spec["images"] == images * PATCHES
        assert probe_set_of(session, part, ANYWHERE).items == whole.part({"site": sites}).items
        queue = RecordingQueue()
        prepare(session, queue, part, Preparation.MEASURE)
        assert part.id not in dict(unprepared_resources(session))
    assert queue.published == [], "its images are those of the whole"
    assert measure_probe_set(sessions, ANYWHERE, part.id, lambda _: None)["unmeasured"] == 0


def as_before_the_upgrade(sessions: Sessions, probe_set: Resource, images: int) -> None:
    """Earlier releases stored the number of patches alone."""
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM work_items WHERE resource_id = :id"), {"id": probe_set.id})
        session.execute(text("DELETE FROM image_sizes"))
        session.execute(
            text("""UPDATE resources SET spec = jsonb_set(spec, '{images}', to_jsonb(:n)) WHERE id = :id"""),
            {"n": images, "id": probe_set.id},
        )


def test_a_set_of_an_earlier_release_goes_on_working(sessions: Sessions, folder: Path, run: Run) -> None:
    probe_set = register_patches(sessions, folder)
    as_before_the_upgrade(sessions, probe_set, IMAGES * PATCHES)
    with transaction(sessions) as session, pytest.raises(NotMeasured):
        probe_set_of(session, registered(sessions), ANYWHERE)
    job = run(dissect(sessions, folder))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    with transaction(sessions) as session:
        assert (
            find_sizes(session, digest_of_probe_set(listed_probe_set(probe_set, ANYWHERE)))
            == [ImageSize(40, 30)] * IMAGES
        )


def test_a_set_of_an_earlier_release_with_other_patches_now_is_refused(
    sessions: Sessions, folder: Path, work: Work
) -> None:
    probe_set = register_patches(sessions, folder)
    as_before_the_upgrade(sessions, probe_set, 3)
    with transaction(sessions) as session:
        prepare(session, RecordingQueue(), probe_set, Preparation.MEASURE)
    assert work().spec["images"] == 3
    assert "had 3 patches" in problem(sessions, probe_set)["detail"]
