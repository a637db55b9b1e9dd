"""The watch-list as a report shows it: without the names of images, and its strongest neurons only."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.analysis.watch_list import WatchList
from service.domain.concepts import ConceptSet
from service.domain.evidence import Watched
from service.domain.neurons import LayerDissection
from service.reports.cards import CardImage, card_images

NEURONS = 12


@dataclass(frozen=True, slots=True)
class WatchedNeuron:
    """A neuron that responds to watched concepts, strongest first; label: what it is named after."""

    layer: str
    unit: int
    label: str
    responses: tuple[Watched, ...]
    images: tuple[CardImage, ...]


@dataclass(frozen=True, slots=True)
class WatchedTotal:
    """A watched concept: how many neurons respond to it, their share of the living, and the strongest z."""

    text: str
    neurons: int
    share: float
    z: float


@dataclass(frozen=True, slots=True)
class WatchSummary:
    """refused: why nothing was inferred. watched: concepts looked for. live: neurons that are not dead.

    named: significant neurons that are named after a watched concept. responding: neurons with a response to any,
    whatever their label, a `share` of the live ones; `neurons` holds the NEURONS strongest.
    """

    refused: str | None
    watched: int
    live: int
    named: int
    responding: int
    share: float | None
    concepts: tuple[WatchedTotal, ...]
    neurons: tuple[WatchedNeuron, ...]


def sum_up_watch_list(found: WatchList, layers: Sequence[LayerDissection], concept_set: ConceptSet) -> WatchSummary:
    """The watch-list of these layers in the report's form."""
    labels = (neuron.label for layer in layers for neuron in layer.neurons if neuron.significant)
    return WatchSummary(
        refused=found.refused,
        watched=found.watched,
        live=found.live,
        named=sum(label is not None and concept_set.concepts[label.concept].watched for label in labels),
        responding=len(found.neurons),
        share=found.share,
        concepts=tuple(WatchedTotal(one.text, len(one.neurons), one.share, one.neurons[0].z) for one in found.concepts),
        neurons=tuple(
            WatchedNeuron(one.layer, one.unit, one.label, one.responses, card_images(one.images))
            for one in found.neurons[:NEURONS]
        ),
    )
