"""The whole pipeline on small networks: what is stored, and every way in which a job may end."""

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import SecretStr
from safetensors.torch import load_file, save_file

from service.config import Settings
from service.db.jobs import resource_ids
from service.db.resources import find_inspection, get_resource
from service.db.session import Sessions, transaction
from service.domain.concepts import Concept, ConceptSet
from service.domain.jobs import Job, JobStatus, Progress, Stage
from service.domain.layers import canonical_layer
from service.domain.methods import Method
from service.domain.neurons import NeuronFilter
from service.pipelines.inspect_model import inspect_model
from service.pipelines.run_job import JobProgress, run_job
from service.usecases.jobs import JobSubmission, cancel_job, find_job, submit_job
from service.usecases.neurons import list_layers, list_neurons
from service.usecases.resources import (
    register_concept_set,
    register_dissector,
    register_model,
    register_probe_set,
)
from tests.service.factories import RecordingQueue
from tests.service.small_networks import ARCHITECTURE, LAYERS, write_dissector, write_target

SETTINGS = Settings(database_url=SecretStr("unused"), device="cpu", batch_size=4)
CONCEPTS = ConceptSet("words", tuple(Concept(text, "kind", "findings") for text in ("mass", "calcification", "clip")))
IMAGES = 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(3)
    for index in range(IMAGES):
        Image.fromarray(pixels.integers(0, 256, (40, 30), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "manifest.csv").write_text("image\n" + "".join(f"{index}.png\n" for index in range(IMAGES)))
    write_target(tmp_path)
    write_dissector(tmp_path)
    return tmp_path


def submit(sessions: Sessions, folder: Path, *, layers: tuple[str, ...] = LAYERS, **probe_set: Any) -> Job:
    """Register everything in the folder and queue a job on it."""
    queue = RecordingQueue()
    with transaction(sessions) as session:
        register_model(
            session,
            queue,
            name="target",
            checkpoint=str(folder / "target.safetensors"),
            architecture=ARCHITECTURE,
            sha256=None,
            roots=(),
        )
        register_dissector(session, name="dissector", path=str(folder / "dissector"), roots=())
        register_probe_set(
            session,
            name="probes",
            manifest=str(folder / "manifest.csv"),
            **({"patches": None, "on_unreadable": "fail", "roots": ()} | probe_set),
        )
        register_concept_set(session, CONCEPTS)
        submission = JobSubmission(
            target="target",
            dissector="dissector",
            probe_set="probes",
            concept_set="words",
            layers=layers,
            method=Method.of(top_k=4),
            concepts_per_neuron=2,
            images_per_neuron=3,
        )
        return submit_job(session, queue, submission, request={})


def run(sessions: Sessions, job: Job) -> Job:
    run_job(sessions, SETTINGS, job.id)
    with transaction(sessions) as session:
        return find_job(session, job.id)


def problem(job: Job) -> dict[str, Any]:
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    return dict(job.problem)


def test_a_job_that_succeeds(sessions: Sessions, folder: Path) -> None:
    job = run(sessions, submit(sessions, folder))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert job.manifest["layers"] == list(LAYERS)
    assert job.manifest["images_used"] == IMAGES
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at < job.started_at < job.finished_at
    with transaction(sessions) as session:
        summaries = list_layers(session, job.id)
        assert tuple(summary.layer for summary in summaries) == LAYERS
        for summary in summaries:
            page = list_neurons(
                session, job.id, summary.layer, where=NeuronFilter(), sort="unit", limit=500, after=None
            )
            assert [one.neuron.unit for one in page.items] == list(range(summary.units))
            assert sum(one.neuron.dead for one in page.items) == summary.dead_units
            alive = [one.neuron for one in page.items if not one.neuron.dead]
            assert alive
            for neuron in alive:
                assert [len(neuron.concepts), len(neuron.images)] == [2, 3]
                assert neuron.concepts[0].score >= neuron.concepts[1].score
                assert CONCEPTS.texts[neuron.concepts[0].concept] == neuron.concepts[0].text


def test_a_second_message_changes_nothing(sessions: Sessions, folder: Path) -> None:
    first = run(sessions, submit(sessions, folder))
    assert run(sessions, first) == first


def test_the_same_job_twice_gives_the_same_neurons(sessions: Sessions, folder: Path) -> None:
    jobs = [run(sessions, submit(sessions, folder)) for _ in range(2)]
    assert jobs[0].id != jobs[1].id
    assert jobs[0].manifest == jobs[1].manifest
    pages = []
    with transaction(sessions) as session:
        for job in jobs:
            where = {"where": NeuronFilter(), "sort": "unit", "limit": 500, "after": None}
            pages.append([list_neurons(session, job.id, layer, **where) for layer in LAYERS])  # type: ignore[arg-type]
    assert pages[0] == pages[1]


def test_an_unknown_layer(sessions: Sessions, folder: Path) -> None:
    found = problem(run(sessions, submit(sessions, folder, layers=("layer1.7",))))
    assert (found["code"], found["field"]) == ("unknown-layer", "layers")
    assert "layer1.0" in found["remedy"]


def test_an_unreadable_image_fails_the_job_or_is_counted(sessions: Sessions, folder: Path) -> None:
    registered = submit(sessions, folder)
    skipping = submit(sessions, folder, on_unreadable="skip")
    size = (folder / "6.png").stat().st_size
    (folder / "6.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * (size - 8))
    found = problem(run(sessions, registered))
    assert found["code"] == "unreadable-image"
    assert "7" in found["detail"], "the row of the manifest names the image"
    assert "6.png" not in str(found), "file names may carry patient data"
    job = run(sessions, skipping)
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    assert (job.manifest["images_used"], job.manifest["rows_skipped"]) == (IMAGES - 1, [7])


def test_what_changed_since_it_was_registered_is_refused(sessions: Sessions, folder: Path) -> None:
    manifest, weights = folder / "manifest.csv", folder / "dissector" / "weights.safetensors"
    jobs = [submit(sessions, folder) for _ in range(3)]
    text, bytes_ = manifest.read_text(), weights.read_bytes()
    manifest.write_text(text + "0.png\n")
    assert problem(run(sessions, jobs[0]))["field"] == "probe_set"
    manifest.write_text(text)
    weights.write_bytes(bytes_[:-1] + b"\x01")
    assert problem(run(sessions, jobs[1]))["code"] == "digest-mismatch"
    weights.write_bytes(bytes_)
    (folder / "target.safetensors").write_bytes(b"other")
    assert problem(run(sessions, jobs[2]))["code"] == "digest-mismatch"


def test_nan_activations(sessions: Sessions, folder: Path) -> None:
    path = folder / "target.safetensors"
    weights = load_file(path)
    name = next(key for key in weights if key.startswith("layer1.0.") and key.endswith(".weight"))
    save_file(weights | {name: torch.full_like(weights[name], torch.nan)}, path)
    found = problem(run(sessions, submit(sessions, folder)))
    assert found["code"] == "invalid-activations"
    assert "layer1.0" in found["detail"]


def test_a_checkpoint_of_another_architecture(sessions: Sessions, folder: Path) -> None:
    save_file({"weight": torch.zeros(1)}, folder / "target.safetensors")
    assert problem(run(sessions, submit(sessions, folder)))["code"] == "invalid-checkpoint"


def test_a_crash_is_a_failed_job_that_tells_nothing(
    sessions: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("service.pipelines.run_job.run_dissection", crash)
    found = problem(run(sessions, submit(sessions, folder)))
    assert found["code"] == "internal"
    assert "secret" not in str(found)


@pytest.mark.parametrize("last_words", [Progress(Stage.PROBE, 4, IMAGES), Progress(Stage.SCORE, 2, len(LAYERS))])
def test_a_cancelled_job_stores_nothing(
    sessions: Sessions, folder: Path, monkeypatch: pytest.MonkeyPatch, last_words: Progress
) -> None:
    """Cancelled in the middle of the images, and when nothing is left to do but to store."""
    submitted = submit(sessions, folder)
    told = JobProgress.__call__

    def cancel_then(self: JobProgress, progress: Progress, /) -> None:
        told(self, progress)
        if progress == last_words:
            with transaction(sessions) as session:
                cancel_job(session, submitted.id)

    monkeypatch.setattr(JobProgress, "__call__", cancel_then)
    job = run(sessions, submitted)
    assert job.cancel_requested
    assert (job.status, job.manifest, job.problem) == (JobStatus.CANCELLED, None, None)
    with transaction(sessions) as session:
        assert list_layers(session, job.id) == []


def test_inspection_lists_the_layers(sessions: Sessions, folder: Path) -> None:
    submitted = submit(sessions, folder)
    with transaction(sessions) as session:
        model = get_resource(session, resource_ids(session, submitted.id)[0])
    inspect_model(sessions, SETTINGS, model.id)
    assert "layer4.0" in {layer["name"] for layer in _layers(sessions, model.id)}
    assert all(layer["name"] == canonical_layer(layer["name"]) for layer in _layers(sessions, model.id))
    (folder / "target.safetensors").write_bytes(b"other")
    inspect_model(sessions, SETTINGS, model.id)
    with transaction(sessions) as session:
        found = find_inspection(session, model.id)
    assert found is not None
    assert found[0] is None
    assert found[1] is not None
    assert found[1]["code"] == "digest-mismatch"


def _layers(sessions: Sessions, model: UUID) -> list[dict[str, Any]]:
    with transaction(sessions) as session:
        found = find_inspection(session, model)
    assert found is not None
    assert found[0] is not None
    return found[0]
