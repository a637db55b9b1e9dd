"""Whole ablations on small networks: what changes, what is reused, what cannot be asked."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from fastapi.testclient import TestClient
from safetensors.torch import save_file
from sqlalchemy import text

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.ablations import Ablation, AblationResult, AblationStage, AblationStatus, UnitChoice
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job, JobStatus
from service.domain.work import AblationLease, AnyLease
from service.errors import Unavailable
from service.pipelines.items import DissectionRunner
from service.storage import open_store
from service.usecases.ablations import AblationSubmission, cancel_ablation, find_ablation, submit_ablation
from service.usecases.garbage import collect_garbage
from tests.pipelines.conftest import Run, Work
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import submit, write_folder
from tests.usecases.factories import RecordingQueue

IMAGES = 24
UNITS = UnitChoice(layer="layer4.0", units=(0, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty-four patients, every second one with a mass, the others with a cyst."""
    columns = {
        "patient_id": [f"p{index}" for index in range(IMAGES)],
        "findings": ["mass" if index % 2 else "cyst" for index in range(IMAGES)],
    }
    return write_folder(tmp_path, images=IMAGES, columns=columns)


@pytest.fixture
def job(sessions: Sessions, folder: Path, run: Run) -> Job:
    job = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0), shard_size=10))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    return job


def ask(sessions: Sessions, job: Job, choice: UnitChoice = UNITS, **more: Any) -> Ablation:
    with transaction(sessions) as session:
        return submit_ablation(session, RecordingQueue(), job.id, AblationSubmission(choice, **more))


def found(sessions: Sessions, ablation: Ablation) -> Ablation:
    with transaction(sessions) as session:
        return find_ablation(session, ablation.job, ablation.id)


def result_of(sessions: Sessions, ablation: Ablation) -> AblationResult:
    now = found(sessions, ablation)
    assert now.status is AblationStatus.SUCCEEDED, now.problem
    assert now.result is not None
    return now.result


def test_units_at_their_mean_change_the_outputs(sessions: Sessions, job: Job, work: Work) -> None:
    asked = ask(sessions, job, each=True)
    assert (asked.status, asked.done, asked.total) == (AblationStatus.QUEUED, 0, IMAGES)
    work()

    result = result_of(sessions, asked)
    assert (result.images, result.drawn_by, result.drawn, result.resamples) == (IMAGES, "patient", IMAGES, 1000)
    assert (result.outputs, result.output_of, result.device) == (1000, "fc", "cpu")
    assert len(result.effect.outputs) == 1000
    assert len(result.effect.aurocs) == 64
    assert [(count.finding, count.positives, count.negatives) for count in result.findings] == [
        ("cyst", 12, 12),
        ("mass", 12, 12),
    ]
    assert [(unit.layer, unit.unit, len(unit.effect.outputs)) for unit in result.units] == [
        ("layer4.0", 0, 32),
        ("layer4.0", 3, 32),
    ]
    for change in result.effect.outputs:
        assert change.absolute_low is not None
        assert change.absolute is not None
        assert change.absolute_high is not None
        assert 0 < change.absolute_low <= change.absolute <= change.absolute_high
    for area in result.effect.aurocs:
        assert area.low is not None
        assert area.high is not None
        assert area.low <= area.high
    now = found(sessions, asked)
    assert (now.done, now.total) == (2 * IMAGES, 2 * IMAGES)


def test_shards_of_any_size_give_the_same(sessions: Sessions, folder: Path, run: Run, job: Job, work: Work) -> None:
    whole = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0), shard_size=64))
    ablations = [ask(sessions, each) for each in (job, whole)]
    work()
    parts, together = (result_of(sessions, ablation) for ablation in ablations)
    for change, same in zip(parts.effect.outputs, together.effect.outputs, strict=True):
        assert change.change == pytest.approx(same.change, rel=1e-3, abs=1e-4)


def test_the_same_again_is_the_same_ablation_and_shares_what_the_network_returned(
    sessions: Sessions, job: Job, work: Work, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(sessions, job)
    work()
    assert ask(sessions, job).id == first.id
    assert ask(sessions, job).status is AblationStatus.SUCCEEDED

    kinds: list[str] = []
    with transaction(sessions) as session:
        kinds += session.scalars(text("SELECT kind FROM artifacts WHERE kind IN ('outputs', 'ablated')"))
    assert sorted(kinds) == ["ablated"] * 3 + ["outputs"] * 3

    other = ask(sessions, job, value="zero")
    assert other.id != first.id
    work()
    assert result_of(sessions, other).effect != result_of(sessions, first).effect
    with transaction(sessions) as session:
        query = "SELECT kind, count(*) FROM artifacts WHERE kind IN ('outputs', 'ablated') GROUP BY kind ORDER BY kind"
        assert [tuple(row) for row in session.execute(text(query))] == [("ablated", 6), ("outputs", 3)]


def test_it_goes_on_where_it_stopped(
    sessions: Sessions, job: Job, settings: Settings, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = runner.run
    computed: list[tuple[str, int]] = []

    def stop_at_the_last_shard(lease: AnyLease, report_progress: Any, /) -> Any:
        assert isinstance(lease, AblationLease)
        if lease.stage is AblationStage.ABLATE and lease.position == 2 and len(computed) < 6:
            computed.append(("stopped", 2))
            raise Unavailable("The drive does not answer.")
        computed.append((lease.stage, lease.position))
        return compute(lease, report_progress)

    monkeypatch.setattr(runner, "run", stop_at_the_last_shard)
    asked = ask(sessions, job)
    inline_host(sessions, settings.model_copy(update={"max_attempts": 1}), runner).work()
    failed = found(sessions, asked)
    assert failed.status is AblationStatus.FAILED
    assert failed.problem is not None
    assert failed.problem["code"] == "given-up"
    assert "The drive does not answer." in failed.problem["detail"]

    assert ask(sessions, job).status is AblationStatus.QUEUED
    inline_host(sessions, settings, runner).work()
    result_of(sessions, asked)
    assert computed == [
        ("outputs", 0),
        ("outputs", 1),
        ("outputs", 2),
        ("ablate", 0),
        ("ablate", 1),
        ("stopped", 2),
        ("ablate", 2),
        ("conclude", 0),
    ]


def test_a_cancelled_one_stops_and_may_go_on(
    sessions: Sessions, job: Job, work: Work, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(sessions, job)
    compute = runner.run

    def cancel_meanwhile(lease: AnyLease, report_progress: Any, /) -> Any:
        if lease.stage is AblationStage.OUTPUTS and lease.position == 1:
            with transaction(sessions) as session:
                cancel_ablation(session, job.id, asked.id)
        return compute(lease, report_progress)

    monkeypatch.setattr(runner, "run", cancel_meanwhile)
    work()
    assert found(sessions, asked).status is AblationStatus.CANCELLED

    monkeypatch.setattr(runner, "run", compute)
    ask(sessions, job)
    work()
    result_of(sessions, asked)


def test_artifacts_that_are_gone_are_computed_again(
    sessions: Sessions, job: Job, settings: Settings, runner: DissectionRunner, work: Work, monkeypatch: Any
) -> None:
    compute = runner.run

    def forget_before_the_end(lease: AnyLease, report_progress: Any, /) -> Any:
        if lease.stage is AblationStage.CONCLUDE:
            collect_garbage(sessions, open_store(settings.artifacts_url), older_than=timedelta(0))
        return compute(lease, report_progress)

    monkeypatch.setattr(runner, "run", forget_before_the_end)
    asked = ask(sessions, job)
    work()
    result_of(sessions, asked)


def test_images_that_have_changed_are_refused(
    sessions: Sessions, job: Job, folder: Path, settings: Settings, runner: DissectionRunner
) -> None:
    (folder / "3.png").write_bytes((folder / "4.png").read_bytes())
    asked = ask(sessions, job)
    inline_host(sessions, settings.model_copy(update={"max_attempts": 1}), runner).work()
    problem = found(sessions, asked).problem
    assert problem is not None
    assert "have changed since the job read them" in problem["detail"]


def test_a_network_without_a_classifier_cannot_be_asked(
    sessions: Sessions, tmp_path: Path, run: Run, work: Work, folder: Path
) -> None:
    torch.manual_seed(1)
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), folder / "target.safetensors")
    job = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0)))
    asked = ask(sessions, job)
    work()
    failed = found(sessions, asked)
    assert failed.status is AblationStatus.FAILED
    assert failed.problem is not None
    assert failed.problem["code"] == "no-outputs"
    assert failed.problem["remedy"].startswith("Dissect a target that ends in a classifier")


def test_the_last_layer_cannot_be_asked(sessions: Sessions, folder: Path, run: Run, work: Work) -> None:
    job = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0), layers=("fc",)))
    asked = ask(sessions, job, UnitChoice(layer="fc", units=(0,)))
    work()
    problem = found(sessions, asked).problem
    assert problem is not None
    assert "are the network's outputs themselves" in problem["detail"]


def test_a_dead_unit_changes_nothing_and_that_is_said(sessions: Sessions, folder: Path, run: Run, work: Work) -> None:
    torch.manual_seed(1)
    weights = timm.create_model("test_resnet").state_dict()
    last_norm = max(name for name in weights if name.startswith("layer1.0.bn") and name.endswith(".bias"))
    weights[last_norm][5] = -1000.0  # the ReLU behind it gives zero whatever is shown
    save_file(weights, folder / "target.safetensors")
    job = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0)))

    asked = ask(sessions, job, UnitChoice(layer="layer1.0", units=(5,)))
    assert asked.request.layers[0].dead == (5,)
    work()
    result = result_of(sessions, asked)
    assert result.effect.same
    assert {change.absolute for change in result.effect.outputs} == {0.0}
    assert result.notes[:2] == (
        "1 of 1 units is dead: what the job pooled of it is the same for every image.",
        "Every output of every image stays the same bit by bit.",
    )


def test_few_exams_have_no_intervals(sessions: Sessions, tmp_path: Path, run: Run, work: Work) -> None:
    few = tmp_path / "few"
    few.mkdir()
    job = run(submit(sessions, write_folder(few, images=10), evidence=EvidenceOptions(draws=0)))
    asked = ask(sessions, job)
    work()
    result = result_of(sessions, asked)
    assert result.resamples == 0
    assert {change.low for change in result.effect.outputs} == {None}
    assert result.effect.aurocs == ()
    assert result.notes[:2] == (
        "No intervals: there are 10 images, and at least 20 are needed.",
        "No AUROCs: the manifest has no findings.",
    )


def test_over_http(sessions: Sessions, job: Job, client: TestClient, work: Work) -> None:
    posted = client.post(f"/jobs/{job.id}/ablations", json={"layer": "layer4.0", "units": [3, 0]})
    assert posted.status_code == 202, posted.text
    assert posted.headers["Location"] == f"/jobs/{job.id}/ablations/{posted.json()['id']}"
    assert posted.json()["layers"] == [{"layer": "layer4.0", "units": [0, 3], "dead": []}]
    work()
    body = client.get(posted.headers["Location"]).json()
    assert body["status"] == "succeeded", body["problem"]
    assert len(body["result"]["effect"]["outputs"]) == 1000
    [brief] = client.get(f"/jobs/{job.id}/ablations").json()["items"]
    assert brief["held"] == 2
    assert "result" not in brief
