"""What lists of results show at a glance: dissections in a line, neurons with their first images, concepts counted."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.domain.neurons import ListedNeuron, TopImage
from service.domain.verdicts import UnitVerdict

IMAGES_AT_GLANCE = 3
"""So many of a neuron's top images come with it in lists."""


@dataclass(frozen=True, slots=True)
class DissectionLine:
    """A job with a result, in a line."""

    job: UUID
    model: str
    """`name@version`, as all references here."""
    dissector: str
    probe_set: str
    concept_set: str
    shuffled: int | None
    """The seed that shuffled the model's weights; None for the model as it is."""
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class NeuronGlance:
    """A neuron with what it is called and its first images."""

    layer: str
    unit: int
    dead: bool
    concept: str | None
    """See `ListedNeuron`."""
    category: str | None
    score: float | None
    z: float | None
    q: float | None
    correlation: float | None
    """See `DirectionFigures`; None where activations were not kept."""
    verdict: UnitVerdict | None
    images: tuple[TopImage, ...]
    """IMAGES_AT_GLANCE at most."""

    @classmethod
    def of(cls, neuron: ListedNeuron, images: tuple[TopImage, ...]) -> "NeuronGlance":
        """The neuron of a list, with its images."""
        evidence = neuron.evidence
        significance = None if evidence is None else evidence.significance
        direction = None if evidence is None else evidence.direction
        return cls(
            layer=neuron.layer,
            unit=neuron.unit,
            dead=neuron.dead,
            concept=neuron.concept,
            category=neuron.category,
            score=neuron.score,
            z=None if significance is None else significance.z,
            q=None if significance is None else significance.q,
            correlation=None if direction is None else direction.correlation,
            verdict=neuron.verdict,
            images=images,
        )


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label of a job, and its neurons."""

    concept: str
    category: str | None
    broad_category: str | None
    neurons: int
    named: int
    """Those of them whose verdict is `named`; 0 in a job without verdicts."""
    unverified: int


@dataclass(frozen=True, slots=True)
class KnownInJob:
    """The neurons of a job that are labelled with any of some concepts."""

    neurons: int
    named: int
    unverified: int
    layers: int
    """How many layers have any of them."""
    strongest_z: float | None
