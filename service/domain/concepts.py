"""Concepts and concept sets."""

from dataclasses import asdict, dataclass
from functools import cached_property

from service.domain.digests import digest_of


@dataclass(frozen=True, slots=True)
class Concept:
    """One text concept with its place in the clinical vocabulary."""

    text: str

    category: str | None = None
    """None where a set gives none."""

    broad_category: str | None = None
    """None where a set gives none."""

    mammographic: bool | None = None
    """False for the control group of everyday concepts that no mammogram shows."""

    synonyms: tuple[str, ...] = ()
    """Other texts that name the same thing."""

    watched: bool = False
    """Whether the concept should not drive a diagnosis, so that every neuron is tested for it."""


@dataclass(frozen=True)
class ConceptSet:
    """A named list of distinct concepts; their order is part of the content."""

    name: str
    concepts: tuple[Concept, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The concepts' texts, in order."""
        return tuple(concept.text for concept in self.concepts)

    @cached_property
    def watched(self) -> tuple[int, ...]:
        """The watched concepts' places in the set, ascending."""
        return tuple(place for place, concept in enumerate(self.concepts) if concept.watched)

    @cached_property
    def digest(self) -> str:
        """Content digest of the concepts in order; the name is not part of it."""
        return digest_of([asdict(concept) for concept in self.concepts])
