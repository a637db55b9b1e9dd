"""Every way in which a whole job may end without a result: each says why, and stores nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from structlog.testing import capture_logs

from service.db.jobs import parts_of
from service.db.resources import find_inspection
from service.db.session import Sessions, transaction
from service.domain.jobs import Job, JobStatus, Stage
from service.domain.work import AnyLease, Preparation
from service.pipelines.items import DissectionRunner
from service.usecases.jobs import cancel_job
from service.usecases.neurons import list_layers
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import IMAGES, submit
from tests.probes.dicom_files import write_crashing_dicom
from tests.usecases.factories import leased


def problem(job: Job) -> dict[str, Any]:
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    return dict(job.problem)


def test_an_unknown_layer(sessions: Sessions, folder: Path, run: Run) -> None:
    failure = problem(run(submit(sessions, folder, layers=("layer1.7",))))
    assert (failure["code"], failure["field"]) == ("unknown-layer", "layers")
    assert "layer1.0" in failure["remedy"]


def damage(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)


@pytest.mark.parametrize("spoil", [damage, write_crashing_dicom], ids=["damaged", "crashes its decoder"])
def test_an_unreadable_image_fails_the_job_or_is_counted(
    sessions: Sessions, folder: Path, run: Run, spoil: Callable[[Path], object]
) -> None:
    spoil(folder / "6.png")
    registered = submit(sessions, folder)
    skipping = submit(sessions, folder, probe_set={"on_unreadable": "skip"})
    failure = problem(run(registered))
    assert failure["code"] == "unreadable-image"
    assert "7" in failure["detail"], "the row of the manifest names the image"
    assert "6.png" not in str(failure), "file names may carry patient data"
    job = run(skipping)
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert (job.manifest["images_used"], job.manifest["rows_skipped"]) == (IMAGES - 1, [7])


def test_what_changed_since_it_was_registered_is_refused(sessions: Sessions, folder: Path, run: Run) -> None:
    manifest, weights = folder / "manifest.csv", folder / "dissector" / "weights.safetensors"
    jobs = [submit(sessions, folder) for _ in range(3)]
    text, bytes_ = manifest.read_text(), weights.read_bytes()
    manifest.write_text(text + "0.png\n")
    assert problem(run(jobs[0]))["field"] == "probe_set"
    manifest.write_text(text)
    weights.write_bytes(bytes_[:-1] + b"\x01")
    assert problem(run(jobs[1]))["code"] == "digest-mismatch"
    weights.write_bytes(bytes_)
    (folder / "target.safetensors").write_bytes(b"other")
    assert problem(run(jobs[2]))["code"] == "digest-mismatch"


def test_nan_activations(sessions: Sessions, folder: Path, run: Run) -> None:
    path = folder / "target.safetensors"
    weights = load_file(path)
    name = next(key for key in weights if key.startswith("layer1.0.") and key.endswith(".weight"))
    save_file(weights | {name: torch.full_like(weights[name], 3e38)}, path)  # finite, but what they make is not
    failure = problem(run(submit(sessions, folder)))
    assert failure["code"] == "invalid-activations"
    assert "layer1.0" in failure["detail"]


def test_a_checkpoint_of_another_architecture(sessions: Sessions, folder: Path, run: Run) -> None:
    save_file({"weight": torch.zeros(1)}, folder / "target.safetensors")
    assert problem(run(submit(sessions, folder)))["code"] == "invalid-checkpoint"


def test_a_crash_is_a_failed_job_that_tells_nothing(
    sessions: Sessions, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("service.engine.probing.probe.ProbingPass.run", crash)
    failure = problem(run(submit(sessions, folder)))
    assert failure["code"] == "internal"
    assert "secret" not in str(failure)


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        (Stage.STORE, lambda _: {}),
        (Stage.STORE, lambda result: result | {"layers": 5}),
        (Stage.STORE, lambda result: result | {"manifest": []}),
        (Stage.STORE, lambda result: result | {"manifest": result["manifest"] | {"concept_set": 5}}),
        (Stage.STORE, lambda result: result | {"manifest": result["manifest"] | {"concept_set": {}}}),
        (Stage.STORE, lambda result: result | {"texts": result["layers"][0]}),
        (Preparation.INSPECT, lambda _: {}),
    ],
)
def test_a_result_that_is_not_what_its_stage_gives_ends_the_item_at_once(
    sessions: Sessions,
    folder: Path,
    run: Run,
    runner: DissectionRunner,
    monkeypatch: pytest.MonkeyPatch,
    stage: Stage | Preparation,
    change: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    compute = runner.run

    def give(lease: AnyLease, tell: Any, /) -> Mapping[str, Any]:
        result = compute(lease, tell)
        return change(dict(result)) if lease.stage is stage else result

    monkeypatch.setattr(runner, "run", give)
    with capture_logs() as logs:
        job = run(submit(sessions, folder))

    problem = job.problem
    if stage is Preparation.INSPECT:
        with transaction(sessions) as session:
            inspection = find_inspection(session, parts_of(session, job.id).target.id)
        assert inspection is not None
        problem = inspection[1]
        assert job.status is JobStatus.SUCCEEDED
    else:
        assert job.status is JobStatus.FAILED
    assert problem is not None
    assert (problem["code"], "cannot be stored" in problem["detail"]) == ("internal", True)
    told = [entry for entry in logs if entry["event"] == "the answer cannot be stored"]
    assert len(told) == (2 if stage is Preparation.INSPECT else 1), "of the model and the dissector"
    assert all(entry["exc_info"] for entry in told)
    assert leased(sessions) == 0


@pytest.mark.parametrize("stage", [Stage.PROBE, Stage.SCORE, Stage.STORE])
def test_a_cancelled_job_stores_nothing(
    sessions: Sessions, folder: Path, run: Run, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    submitted = submit(sessions, folder)
    compute = runner.run

    def cancel_meanwhile(lease: AnyLease, report_progress: Any, /) -> Mapping[str, Any]:
        if lease.stage is stage:
            with transaction(sessions) as session:
                cancel_job(session, submitted.id)
        return compute(lease, report_progress)

    monkeypatch.setattr(runner, "run", cancel_meanwhile)
    job = run(submitted)
    assert (job.status, job.manifest, job.problem) == (JobStatus.CANCELLED, None, None)
    with transaction(sessions) as session:
        assert list_layers(session, job.id) == []
