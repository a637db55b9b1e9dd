"""Whole jobs on small networks: a folder with everything that they need, and jobs on it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy.orm import Session

from service.db.session import Sessions, transaction
from service.domain.concepts import Concept, ConceptSet
from service.domain.jobs import Job
from service.domain.methods import Method
from service.domain.resources import Resource
from service.files import ANYWHERE
from service.ports import JobQueue
from service.usecases.jobs import JobSubmission, submit_job
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.probe_sets import register_probe_set
from service.usecases.resources import register_concept_set, register_dissector
from tests.engine.small_networks import ARCHITECTURE, LAYERS, write_dissector, write_target
from tests.usecases.factories import RecordingQueue

CONCEPTS = ConceptSet("words", tuple(Concept(text, "kind", "findings") for text in ("mass", "calcification", "clip")))
IMAGES = 10
SUBMISSION = JobSubmission(
    target="target",
    dissector="dissector",
    probe_set="probes",
    concept_set="words",
    layers=LAYERS,
    method=Method.of(top_k=4),
    concepts_per_neuron=2,
    images_per_neuron=3,
    batch_size=4,
    shard_size=4,
)


def write_folder(
    folder: Path, *, images: int = IMAGES, columns: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Path:
    """Target, dissector, and a manifest of noise images. columns: of the manifest, a value for every image each."""
    pixels = np.random.default_rng(3)
    rows = []
    for index in range(images):
        Image.fromarray(pixels.integers(0, 256, (40, 30), dtype=np.uint8)).save(folder / f"{index}.png")
        rows.append(",".join((f"{index}.png", *(values[index] for values in columns.values()))))
    (folder / "manifest.csv").write_text("\n".join((",".join(("image", *columns)), *rows, "")))
    write_target(folder)
    write_dissector(folder)
    return folder


def register(
    session: Session, folder: Path, queue: JobQueue, *, probe_set: Mapping[str, Any] = MappingProxyType({})
) -> Resource:
    """Register everything in the folder; the probe set."""
    register_model(
        session, queue, NamedCheckpoint(str(folder / "target.safetensors"), ARCHITECTURE), name="target", roots=ANYWHERE
    )
    register_dissector(session, queue, name="dissector", path=str(folder / "dissector"), roots=ANYWHERE)
    register_concept_set(session, CONCEPTS)
    wanted = {"patches": None, "on_unreadable": "fail", "roots": ANYWHERE} | dict(probe_set)
    return register_probe_set(session, queue, name="probes", manifest=str(folder / "manifest.csv"), **wanted)[0]


def submit(
    sessions: Sessions, folder: Path, *, probe_set: Mapping[str, Any] = MappingProxyType({}), **changes: Any
) -> Job:
    """Register everything in the folder and queue a job on it, in shards of four images."""
    queue = RecordingQueue()
    with transaction(sessions) as session:
        register(session, folder, queue, probe_set=probe_set)
        return submit_job(session, queue, replace(SUBMISSION, **changes), request={})
