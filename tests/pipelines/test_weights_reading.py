"""Which weights of a file a target has, from its registration to the report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from service.db.jobs import parts_of
from service.db.resources import find_reading
from service.db.session import Sessions, transaction
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job, JobStatus
from service.errors import UnknownLayer
from service.files import ANYWHERE
from service.usecases.jobs import submit_job
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.reports import read_report, write_html
from tests.engine.small_networks import ARCHITECTURE
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import SUBMISSION, register
from tests.reports.page import Page
from tests.usecases.factories import RecordingQueue


def weights(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    return timm.create_model("test_resnet").state_dict()


def submit_on(sessions: Sessions, folder: Path, contents: object, wanted: str | None) -> Job:
    torch.save(contents, folder / "trained.pt")
    queue = RecordingQueue()
    with transaction(sessions) as session:
        register(session, folder, queue)
        checkpoint = NamedCheckpoint(str(folder / "trained.pt"), ARCHITECTURE, weights=wanted)
        register_model(session, queue, checkpoint, name="trained", roots=ANYWHERE)
        submission = replace(SUBMISSION, target="trained", evidence=EvidenceOptions(draws=0))
        return submit_job(session, queue, submission, request={})


@pytest.mark.parametrize(
    ("wanted", "entry", "chosen"), [(None, "state_dict", "default"), ("state_dict_ema", "state_dict_ema", "given")]
)
def test_the_choice_is_in_the_inspection_the_manifest_and_the_report(
    sessions: Sessions, folder: Path, run: Run, wanted: str | None, entry: str, chosen: str
) -> None:
    job = run(submit_on(sessions, folder, {"state_dict": weights(1), "state_dict_ema": weights(2)}, wanted))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    reading = job.manifest["target"]["weights"]
    assert (reading["entry"], reading["chosen"]) == (entry, chosen)
    assert reading["sets"] == ["state_dict", "state_dict_ema"]
    with transaction(sessions) as session:
        assert find_reading(session, parts_of(session, job.id).target.id) == reading
        page = Page(write_html(session, read_report(session, job.id, must_have=None), job.id))
    assert f"The weights are those of the entry '{entry}'" in page.text


def test_a_layer_that_was_left_out_is_refused_when_the_job_is_submitted(
    sessions: Sessions, folder: Path, run: Run
) -> None:
    headless = {key: value for key, value in weights(1).items() if not key.startswith("fc.")}
    run(submit_on(sessions, folder, headless, None))
    submission = replace(SUBMISSION, target="trained", layers=("layer1.0", "fc"))
    with transaction(sessions) as session, pytest.raises(UnknownLayer, match="no weights that fit it"):
        submit_job(session, RecordingQueue(), submission, request={})
