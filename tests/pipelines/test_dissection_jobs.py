"""Whole jobs on small networks: what is stored, what is reused, and every way in which a job may end."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sqlalchemy import text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from service.analysis.layer_codec import decode_layer
from service.config import Settings
from service.db.jobs import parts_of
from service.db.pictures import find_pictures
from service.db.resources import find_inspection
from service.db.session import Sessions, transaction
from service.db.text_embeddings import find_texts
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job, JobStatus, Stage
from service.domain.layers import STAGES, canonical_layer
from service.domain.methods import Method, Similarity
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.purposes import Purpose
from service.domain.work import AnyLease, LayerListing, Preparation
from service.engine.dissectors import open_dissector
from service.errors import ProblemFields
from service.pipelines import finish
from service.pipelines.host import WorkerHost
from service.pipelines.items import DissectionRunner
from service.ports import WORK_TASK
from service.probes.manifest import read_manifest
from service.reports.pictures import images_of
from service.storage import open_store
from service.studies.dissection import DissectionPlan, run_dissection
from service.usecases.comparisons import compare_jobs
from service.usecases.garbage import collect_garbage
from service.usecases.jobs import cancel_job
from service.usecases.neurons import list_layers, read_layers
from service.usecases.preparations import prepare
from service.usecases.reports import read_report, write_html
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.pipelines.conftest import Run
from tests.pipelines.inline_child import InlineChild, inline_host
from tests.pipelines.small_jobs import CONCEPTS, IMAGES, submit
from tests.probes.dicom_files import write_crashing_dicom
from tests.reports.page import Page
from tests.usecases.factories import RecordingQueue, impatient, leased, slowly, without_preparations


def problem(job: Job) -> dict[str, Any]:
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    return dict(job.problem)


def test_layers_may_be_long_to_work_through(
    sessions: Sessions, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "decode_layer", slowly(decode_layer))
    monkeypatch.setattr(finish, "transaction", impatient)
    job = run(submit(sessions, folder))
    assert job.status is JobStatus.SUCCEEDED, job.problem


def test_a_job_that_succeeds(sessions: Sessions, folder: Path, run: Run) -> None:
    job = run(submit(sessions, folder))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert job.manifest["layers"] == list(LAYERS)
    assert job.manifest["images_used"] == IMAGES
    libraries = set(job.manifest["versions"])
    assert libraries >= {"pydicom", "timm", "open_clip_torch", "transformers", "tokenizers", "numpy", "numba", "torch"}
    assert any(name.startswith("opencv") for name in libraries)
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at < job.started_at < job.finished_at
    with transaction(sessions) as session:
        summaries = list_layers(session, job.id)
        assert tuple(summary.layer for summary in summaries) == LAYERS
        for summary, layer in zip(summaries, read_layers(session, job.id), strict=True):
            assert [neuron.unit for neuron in layer.neurons] == list(range(summary.units))
            assert sum(neuron.dead for neuron in layer.neurons) == summary.dead_units
            alive = [neuron for neuron in layer.neurons if not neuron.dead]
            assert alive
            for neuron in alive:
                assert [len(neuron.concepts), len(neuron.images)] == [2, 3]
                assert neuron.concepts[0].score >= neuron.concepts[1].score
                assert CONCEPTS.texts[neuron.concepts[0].concept] == neuron.concepts[0].text


def test_pictures_are_stored_with_the_result(sessions: Sessions, folder: Path, run: Run) -> None:
    job = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0)))
    with transaction(sessions) as session:
        report = read_report(session, job.id, must_have=None)
        pictures = find_pictures(session, job.id)
        page = Page(write_html(session, report, job.id))
    shown = images_of(report.cards, report.watched.neurons)
    assert shown
    assert sorted(pictures, key=lambda place: place.row) == shown
    assert all(jpeg is not None and jpeg.startswith(b"\xff\xd8") for jpeg in pictures.values())
    assert "image not available here" not in page.text


def test_an_image_that_goes_before_the_result_is_stored_has_no_picture(
    sessions: Sessions, folder: Path, run: Run, runner: DissectionRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = runner.run

    def lose_an_image(lease: AnyLease, report_progress: Any, /) -> Mapping[str, Any]:
        if lease.stage is Stage.STORE:
            (folder / "3.png").write_bytes(b"")
        return compute(lease, report_progress)

    monkeypatch.setattr(runner, "run", lose_an_image)
    job = run(submit(sessions, folder, evidence=EvidenceOptions(draws=0)))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    with transaction(sessions) as session:
        pictures = find_pictures(session, job.id)
    assert {place.row for place, jpeg in pictures.items() if jpeg is None} == {4} & {place.row for place in pictures}
    assert any(pictures.values())


def test_the_meanings_of_the_concepts_are_kept_for_comparisons(
    sessions: Sessions, folder: Path, run: Run, settings: Settings
) -> None:
    manifest = run(submit(sessions, folder)).manifest
    assert manifest is not None
    collect_garbage(sessions, open_store(settings.artifacts_url), older_than=timedelta(0))
    key = (manifest["dissector"]["digest"], CONCEPTS.digest)
    with transaction(sessions) as session:
        texts = find_texts(session, *key, ["cuda", "cpu"])
        assert find_texts(session, *key, ["cuda"]) is find_texts(session, "0", CONCEPTS.digest, ["cpu"]) is None
    assert texts is not None
    dissector = open_dissector(DissectorSpec(folder / "dissector"), torch.device("cpu"))
    assert np.array_equal(texts, dissector.embed_texts(CONCEPTS.texts).numpy())


def test_a_second_message_changes_nothing(sessions: Sessions, folder: Path, run: Run) -> None:
    first = run(submit(sessions, folder))
    assert run(first) == first


def test_the_same_job_twice_gives_the_same_neurons_whatever_it_is_for(
    sessions: Sessions, folder: Path, run: Run
) -> None:
    jobs = [run(submit(sessions, folder))]
    with transaction(sessions) as session:
        computed = session.execute(text("SELECT key FROM artifacts ORDER BY key")).all()
    jobs.append(run(submit(sessions, folder, purpose=Purpose.CLINICAL, override_reason="For a test.")))
    assert jobs[0].id != jobs[1].id

    unstated = {"licence": None, "allowed_purposes": ["clinical", "research"], "allowed_purposes_from": "default"}
    terms = dict.fromkeys(("target", "dissector", "probe_set", "concept_set"), unstated)
    clinical = {"purpose": "clinical", "purpose_from": "request", "terms": terms}
    override = {"override_purpose": {"reason": "For a test.", "parts": []}}
    assert jobs[0].manifest is not None
    assert jobs[0].manifest | {**clinical, **override} == jobs[1].manifest
    assert (jobs[0].manifest["purpose"], jobs[0].manifest["purpose_from"]) == ("research", "default")
    with transaction(sessions) as session:
        assert session.execute(text("SELECT key FROM artifacts ORDER BY key")).all() == computed
    with transaction(sessions) as session:
        first, second = (list(read_layers(session, job.id)) for job in jobs)
    assert first == second


@pytest.mark.parametrize(("similarity", "basis"), [("contrast", "significant"), ("cosine", "best")])
def test_a_checkpoint_compared_with_itself_differs_by_exactly_nothing(
    sessions: Sessions, folder: Path, run: Run, similarity: Similarity, basis: str
) -> None:
    pixels = np.random.default_rng(4)
    for index in range(IMAGES, 24):
        Image.fromarray(pixels.integers(0, 256, (40, 30), dtype=np.uint8)).save(folder / f"{index}.png")
    (folder / "manifest.csv").write_text("image\n" + "".join(f"{index}.png\n" for index in range(24)))
    jobs = [run(submit(sessions, folder, method=Method.of(similarity, top_k=4))).id for _ in range(2)]
    with transaction(sessions) as session:
        result = compare_jobs(session, jobs)[0].result
    assert result is not None
    assert result.basis == basis
    assert (result.network.labelled[0] > 0) or basis == "significant"
    for scope in (result.network, *result.layers):
        assert scope.labelled[0] == scope.labelled[1]
        assert (scope.only, scope.concepts[0].value) == (((), ()), 0.0)
        for composition in (scope.categories, scope.broad_categories):
            assert all(
                (change.gain, change.p, change.q) == (0.0, 1.0, 1.0)
                for row in composition.rows
                for change in row.changes
            )
            assert all(
                change.low in {None, 0.0} and change.high in {None, 0.0}
                for row in composition.rows
                for change in row.changes
            )
            assert composition.divergence[0].value in {None, 0.0}
        churn = scope.churn[0]
        assert churn is not None
        assert (churn.vanished, churn.appeared) == (0, 0)
        assert churn.label.value in {None, 0.0}
        assert churn.semantic.value == churn.label.value, "None where no unit is named in both"
    assert not any("semantic" in note for note in result.notes)


def test_layers_asked_by_pattern_before_they_are_known_are_those_of_their_names(
    sessions: Sessions, folder: Path, run: Run
) -> None:
    asked = run(submit(sessions, folder, layers=(STAGES, "layer4.?")))
    assert asked.manifest is not None, asked.problem
    assert asked.manifest["layers"] == ["act1", "layer1", "layer2", "layer3", "layer4", "layer4.0"]
    assert asked.manifest["layers_asked"] == ["stages", "layer4.?"]

    named = run(submit(sessions, folder, layers=(STAGES, "layer4.?")))
    assert named.request.options.layers == tuple(asked.manifest["layers"])
    assert named.manifest is not None, named.problem
    assert named.manifest == asked.manifest


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


SPLITS = [(4, 4), (4, 8), (4, 100), (3, 5)]


@pytest.mark.parametrize(("batch_size", "shard_size"), SPLITS)
def test_workers_and_one_process_give_the_same_result(
    sessions: Sessions, folder: Path, run: Run, batch_size: int, shard_size: int
) -> None:
    job = run(submit(sessions, folder, batch_size=batch_size, shard_size=shard_size))
    plan = DissectionPlan(
        target=TargetSpec(folder / "target.safetensors", ARCHITECTURE),
        dissector=DissectorSpec(folder / "dissector"),
        probe_set=read_manifest(folder / "manifest.csv", name="probes"),
        concept_set=CONCEPTS,
        options=job.request.options,
        device="cpu",
        batch_size=batch_size,
        shard_size=shard_size,
    )
    _, manifest = run_dissection(plan, lambda _: None)
    assert job.request.purpose is not None
    assert job.manifest == {**manifest, **job.request.purpose.as_dict()}


def test_inspection_lists_the_layers(sessions: Sessions, folder: Path, run: Run) -> None:
    submitted = submit(sessions, folder)
    run(submitted)
    with transaction(sessions) as session:
        model = parts_of(session, submitted.id).target
        layers, problem = _inspection(session, model.id)
    assert problem is None
    assert layers is not None
    names = [layer["name"] for layer in layers]
    assert "layer4.0" in names
    assert names == [canonical_layer(name) for name in names]
    assert layers[0]["multiply_adds"] < layers[-1]["multiply_adds"]
    assert layers[-1]["share"] == 1

    (folder / "target.safetensors").write_bytes(b"other")
    with transaction(sessions) as session:
        prepare(session, RecordingQueue(), model, Preparation.INSPECT)
    run(submitted)
    with transaction(sessions) as session:
        layers, problem = _inspection(session, model.id)
    assert layers is None
    assert problem is not None
    assert problem["code"] == "digest-mismatch"
    assert "POST /models/target@1/inspect" in problem["remedy"]


def test_what_lies_outside_the_data_roots_by_now_is_not_opened(
    sessions: Sessions, settings: Settings, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    submitted = submit(sessions, folder)
    elsewhere = tmp_path_factory.mktemp("roots")
    runner = DissectionRunner(settings.model_copy(update={"data_roots": str(elsewhere)}), sessions)
    inline_host(sessions, settings, runner).work()
    with transaction(sessions) as session:
        model = parts_of(session, submitted.id).target
        _, problem = _inspection(session, model.id)
    assert problem is not None
    assert "outside the folders" in problem["detail"]


def _inspection(session: Session, model: UUID) -> tuple[Sequence[LayerListing] | None, ProblemFields | None]:
    inspection = find_inspection(session, model)
    assert inspection is not None
    return inspection


def test_a_worker_that_finds_work_wakes_another(
    sessions: Sessions, folder: Path, settings: Settings, runner: DissectionRunner
) -> None:
    queue = RecordingQueue()
    store = open_store(settings.artifacts_url)
    job = submit(sessions, folder)
    with transaction(sessions) as session:
        without_preparations(session)
    WorkerHost(sessions, settings, queue, store, InlineChild(runner)).work()
    message = (WORK_TASK, job.id)
    assert queue.published == [message, message, message], "more shards are ready; scoring begins; storing begins"
    WorkerHost(sessions, settings, queue, store, InlineChild(runner)).work()
    assert len(queue.published) == 3, "one that finds nothing wakes nobody"
