"""Searches for neurons by their directions in a dissector's space, and what they find."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from service.domain.verdicts import Verdict


class SearchKind(StrEnum):
    """What a worker reads for a search (stored)."""

    TEXT = "text"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class NeuronPlace:
    """A neuron of a job."""

    job_id: UUID
    layer: str
    unit: int


@dataclass(frozen=True, slots=True)
class ScopeFilter:
    """Which layers are searched. Without a job, controls on shuffled weights and replays are left out."""

    job_id: UUID | None = None
    model: tuple[str, int | None] | None = None
    """Name and version of the target; None for all versions."""
    layer: str | None = None


@dataclass(frozen=True, slots=True)
class HitFilter:
    """Which neurons of these layers are listed."""

    verdicts: tuple[Verdict, ...] | None = None
    category: str | None = None
    min_z: float | None = None

    @property
    def is_empty(self) -> bool:
        """Are all neurons listed?"""
        return self == HitFilter()


@dataclass(frozen=True, slots=True)
class Space:
    """A dissector's space, in which directions can be compared."""

    dissector: str
    """Digest of the dissector."""

    dissector_id: UUID
    """A registered dissector with that content: that of the newest job."""

    width: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What is searched."""

    layer_ids: tuple[UUID, ...]
    neurons: int
    """How many have a direction."""
    jobs: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Dissections that were not searched."""

    without_directions: int
    of_other_dissectors: int
    jobs: tuple[UUID, ...]
    """The first of those without directions."""


@dataclass(frozen=True, slots=True)
class NeuronHit:
    """A neuron that a search has found."""

    job_id: UUID
    model: str
    """`name@version` of the target."""
    layer: str
    unit: int
    concept: str | None
    """See `ListedNeuron.concept`."""
    name: str | None
    verdict: Verdict | None
    category: str | None
    broad_category: str | None
    z: float | None
    score: float | None
    cosine: float
    """Between the neuron's direction and what was searched by."""


@dataclass(frozen=True, slots=True)
class NamedThing:
    """What the one search box finds besides neurons."""

    kind: str
    name: str
    detail: str
    link: str
    """Path of the API's answer on it."""
