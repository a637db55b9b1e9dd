"""Data sets whose rows are in the headers of their images: workers list these, then check them, and jobs go on."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from service.db.listings import iterate_headers
from service.db.resources import find_resource
from service.db.session import Sessions, transaction
from service.domain.jobs import Job, JobStatus
from service.domain.probes import PatchGrid
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.specs import probe_set_spec
from service.domain.work import Preparation
from service.errors import Conflict, InvalidInput, InvalidManifest, JobCancelled, NotListed
from service.files import ANYWHERE
from service.layouts import dicom_files, remembered
from service.layouts.dicom_headers import read_header as read_dicom_header
from service.layouts.pseudonyms import Pseudonyms
from service.layouts.source import ImageHeader
from service.pipelines import listing as listing_of_child
from service.usecases.jobs import submit_job
from service.usecases.preparations import problem_of
from service.usecases.probe_sets import check_again, find_check, probe_set_of, register_probe_set
from service.usecases.states import states_of
from tests.layouts.data_sets import write_table
from tests.pipelines.conftest import Run, Work
from tests.pipelines.small_jobs import SUBMISSION
from tests.pipelines.small_jobs import register as register_parts
from tests.probes.dicom_files import write_dicom
from tests.usecases.factories import RecordingQueue

KEY = b"a key of the tests"
IMAGES = 6


@pytest.fixture
def films(folder: Path) -> Path:
    """A folder of DICOM files of three patients, whose folders are called as they are."""
    place = folder / "films"
    for number in range(IMAGES):
        patient = f"Doe-{number // 2}"
        write_film(place / patient / f"{number}.dcm", number, PatientID=patient)
    (place / "notes.txt").write_text("none")
    (folder / "key").write_bytes(KEY)
    return place


def write_film(path: Path, number: int, **elements: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 4096, (40, 30), dtype=np.uint16)
    known = {
        "SOPInstanceUID": f"1.2.{number}",
        "StudyInstanceUID": f"1.9.{number // 2}",
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19600101",
        "ViewPosition": "CC",
        "ImageLaterality": "LR"[number % 2],
        "Manufacturer": "Maker",
    } | elements
    return write_dicom(path, pixels, bits=12, **known)


def wanted(films: Path, **changes: Any) -> dict[str, Any]:
    key_file = str(films.parent / "key")
    return {
        "manifest": str(films), "layout": "dicom-folder", "key_file": key_file,
        "patches": None, "on_unreadable": "fail", "roots": ANYWHERE,
    } | changes  # fmt: skip


def register(sessions: Sessions, films: Path, **changes: Any) -> Resource:
    with transaction(sessions) as session:
        return register_probe_set(session, RecordingQueue(), name="films", **wanted(films, **changes))[0]


def newest(sessions: Sessions) -> Resource:
    with transaction(sessions) as session:
        found = find_resource(session, ResourceKind.PROBE_SET, "films", None)
    assert found is not None
    return found


def state_of(sessions: Sessions, probe_set: Resource) -> ResourceState | None:
    with transaction(sessions) as session:
        return states_of(session, [probe_set]).get(probe_set.id)


def problem_of_set(sessions: Sessions, probe_set: Resource) -> dict[str, Any] | None:
    with transaction(sessions) as session:
        problem = problem_of(session, probe_set, Preparation.LIST)
    return None if problem is None else dict(problem)


def submit_on_films(sessions: Sessions, folder: Path) -> Job:
    queue = RecordingQueue()
    with transaction(sessions) as session:
        register_parts(session, folder, queue)
        return submit_job(session, queue, replace(SUBMISSION, probe_set="films"), request={})


def test_a_folder_is_listed_then_checked_and_a_job_runs_on_it(
    sessions: Sessions, folder: Path, films: Path, work: Work, run: Run
) -> None:
    probe_set = register(sessions, films)
    assert (probe_set.spec["images"], probe_set.spec["listing"]) == (None, None)
    assert state_of(sessions, probe_set) is ResourceState.CHECKING
    with pytest.raises(NotListed) as waiting, transaction(sessions) as session:
        find_check(session, probe_set)
    assert "GET /probe-sets/films" in str(waiting.value.remedy)

    work()

    listed = newest(sessions)
    assert listed.spec["images"] == IMAGES
    assert listed.digest != probe_set.digest
    assert probe_set_spec(listed)["independence"]["units"] == 3
    assert "1 file(s) were passed over, because each is not a DICOM file." in probe_set_spec(listed)["table_notes"]
    assert state_of(sessions, listed) is ResourceState.READY
    with transaction(sessions) as session:
        check = find_check(session, listed)
        items = probe_set_of(session, listed, ANYWHERE).items
    assert check.result is not None
    assert (check.result["images"], check.result["patients"]) == (IMAGES, 3)
    assert items[0].patient_id == Pseudonyms(KEY).of("patient_id", "Doe-0")
    assert dict(items[0].strata) == {"manufacturer": "Maker"}

    (films.parent / "key").unlink()  # the rows are kept, so nobody needs it any more
    job = run(submit_on_films(sessions, folder))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert job.manifest["images_used"] == IMAGES


def test_nothing_that_is_stored_or_told_says_who_somebody_is(
    sessions: Sessions, films: Path, work: Work, capsys: pytest.CaptureFixture[str]
) -> None:
    write_film(films / "Doe-9" / "9.dcm", 9, PatientID="Doe-9", SOPInstanceUID="1.2.1")
    register(sessions, films)

    work()

    listed = newest(sessions)
    assert any("left out" in note for note in probe_set_spec(listed)["table_notes"])
    with transaction(sessions) as session:
        rows = session.execute(text("SELECT data FROM image_listings")).scalar_one()
        items = session.execute(text("SELECT result::text FROM work_items WHERE result IS NOT NULL")).scalars().all()
    listing = gzip.decompress(rows).decode()
    assert listing.count("Doe") == listing.count("/") == IMAGES, "in the paths of files alone"
    for told in (str(probe_set_spec(listed)["table_notes"]), *items, capsys.readouterr().out):
        assert "Doe" not in told
        assert "1.2." not in told


def test_the_same_folder_again_is_the_same_version_and_a_grown_one_is_another(
    sessions: Sessions, films: Path, work: Work
) -> None:
    first = register(sessions, films)
    assert register(sessions, films).id == first.id
    work()
    second = register(sessions, films)
    assert second.id != first.id
    work()
    assert newest(sessions).spec["same_as"] == "films@1"

    write_film(films / "Doe-7" / "7.dcm", 7, PatientID="Doe-7")
    register(sessions, films)
    work()
    assert newest(sessions).spec["images"] == IMAGES + 1
    assert "same_as" not in newest(sessions).spec


def test_patches_are_measured_once_the_images_are_listed(sessions: Sessions, films: Path, work: Work) -> None:
    register(sessions, films, patches=PatchGrid(20, 20))
    work()
    assert newest(sessions).spec["images"] == 4 * IMAGES
    assert state_of(sessions, newest(sessions)) is ResourceState.READY


def test_what_cannot_be_listed_is_refused_and_tried_again(
    sessions: Sessions, folder: Path, films: Path, work: Work
) -> None:
    for path in films.rglob("*.dcm"):
        path.rename(folder / path.name)
    probe_set = register(sessions, films)
    work()

    assert state_of(sessions, probe_set) is ResourceState.REFUSED
    problem = problem_of_set(sessions, probe_set)
    assert problem is not None
    assert "No image of a folder of DICOM files is there" in problem["detail"]
    assert "POST /probe-sets/films@1/check tries again." in problem["remedy"]
    with pytest.raises(Conflict, match="cannot be listed"):
        submit_on_films(sessions, folder)

    write_film(films / "1.dcm", 1, PatientID="Doe-1")
    with transaction(sessions) as session:
        check_again(session, RecordingQueue(), probe_set, ANYWHERE)
    work()
    assert newest(sessions).spec["images"] == 1


def test_cmmd_is_listed_by_its_headers_and_keeps_its_findings(sessions: Sessions, folder: Path, work: Work) -> None:
    place = folder / "cmmd"
    header = ["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"]
    write_table(place / "CMMD_clinicaldata_revision.csv", [header, ["D1-0001", "R", "44", "2", "mass", "Benign", ""]])
    write_film(place / "CMMD/D1-0001/1.dcm", 1, PatientID="D1-0001", ImageLaterality="R")
    write_film(place / "CMMD/D1-0001/2.dcm", 2, PatientID="D1-0001", ImageLaterality="L")

    register(sessions, place, layout="cmmd", key_file=None)
    work()

    spec = probe_set_spec(newest(sessions))
    assert spec["images"] == 2
    assert dict(spec["findings"]["images"]) == {"mass": 1, "Benign mass": 1}


def test_listing_ends_when_nobody_wants_it(sessions: Sessions, films: Path) -> None:
    probe_set = register(sessions, films)

    def stop(_: int) -> None:
        raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        listing_of_child.list_images(sessions, ANYWHERE, probe_set.id, stop)


def test_a_lost_listing_goes_on_with_the_headers_that_were_not_read(
    sessions: Sessions, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "AT_ONCE", 2)
    monkeypatch.setattr(dicom_files, "_AT_ONCE", 2)
    probe_set = register(sessions, films)
    whole = listing_of_child.list_images(sessions, ANYWHERE, probe_set.id, lambda _: None)
    steps = iter(range(IMAGES))

    def stop(_: int) -> None:
        if next(steps) == 4:
            raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        listing_of_child.list_images(sessions, ANYWHERE, probe_set.id, stop)
    with transaction(sessions) as session:
        kept = b"".join(map(gzip.decompress, iterate_headers(session, probe_set.id))).decode()
    assert Pseudonyms(KEY).of("patient_id", "Doe-0") in kept
    assert "Doe" not in kept
    assert "1.2." not in kept

    read: list[str] = []

    def read_header(file: Any) -> ImageHeader:
        header = read_dicom_header(file)
        read.append(str(header.image_id))
        return header

    monkeypatch.setattr(listing_of_child, "read_header", read_header)
    assert listing_of_child.list_images(sessions, ANYWHERE, probe_set.id, lambda _: None) == whole
    assert 0 < len(read) < IMAGES
    assert "1.2.0" not in read
    with transaction(sessions) as session:
        assert not list(iterate_headers(session, probe_set.id))


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"key_file": None}, InvalidInput, "no key is named"),
        ({"manifest": "key"}, InvalidManifest, "not a folder"),
        ({"key_file": "films/notes.txt"}, InvalidInput, "fewer than"),
    ],
)
def test_what_needs_no_header_is_refused_at_once(
    sessions: Sessions, films: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    places = {name: None if place is None else str(films.parent / place) for name, place in changes.items()}
    with pytest.raises(error, match=said):
        register(sessions, films, **places)
