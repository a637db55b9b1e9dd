"""Jobs with a dissector's folder as a library writes it: what was concluded and what was cut stands in the result."""

from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest

from service.db.jobs import parts_of
from service.db.session import Sessions, transaction
from service.db.work import find_check
from service.domain.concepts import Concept, ConceptSet
from service.domain.jobs import Job, JobStatus
from service.domain.models import DISSECTOR_FILES
from service.engine.dissectors.directory import CONFIG
from service.engine.dissectors.layouts import OPEN_CLIP, TRANSFORMERS
from service.usecases.jobs import submit_job
from service.usecases.reports import read_report, write_html
from service.usecases.resources import register_concept_set
from tests.engine.dissectors import library_folders
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import SUBMISSION, register
from tests.usecases.factories import RecordingQueue

LONG = "a dense breast with a spiculated mass with calcifications with skin with a mass with calcifications"


@pytest.fixture
def biomed(folder: Path) -> Path:
    rmtree(folder / "dissector")
    (folder / "dissector").mkdir()
    library_folders.biomed_clip(folder / "dissector")
    return folder


def submitted(sessions: Sessions, folder: Path, *texts: str) -> Job:
    queue = RecordingQueue()
    with transaction(sessions) as session:
        register(session, folder, queue)
        register_concept_set(session, ConceptSet("texts", tuple(Concept(text, "kind", "findings") for text in texts)))
        return submit_job(session, queue, replace(SUBMISSION, concept_set="texts"), request={})


def test_what_was_concluded_and_cut_stands_in_manifest_and_report(sessions: Sessions, biomed: Path, run: Run) -> None:
    job = run(submitted(sessions, biomed, "skin", f"{LONG} benign", "mass"))

    assert job.status is JobStatus.SUCCEEDED
    assert job.manifest is not None
    assert job.manifest["texts_cut"] == [{"text": f"{LONG} benign", "tokens": 19, "read": 16}]
    notes = job.manifest["dissector"]["notes"]
    assert any("From the weights it was concluded that it is a BERT" in note for note in notes)

    with transaction(sessions) as session:
        page = write_html(session, read_report(session, job.id, must_have=None), job.id)
        check = find_check(session, parts_of(session, job.id).dissector.id)
    assert check is not None
    assert check["notes"] == notes, "a worker that opens it when it is registered says the same"
    assert "benign&#39; the dissector reads 16 of 19 tokens." in page
    assert "About the dissector: The folder has no dissector.json" in page


def test_concepts_that_are_cut_to_one_are_refused_with_both_named(sessions: Sessions, biomed: Path, run: Run) -> None:
    job = run(submitted(sessions, biomed, "skin", f"{LONG}, benign", f"{LONG}, malignant", "mass"))
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    assert job.problem["code"] == "invalid-concept-set"
    assert f"'{LONG}, benign' and '{LONG}, malignant' apart" in str(job.problem["detail"])

    first = run(submitted(sessions, biomed, "skin", f"benign {LONG}", f"malignant {LONG}"))
    assert first.status is JobStatus.SUCCEEDED, "the remedy works"


def test_registration_knows_the_files_that_say_what_a_dissector_is() -> None:
    assert (CONFIG, OPEN_CLIP.description, TRANSFORMERS.description) == DISSECTOR_FILES
