"""Neuron cards: the strongest neurons of a dissection with everything that speaks for their labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.concepts import ConceptSet
from service.domain.evidence import LEVEL, Agreement, JobEvidence, Qualification, Significance, Stability, Watched
from service.domain.neurons import LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.probes import Box, ImagePlace
from service.reports.layers import named_neurons

CARDS_PER_LAYER = 4
CARDS = 40
IMAGES = 4
ALTERNATIVES = 3


@dataclass(frozen=True, slots=True)
class CardImage:
    """A top image by its manifest row, never by a name: names may identify a patient."""

    row: int
    activation: float
    box: Box | None
    region: tuple[float, float, float, float] | None

    @property
    def place(self) -> ImagePlace:
        """What its picture shows."""
        return ImagePlace(self.row, self.box)


@dataclass(frozen=True, slots=True)
class NeuronCard:
    """One neuron. layer_number: its layer's place in the dissection.

    watched: watched concepts to which it responds significantly, strongest first. qualification: what is known of the
    dissector and the label; None where the label names no finding. quantiles: the layer's null, for the figure; empty
    where there is none.
    """

    layer: str
    layer_number: int
    unit: int
    label: str
    category: str | None
    broad_category: str | None
    score: float
    alternatives: tuple[RankedConcept, ...]
    significance: Significance | None
    stability: Stability | None
    agreement: Agreement | None
    watched: tuple[Watched, ...]
    qualification: Qualification | None
    images: tuple[CardImage, ...]
    quantiles: tuple[float, ...]


def card_images(images: Sequence[TopImage]) -> tuple[CardImage, ...]:
    """The first IMAGES of a neuron's top images, without their names."""
    return tuple(CardImage(one.row, one.activation, one.box, one.region) for one in images[:IMAGES])


def choose_cards(
    layers: Sequence[LayerDissection], concept_set: ConceptSet, evidence: JobEvidence | None
) -> tuple[NeuronCard, ...]:
    """The CARDS_PER_LAYER strongest named neurons of each layer, and of those the CARDS strongest, layer by layer.

    Strength is z, the score where nothing was inferred; equals go by layer and unit.
    """
    chosen = [
        (-_strength(neuron), number, neuron.unit, neuron)
        for number, layer in enumerate(layers, start=1)
        for neuron in sorted(named_neurons(layer), key=lambda one: (-_strength(one), one.unit))[:CARDS_PER_LAYER]
    ]
    strongest = sorted(sorted(chosen, key=lambda one: one[:3])[:CARDS], key=lambda one: (one[1], one[0], one[2]))
    known = {} if evidence is None else {one.concept: one for one in evidence.qualifications}
    return tuple(_card(number, layers[number - 1], neuron, concept_set, known) for _, number, _, neuron in strongest)


def _strength(neuron: Neuron) -> float:
    found = None if neuron.evidence is None else neuron.evidence.significance
    return neuron.concepts[0].score if found is None else found.z


def _responses(watched: Sequence[Watched]) -> tuple[Watched, ...]:
    significant = (one for one in watched if one.q is not None and one.q <= LEVEL)
    return tuple(sorted(significant, key=lambda one: -one.z))


def _card(
    number: int,
    layer: LayerDissection,
    neuron: Neuron,
    concept_set: ConceptSet,
    qualifications: dict[int, Qualification],
) -> NeuronCard:
    best, *others = neuron.concepts
    concept = concept_set.concepts[best.concept]
    evidence = neuron.evidence
    return NeuronCard(
        layer=layer.layer,
        layer_number=number,
        unit=neuron.unit,
        label=best.text,
        category=concept.category,
        broad_category=concept.broad_category,
        score=best.score,
        alternatives=tuple(others[:ALTERNATIVES]),
        significance=None if evidence is None else evidence.significance,
        stability=None if evidence is None else evidence.stability,
        agreement=None if evidence is None else evidence.agreement,
        watched=() if evidence is None else _responses(evidence.watched),
        qualification=qualifications.get(best.concept),
        images=card_images(neuron.images),
        quantiles=() if layer.null is None else layer.null.quantiles,
    )
