"""Neuron cards: the strongest neurons of a dissection with everything that speaks for their labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.concepts import ConceptSet
from service.domain.evidence import LEVEL, Agreement, JobEvidence, LabelStability, Qualification, Significance, Watched
from service.domain.localisation import Localisation
from service.domain.neurons import LayerDissection, Neuron, Place, RankedConcept, TopImage
from service.domain.probes import Box, ImagePlace
from service.domain.verdicts import DirectionFigures, UnitVerdict
from service.reports.layers import named_neurons

CARDS_PER_LAYER = 4
CARDS = 40
IMAGES = 4
ALTERNATIVES = 3


@dataclass(frozen=True, slots=True)
class CardImage:
    """A top image by its row of the manifest, never by its name, because names may identify a patient."""

    row: int
    activation: float
    box: Box | None
    region: tuple[float, float, float, float] | None
    frame: int | None = None

    places: tuple[Place, ...] = ()
    """Where findings are, as the manifest says."""

    @property
    def place(self) -> ImagePlace:
        """What its picture shows."""
        return ImagePlace(self.row, self.box, self.frame)


@dataclass(frozen=True, slots=True)
class NeuronCard:
    """One neuron, with everything that speaks for its label."""

    layer: str
    layer_number: int
    """The layer's place in the dissection, from 1."""
    unit: int
    label: str
    category: str | None
    broad_category: str | None
    score: float
    alternatives: tuple[RankedConcept, ...]
    significance: Significance | None
    stability: LabelStability | None
    agreement: Agreement | None
    localisations: tuple[Localisation, ...]
    watched: tuple[Watched, ...]
    """Watched concepts to which it responds significantly, strongest first."""
    qualification: Qualification | None
    """What is known of the dissector and the label; None where the label names no finding."""
    images: tuple[CardImage, ...]
    quantiles: tuple[float, ...]
    """Of the layer's null, for the figure; empty where there is none."""
    verdict: UnitVerdict | None
    """What it may be called; None where the job has no verdicts."""
    direction: DirectionFigures | None
    """None where activations were not kept."""


def card_images(images: Sequence[TopImage]) -> tuple[CardImage, ...]:
    """The first IMAGES of a neuron's top images, without their names."""
    return tuple(
        CardImage(image.row, image.activation, image.box, image.region, image.frame, image.places)
        for image in images[:IMAGES]
    )


def choose_cards(
    layers: Sequence[LayerDissection], concept_set: ConceptSet, evidence: JobEvidence | None
) -> tuple[NeuronCard, ...]:
    """The CARDS_PER_LAYER strongest named neurons of each layer, and of those the CARDS strongest, layer by layer.

    Strength is z, or the score where nothing was inferred. Equally strong neurons go by layer and unit.
    """
    strongest_of_layers: list[tuple[int, Neuron]] = []
    for number, layer in enumerate(layers, start=1):
        strongest_of_layers += [(number, neuron) for neuron in _strongest(layer)]

    # Sorting is stable: equally strong neurons stay in the order of layers and units.
    strongest = sorted(strongest_of_layers, key=lambda numbered: -strength(numbered[1]))[:CARDS]
    layer_by_layer = sorted(strongest, key=lambda numbered: numbered[0])

    qualifications = () if evidence is None else evidence.qualifications
    qualification_of = {qualification.concept: qualification for qualification in qualifications}
    return tuple(
        _card(number, layers[number - 1], neuron, concept_set, qualification_of) for number, neuron in layer_by_layer
    )


def _strongest(layer: LayerDissection) -> list[Neuron]:
    """The CARDS_PER_LAYER strongest named neurons."""
    strongest_first = sorted(named_neurons(layer), key=lambda neuron: (-strength(neuron), neuron.unit))
    return strongest_first[:CARDS_PER_LAYER]


def strength(neuron: Neuron) -> float:
    """The z of a live neuron's best concept, or its score where nothing was inferred."""
    significance = None if neuron.evidence is None else neuron.evidence.significance
    return neuron.concepts[0].score if significance is None else significance.z


def _responses(watched: Sequence[Watched]) -> tuple[Watched, ...]:
    """The significant responses, strongest first."""
    significant = [response for response in watched if response.q is not None and response.q <= LEVEL]
    return tuple(sorted(significant, key=lambda response: -response.z))


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
        localisations=() if evidence is None else evidence.localisations,
        watched=() if evidence is None else _responses(evidence.watched),
        qualification=qualifications.get(best.concept),
        images=card_images(neuron.images),
        quantiles=() if layer.null is None else layer.null.quantiles,
        verdict=neuron.verdict,
        direction=None if evidence is None else evidence.direction,
    )
