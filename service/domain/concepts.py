"""Concepts and concept sets."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from service.domain.digests import digest_of

_OPTIONAL = ("codes", "names")


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
    """Whether the concept should not drive a diagnosis; `ConceptSet.watched` has those that neurons are tested for."""

    codes: tuple[tuple[str, str], ...] = ()
    """Vocabularies, sorted, each with the concept's code in it, as `radlex` and `RID34261`."""

    names: tuple[tuple[str, str], ...] = ()
    """Languages, sorted, each with the concept's name in it, as `de` and `Verkalkung`; no dissector reads them."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as they are stored and digested: codes and names only where there are any."""
        stored = asdict(self)
        for name in _OPTIONAL:
            pairs = stored.pop(name)
            if pairs:
                stored[name] = dict(pairs)
        return stored


@dataclass(frozen=True)
class ConceptSet:
    """A named list of distinct concepts; their order is part of the content."""

    name: str
    concepts: tuple[Concept, ...]

    notes: tuple[str, ...] = field(default=(), compare=False)
    """What was decided for the user where the set was read, a sentence each; no part of the content."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The concepts' texts, in order."""
        return tuple(concept.text for concept in self.concepts)

    @cached_property
    def watched(self) -> tuple[int, ...]:
        """The watched concepts' places in the set, ascending.

        One that no mammogram shows is none of them, whatever the set says: no neuron can respond to what is not there.
        """
        return tuple(
            place
            for place, concept in enumerate(self.concepts)
            if concept.watched and concept.mammographic is not False
        )

    @cached_property
    def digest(self) -> str:
        """Content digest of the concepts in order; the name is not part of it."""
        return digest_of([concept.as_dict() for concept in self.concepts])
