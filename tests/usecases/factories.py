"""Rows for tests: resources, jobs and stored dissections, made through the same functions as in production."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from service.analysis.layers import summarise_layer
from service.db.jobs import JobParts, add_job, move_job
from service.db.neurons import add_layer
from service.db.resources import add_resource, save_inspection
from service.db.session import Sessions, transaction
from service.db.work import add_preparation, claim_item
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import Evidence, JobEvidence, LabelStability, Quality, Significance, Watched
from service.domain.jobs import DissectionOptions, Job, JobRequest, JobStatus
from service.domain.methods import Method
from service.domain.neurons import ActivationSummary, LayerDissection, LayerSummary, Neuron, RankedConcept, TopImage
from service.domain.probes import Box
from service.domain.resources import Resource, ResourceKind
from service.domain.work import Lease, Preparation
from service.usecases.jobs import enqueue
from service.usecases.resources import register_concept_set

CONCEPTS = (
    Concept("spiculated mass", "mass margin", "findings", True),
    Concept("clustered calcification", "calcification distribution", "findings", True),
    Concept("red sports car", "vehicles", "non-medical", watched=True),
)
WORDS = ConceptSet("words", CONCEPTS)


class RecordingQueue:
    """A JobQueue that remembers what was published; `taken` says how many of the messages a worker has."""

    def __init__(self) -> None:
        self.published: list[tuple[str, UUID]] = []
        self.taken = 0

    def publish(self, task: str, identifier: UUID) -> None:
        self.published.append((task, identifier))

    def waiting(self) -> int:
        return len(self.published) - self.taken


@contextmanager
def impatient(sessions: Sessions) -> Iterator[Session]:
    """A transaction that is broken off after 0.2 s of silence, unless it says that it will pause."""
    with transaction(sessions) as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '200ms'"))
        yield session


def slowly(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, longer than an impatient transaction may be silent."""

    def wrapped(*parts: Any, **more: Any) -> Any:
        time.sleep(0.5)
        return function(*parts, **more)

    return wrapped


def resource(session: Session, kind: ResourceKind, name: str, digest: str = "0", **spec: object) -> Resource:
    whole = {"patches": None} if kind is ResourceKind.PROBE_SET else {}
    return add_resource(session, kind, name, digest, {**whole, **spec})[0]


def queued_job(
    session: Session,
    *,
    model: str = "screening",
    images: int = 200,
    shards: int = 1,
    queue: str = "default",
    priority: int = 0,
    layers: tuple[str, ...] = ("blocks.0",),
    probe_set: Resource | None = None,
    concept_set: ConceptSet = WORDS,
    dissector: Resource | None = None,
    shuffled: int | None = None,
) -> Job:
    """A queued job with its probe shards, on a probe set of that many images or a given one, with its resources."""
    parts = JobParts(
        target=resource(session, ResourceKind.MODEL, model, checkpoint="/models/x", architecture="a", sha256="0"),
        dissector=dissector or resource(session, ResourceKind.DISSECTOR, "reader", path="/dissectors/x"),
        probe_set=probe_set or resource(session, ResourceKind.PROBE_SET, "probes", str(images), images=images),
        concept_set=register_concept_set(session, concept_set)[0],
    )
    request = JobRequest(
        parts.target.reference,
        parts.dissector.reference,
        parts.probe_set.reference,
        parts.concept_set.reference,
        options=DissectionOptions(layers=layers, method=Method(), shuffled=shuffled),
        shard_size=-(-images // shards),
        queue=queue,
        priority=priority,
    )
    save_inspection(session, parts.target.id)
    job = add_job(session, parts, request, request_digest="0", idempotency_key=None)
    assert job is not None
    return enqueue(session, RecordingQueue(), job, parts.probe_set)


def neuron(unit: int, score: float | None, concept: int = 0) -> Neuron:
    """A neuron with that top score for that concept, or a dead one where the score is None."""
    summary = ActivationSummary(mean=0.5, std=0.25, minimum=0.0, maximum=2.0)
    if score is None:
        return Neuron(unit=unit, dead=True, activation=summary)
    return Neuron(
        unit=unit,
        dead=False,
        activation=summary,
        concepts=(RankedConcept(concept, CONCEPTS[concept].text, score),),
        images=(TopImage("img-7", 7, 2.0), TopImage("img-3@0,64", 3, 1.5, Box(0, 64, 32, 32))),
    )


def judged_neuron(neuron: Neuron, *, p: float, q: float, z: float) -> Neuron:
    """The neuron with evidence."""
    evidence = Evidence(
        significance=Significance(p, z, q),
        stability=LabelStability(0.75, 1.0, ("spiculated mass", "red sports car")),
        quality=Quality(0.5, 0.25, None, None),
        watched=(Watched(2, "red sports car", 0.01, 2.0, 0.04),),
        resampled=(0, 0, 0, 2),
        halves=(0, 0, 0, 2),
    )
    return replace(neuron, evidence=evidence)


def succeeded_job(
    session: Session,
    neurons: list[Neuron],
    *,
    layer: str = "blocks.0",
    model: str = "screening",
    dissector: Resource | None = None,
    shuffled: int | None = None,
) -> UUID:
    """A finished job with those neurons in one layer."""
    job = queued_job(session, model=model, dissector=dissector, shuffled=shuffled)
    assert move_job(session, job.id, JobStatus.RUNNING)
    dead = sum(one.dead for one in neurons)
    summary = LayerSummary(layer, len(neurons), dead, 1.5, 2, (("findings", 2),))
    add_layer(session, job.id, position=0, summary=summary, neurons=neurons, concepts=CONCEPTS)
    assert move_job(session, job.id, JobStatus.SUCCEEDED, manifest={"device": "cpu"})
    return job.id


def dissected_job(
    session: Session,
    layers: Sequence[LayerDissection],
    *,
    model: str = "screening",
    evidence: JobEvidence | None = None,
    manifest: Mapping[str, Any] | None = None,
    probe_set: Resource | None = None,
    concept_set: ConceptSet = WORDS,
) -> UUID:
    """A finished job with those layers, and a manifest that makes it comparable with others but for what is given."""
    names = tuple(layer.layer for layer in layers)
    job = queued_job(session, model=model, layers=names, probe_set=probe_set, concept_set=concept_set)
    assert move_job(session, job.id, JobStatus.RUNNING)
    for position, layer in enumerate(layers):
        summary = summarise_layer(layer, concept_set)
        concepts = concept_set.concepts
        add_layer(session, job.id, position=position, summary=summary, neurons=layer.neurons, concepts=concepts)
    made = {
        "target": {"architecture": "a", "sha256": "0"},
        "dissector": {"digest": "0"},
        "probe_set": {"digest": "0", "images": "0"},
        "concept_set": concept_set.digest,
        "seed": 0,
        "device": "cpu",
        "evidence": None if evidence is None else asdict(evidence),
    }
    assert move_job(session, job.id, JobStatus.SUCCEEDED, manifest={**made, **(manifest or {})})
    return job.id


def refuse(session: Session, opened: Resource) -> None:
    """Have a worker refuse a model or dissector, which somebody asked to open."""
    add_preparation(session, opened.id, Preparation.INSPECT, queue="_preparations", turn=0, total=1)
    problem = {
        "code": "x",
        "title": "X",
        "detail": "It has no weights.",
        "remedy": f"Add them. POST {opened.kind.collection}/{opened.reference}/inspect tries again.",
    }
    session.execute(
        text("UPDATE work_items SET status = 'withdrawn', problem = CAST(:problem AS jsonb) WHERE resource_id = :id"),
        {"problem": json.dumps(problem), "id": opened.id},
    )


def taken(session: Session, worker: str = "tester", lease: timedelta = timedelta(seconds=60)) -> Lease | None:
    """The item whose turn it is, claimed, which belongs to a job; None where none is ready."""
    claimed = claim_item(session, worker, lease)
    assert claimed is None or isinstance(claimed, Lease)
    return claimed


def without_preparations(session: Session) -> None:
    """Leave nothing to be done for registered things, in tests that are about a job's items."""
    session.execute(text("UPDATE work_items SET status = 'done', result = '{}' WHERE job_id IS NULL"))
    session.execute(text("UPDATE work_items SET ready_at = clock_timestamp() WHERE ready_at = 'infinity'"))


def leased(sessions: Sessions) -> int:
    """How many work items are in somebody's hands."""
    with transaction(sessions) as session:
        number: int = session.execute(text("SELECT count(*) FROM work_items WHERE status = 'leased'")).scalar_one()
        return number
