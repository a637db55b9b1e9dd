"""Which neurons readers are to look at, by a design that does not depend on what they say."""

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_SEED = 0


class Draw(StrEnum):
    """How a work list is drawn."""

    STRONGEST = "strongest"
    RANDOM = "random"
    UNNAMED = "unnamed"
    DISPUTED = "disputed"

    @property
    def in_words(self) -> str:
        """How the list was made."""
        return _IN_WORDS[self]


_IN_WORDS = {
    Draw.STRONGEST: "Live neurons of all layers by falling z of the best concept, or by its score where there is no z.",
    Draw.RANDOM: (
        "Live neurons in an order that the seed alone decides, stratified over the layers: any first part of it has of "
        "each layer its share of the live neurons, to within one."
    ),
    Draw.UNNAMED: (
        "Neurons without a name, by falling fit of the direction that they follow: those with the verdict unnamed, or "
        "without a significant label where the job has no verdicts."
    ),
    Draw.DISPUTED: "Neurons whose readers do not agree, in an order that the seed alone decides.",
}


@dataclass(frozen=True, slots=True)
class DrawnNeuron:
    """A neuron of a work list."""

    place: int
    """In the draw, from 1."""

    layer: str
    unit: int

    concept: str | None
    """Its label."""

    verdict: str | None
    z: float | None

    reviewed: bool
    """Whether the reader has reviewed it already."""


@dataclass(frozen=True, slots=True)
class WorkList:
    """What was drawn, and what of it is left for a reader."""

    draw: Draw
    seed: int
    count: int

    population: int
    """How many neurons there are to draw from."""

    drawn: int
    """How many of them were drawn: `count`, or all there are."""

    left: tuple[DrawnNeuron, ...]
    """Of those, the ones that the reader has not reviewed."""
