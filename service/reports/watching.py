"""The watch-list as a report shows it: without the names of images, and its strongest neurons only."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.analysis.watch_list import WatchedConcept, WatchfulNeuron, WatchList
from service.domain.concepts import ConceptSet
from service.domain.evidence import Watched
from service.domain.neurons import LayerDissection
from service.reports.cards import CardImage, card_images

NEURONS = 12


@dataclass(frozen=True, slots=True)
class WatchedNeuron:
    """A neuron that responds to watched concepts."""

    layer: str
    unit: int
    label: str
    """What it is named after."""
    responses: tuple[Watched, ...]
    """Strongest first."""
    images: tuple[CardImage, ...]


@dataclass(frozen=True, slots=True)
class WatchedTotal:
    """A watched concept and the neurons that respond to it."""

    text: str
    neurons: int
    share: float
    """Of the live neurons."""
    z: float
    """The strongest response."""


@dataclass(frozen=True, slots=True)
class WatchSummary:
    """What a report says of the watch-list."""

    refused: str | None
    """Why nothing was inferred."""
    watched: int
    """Concepts looked for."""
    live: int
    """Neurons that are not dead."""
    named: int
    """Significant neurons that are named after a watched concept."""
    responding: int
    """Neurons that respond to any watched concept, whatever their label."""
    share: float | None
    """Of the live neurons, those that respond."""
    concepts: tuple[WatchedTotal, ...]
    neurons: tuple[WatchedNeuron, ...]
    """The NEURONS strongest of those that respond."""
    unknown: tuple[str, ...]
    """See `WatchList`."""
    rare: tuple[str, ...]
    """The same."""
    unseen: tuple[str, ...]
    """The same."""


def sum_up_watch_list(
    watch_list: WatchList, layers: Sequence[LayerDissection], concept_set: ConceptSet
) -> WatchSummary:
    """The watch-list of these layers in the report's form."""
    neurons = [neuron for layer in layers for neuron in layer.neurons]
    labels = [neuron.label for neuron in neurons if neuron.significant]
    watched = set(concept_set.watched)
    named = sum(label is not None and label.concept in watched for label in labels)

    return WatchSummary(
        refused=watch_list.refused,
        watched=watch_list.watched,
        live=watch_list.live,
        named=named,
        responding=len(watch_list.neurons),
        share=watch_list.share,
        concepts=tuple(_total(concept) for concept in watch_list.concepts),
        neurons=tuple(_without_names(neuron) for neuron in watch_list.neurons[:NEURONS]),
        unknown=watch_list.unknown,
        rare=watch_list.rare,
        unseen=watch_list.unseen,
    )


def _total(concept: WatchedConcept) -> WatchedTotal:
    return WatchedTotal(concept.text, len(concept.neurons), concept.share, concept.neurons[0].z)


def _without_names(neuron: WatchfulNeuron) -> WatchedNeuron:
    return WatchedNeuron(neuron.layer, neuron.unit, neuron.label, neuron.responses, card_images(neuron.images))
