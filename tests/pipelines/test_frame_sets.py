"""Probe sets with images of several frames: what of them is shown, from registration to the report's pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.config import Settings
from service.db.neurons import read_layers
from service.db.pictures import find_pictures, find_sizes
from service.db.resources import find_resource
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.domain.probes import Frames, ImageSize, PatchGrid
from service.domain.resources import Resource, ResourceKind
from service.errors import NotMeasured
from service.files import ANYWHERE
from service.pipelines.items import DissectionRunner
from service.usecases.probe_sets import digest_of_probe_set, listed_probe_set, probe_set_of
from tests.pipelines.conftest import Run
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import IMAGES, register, submit
from tests.probes.raster_files import write_tiff
from tests.usecases.factories import RecordingQueue

FRAMES = 3
GRID = PatchGrid(20, 20)

Work = Callable[[], Resource]


@pytest.fixture
def work(sessions: Sessions, settings: Settings, runner: DissectionRunner) -> Work:
    def work_off() -> Resource:
        inline_host(sessions, settings, runner).work()
        with transaction(sessions) as session:
            probe_set = find_resource(session, ResourceKind.PROBE_SET, "probes", None)
        assert probe_set is not None
        return probe_set

    return work_off


def write_volume(path: Path) -> Path:
    """Three pages in place of the image."""
    values = np.random.default_rng(9).integers(0, 256, (FRAMES, 40, 30), dtype=np.uint8)
    return write_tiff(path, *values)


def register_frames(sessions: Sessions, folder: Path, frames: Frames, patches: PatchGrid | None = None) -> Resource:
    with transaction(sessions) as session:
        wanted = {"frames": frames, "patches": patches}
        return register(session, folder, RecordingQueue(), probe_set=wanted)


def test_each_frame_is_an_image_of_its_own_and_has_its_picture(
    sessions: Sessions, folder: Path, run: Run, work: Work
) -> None:
    write_volume(folder / "2.png")
    probe_set = register_frames(sessions, folder, "all")
    assert probe_set.spec["images"] is None
    assert probe_set.spec["frames"] == "all"
    with pytest.raises(NotMeasured):
        submit(sessions, folder, probe_set={"frames": "all"})
    assert work().spec["images"] == IMAGES - 1 + FRAMES

    with transaction(sessions) as session:
        items = probe_set_of(session, probe_set, ANYWHERE).items
        sizes = find_sizes(session, digest_of_probe_set(listed_probe_set(probe_set, ANYWHERE)))
    assert [item.image_id for item in items[1:6]] == ["1", "2#1", "2#2", "2#3", "3"]
    assert [item.frame for item in items[1:6]] == [1, 1, 2, 3, 1]
    assert sizes is not None
    assert sizes[1:4] == [ImageSize(40, 30), ImageSize(40, 30, 3), ImageSize(40, 30)]

    job = run(submit(sessions, folder, probe_set={"frames": "all"}))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert job.manifest["images_used"] == IMAGES - 1 + FRAMES

    with transaction(sessions) as session:
        layers = list(read_layers(session, job.id))
        pictures = find_pictures(session, job.id)
    shown = {
        (image.image_id, image.frame)
        for layer in layers
        for neuron in layer.neurons
        for image in neuron.images
        if image.row == 3
    }
    assert shown, "noise of one frame excites some neuron"
    assert all(image_id == f"2#{frame}" for image_id, frame in shown)
    drawn = {place.frame: jpeg for place, jpeg in pictures.items() if place.row == 3}
    assert len(set(drawn.values())) == len(drawn)
    assert None not in drawn.values()


@pytest.mark.parametrize("frames", ["middle", "projection"])
def test_one_picture_of_several_frames_needs_no_counting(
    sessions: Sessions, folder: Path, run: Run, frames: Frames
) -> None:
    write_volume(folder / "2.png")
    assert register_frames(sessions, folder, frames).spec["images"] == IMAGES
    job = run(submit(sessions, folder, probe_set={"frames": frames}))
    assert job.status is JobStatus.SUCCEEDED, job.problem


def test_several_frames_are_refused_where_nothing_was_said(sessions: Sessions, folder: Path, run: Run) -> None:
    write_volume(folder / "2.png")
    job = run(submit(sessions, folder))
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    assert "row 3 cannot be read: it has 3 frames" in job.problem["detail"]
    assert "`frames`: middle, all or projection" in str(job.problem["remedy"])


def test_frames_are_cut_into_patches(sessions: Sessions, folder: Path, work: Work) -> None:
    write_volume(folder / "2.png")
    probe_set = register_frames(sessions, folder, "all", GRID)
    assert work().spec["images"] == (IMAGES - 1 + FRAMES) * 4
    with transaction(sessions) as session:
        items = probe_set_of(session, probe_set, ANYWHERE).items
    assert [item.image_id for item in items if item.row == 3][3:5] == ["2#1@10,20", "2#2@0,0"]


def test_what_is_taken_of_frames_is_part_of_the_content(sessions: Sessions, folder: Path) -> None:
    choices: tuple[Frames, ...] = ("middle", "all", "projection")
    digests = {register_frames(sessions, folder, frames).digest for frames in choices}
    with transaction(sessions) as session:
        plain = register(session, folder, RecordingQueue())
    assert len(digests | {plain.digest}) == 4
    assert "frames" not in plain.spec
