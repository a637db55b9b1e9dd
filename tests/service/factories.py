"""Rows for tests: resources, jobs and stored dissections, made through the same functions as in production."""

from uuid import UUID

from sqlalchemy.orm import Session

from service.db.jobs import add_job, move_job
from service.db.neurons import add_layer
from service.db.resources import add_resource
from service.domain.concepts import Concept
from service.domain.jobs import DissectionOptions, Job, JobStatus
from service.domain.methods import Method
from service.domain.neurons import ActivationSummary, LayerSummary, Neuron, RankedConcept, TopImage
from service.domain.probes import Box
from service.domain.resources import Resource, ResourceKind

CONCEPTS = (
    Concept("spiculated mass", "mass margin", "findings", True),
    Concept("clustered calcification", "calcification distribution", "findings", True),
    Concept("red sports car", "vehicles", "non-medical", False),
)


class RecordingQueue:
    """A JobQueue that remembers what was published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, UUID]] = []

    def publish(self, task: str, identifier: UUID) -> None:
        self.published.append((task, identifier))


def resource(session: Session, kind: ResourceKind, name: str, digest: str = "0", **spec: object) -> Resource:
    return add_resource(session, kind, name, digest, dict(spec))[0]


def queued_job(session: Session, *, model: str = "screening", images: int = 200) -> Job:
    """A queued job on a probe set of that many images, with its four resources."""
    job = add_job(
        session,
        target=resource(session, ResourceKind.MODEL, model, checkpoint="/models/x", architecture="a", sha256="0"),
        dissector=resource(session, ResourceKind.DISSECTOR, "reader", path="/dissectors/x"),
        probe_set=resource(session, ResourceKind.PROBE_SET, "probes", images=images),
        concept_set=resource(session, ResourceKind.CONCEPT_SET, "words", concepts=[]),
        options=DissectionOptions(layers=("blocks.0",), method=Method()),
        request_digest="0",
        idempotency_key=None,
    )
    assert job is not None
    return job


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


def succeeded_job(
    session: Session, neurons: list[Neuron], *, layer: str = "blocks.0", model: str = "screening"
) -> UUID:
    """A finished job with those neurons in one layer."""
    job = queued_job(session, model=model)
    assert move_job(session, job.id, JobStatus.RUNNING)
    dead = sum(one.dead for one in neurons)
    summary = LayerSummary(layer, len(neurons), dead, 1.5, 2, (("findings", 2),))
    add_layer(session, job.id, position=0, summary=summary, neurons=neurons, concepts=CONCEPTS)
    assert move_job(session, job.id, JobStatus.SUCCEEDED, manifest={"device": "cpu"})
    return job.id
