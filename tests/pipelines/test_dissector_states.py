"""A dissector that cannot work is refused when a worker opens it, before any job fails on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import JobStatus
from service.domain.prompts import Prompts
from service.domain.resources import Resource, ResourceState
from service.domain.specs import dissector_place
from service.domain.work import Preparation
from service.errors import PartRefused
from service.files import ANYWHERE
from service.pipelines.items import DissectionRunner
from service.usecases.preparations import prepare
from service.usecases.resources import register_dissector
from service.usecases.states import standing_of
from tests.pipelines.conftest import Run
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import submit
from tests.usecases.factories import RecordingQueue

Check = Callable[..., Resource]


@pytest.fixture
def check(sessions: Sessions, settings: Settings, runner: DissectionRunner, folder: Path) -> Check:
    """Register the dissector in the folder, and have a worker open it."""

    def registered(prompts: Prompts | None = None) -> Resource:
        path = str(folder / "dissector")
        name = "dissector" if prompts is None else "prompted"
        with transaction(sessions) as session:
            dissector, _ = register_dissector(
                session, RecordingQueue(), name=name, path=path, roots=ANYWHERE, prompts=prompts
            )
        inline_host(sessions, settings, runner).work()
        return dissector

    return registered


def damage_numbers(folder: Path) -> None:
    path = folder / "weights.safetensors"
    weights = load_file(path)
    save_file(weights | {"text_projection": torch.full_like(weights["text_projection"], torch.nan)}, path)


def take_foreign_weights(folder: Path) -> None:
    save_file({"weight": torch.zeros(3)}, folder / "weights.safetensors")


def lose_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def name_no_kind(folder: Path) -> None:
    (folder / "dissector.json").write_text('{"kind": "oracle"}')


def write_no_json(folder: Path) -> None:
    (folder / "dissector.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (damage_numbers, "not finite"),
        (take_foreign_weights, "weight"),
        (lose_weights, "weights.safetensors"),
        (name_no_kind, "known kind"),
        (write_no_json, "dissector.json"),
    ],
)
def test_a_folder_that_cannot_work(
    sessions: Sessions, folder: Path, check: Check, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(folder / "dissector")
    dissector = check()
    with transaction(sessions) as session:
        state, problem = standing_of(session, dissector)
    assert state is ResourceState.REFUSED
    assert problem is not None
    assert said in problem["detail"]
    assert problem["remedy"].endswith("POST /dissectors/dissector@1/inspect tries again.")
    with pytest.raises(PartRefused, match=said):
        submit(sessions, folder)


def test_a_folder_that_changes_and_is_mended(
    sessions: Sessions, folder: Path, settings: Settings, runner: DissectionRunner, check: Check
) -> None:
    dissector = check()

    def looked_at_again() -> ResourceState | None:
        with transaction(sessions) as session:
            prepare(session, RecordingQueue(), dissector, Preparation.INSPECT)
            assert standing_of(session, dissector) == (ResourceState.CHECKING, None)
        inline_host(sessions, settings, runner).work()
        with transaction(sessions) as session:
            return standing_of(session, dissector)[0]

    added = folder / "dissector" / "added.txt"
    added.write_text("x")
    assert looked_at_again() is ResourceState.REFUSED
    added.unlink()
    assert looked_at_again() is ResourceState.READY


def test_a_dissector_with_prompts_gives_them_to_its_jobs(
    sessions: Sessions, folder: Path, run: Run, check: Check
) -> None:
    """Its folder is opened by the folder's digest, which is not the one that it is registered with."""
    prompts = Prompts.of(["a mammogram showing {}"])
    dissector = check(prompts=prompts)
    with transaction(sessions) as session:
        assert standing_of(session, dissector) == (ResourceState.READY, None)
    job = run(submit(sessions, folder, dissector=dissector.reference, evidence=EvidenceOptions(draws=0)))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert job.manifest["method"]["prompts"] == prompts.as_dict()
    assert job.manifest["dissector"]["digest"] == dissector_place(dissector)["content"] != dissector.digest
