"""Whole jobs on small networks: what is stored, and what is reused."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sqlalchemy import text

from service.analysis.layer_codec import decode_layer
from service.config import Settings
from service.db.pictures import find_pictures
from service.db.session import Sessions, transaction
from service.db.text_embeddings import find_texts
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import JobStatus, Stage
from service.domain.layers import STAGES
from service.domain.methods import Method, Similarity
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.purposes import Purpose
from service.domain.work import AnyLease
from service.engine.dissectors import open_dissector
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
from service.usecases.neurons import list_layers, read_layers
from service.usecases.reports import read_report, write_html
from tests.engine.small_networks import ARCHITECTURE, LAYERS
from tests.pipelines.conftest import Run
from tests.pipelines.inline_child import InlineChild
from tests.pipelines.small_jobs import CONCEPTS, IMAGES, submit
from tests.reports.page import Page
from tests.usecases.factories import RecordingQueue, impatient, slowly, without_preparations


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
    shown = images_of(report.cards, report.watched.neurons, report.unnamed)
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
