"""Small dissections whose statistics can be worked out on paper."""

from collections.abc import Sequence
from typing import Any

import pytest

from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import Evidence, JobEvidence, Significance, Watched
from service.domain.neurons import ActivationSummary, LayerDissection, Neuron, RankedConcept

CONCEPTS = ConceptSet(
    "small",
    (
        Concept("round mass", "mass", "findings", True),
        Concept("oval mass", "mass", "findings", True),
        Concept("grouped calcifications", "calcification", "findings", True),
        Concept("surgical clip", "devices", "technique", True, watched=True),
        Concept("dog", "animals", "everyday", False, watched=True),
        Concept("something"),
    ),
)
MASS, OVAL, CALCIFICATIONS, CLIP, DOG, SOMETHING = range(6)

EVIDENCE = JobEvidence("exam", 50, None, None, None, (), tests=4, largest_p=0.01)


def unit(
    number: int,
    concept: int | None,
    *,
    significant: bool | None = True,
    resampled: Sequence[int] = (),
    halves: Sequence[int] = (),
    watched: Sequence[Watched] = (),
) -> Neuron:
    """A neuron named after that concept; dead where there is none; without evidence where significant is None."""
    summary = ActivationSummary(0.5, 0.25, 0.0, 1.0)
    if concept is None:
        return Neuron(number, dead=True, activation=summary)
    evidence = Evidence(
        significance=None if significant is None else Significance(0.001, 4.0, 0.01 if significant else 0.5),
        watched=tuple(watched),
        resampled=tuple(resampled),
        halves=tuple(halves),
    )
    ranked = RankedConcept(concept, CONCEPTS.concepts[concept].text, 1.0)
    return Neuron(number, dead=False, activation=summary, concepts=(ranked,), evidence=evidence)


def layer(name: str, *concepts: int | None, significant: bool | None = True) -> LayerDissection:
    """A layer of units with those concepts, each the same in four resamples and in both halves of two splits."""
    return LayerDissection(
        name,
        tuple(
            unit(
                number,
                concept,
                significant=significant,
                resampled=() if concept is None else [concept] * 4,
                halves=() if concept is None else [concept] * 4,
            )
            for number, concept in enumerate(concepts)
        ),
    )


def near(value: float) -> Any:
    """Equal but for rounding."""
    return pytest.approx(value)
