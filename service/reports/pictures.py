"""Which probe images the report on a dissection shows."""

from collections.abc import Iterable, Sequence

from service.analysis.watch_list import watch
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection
from service.domain.probes import ImagePlace
from service.reports.cards import NeuronCard, choose_cards
from service.reports.verdicts import UnnamedNeuron, unnamed_neurons
from service.reports.watching import WatchedNeuron, sum_up_watch_list


def pictured_images(
    layers: Sequence[LayerDissection], concept_set: ConceptSet, evidence: JobEvidence | None
) -> list[ImagePlace]:
    """The images of the report on these layers, as false-discovery control left them."""
    cards = choose_cards(layers, concept_set, evidence)
    watched = sum_up_watch_list(watch(layers, concept_set, evidence), layers, concept_set)
    return images_of(cards, watched.neurons, unnamed_neurons(layers))


def images_of(
    cards: Iterable[NeuronCard], watched: Iterable[WatchedNeuron], unnamed: Iterable[UnnamedNeuron]
) -> list[ImagePlace]:
    """The images of these neurons, each only once; frame by frame, so that patches of one follow each other."""
    shown: list[NeuronCard | WatchedNeuron | UnnamedNeuron] = [*cards, *watched, *unnamed]
    places = {image.place for neuron in shown for image in neuron.images}
    return sorted(places, key=_in_manifest_order)


def _in_manifest_order(place: ImagePlace) -> tuple[int, int, int, int]:
    frame = place.frame or 0
    return (place.row, frame, -1, -1) if place.box is None else (place.row, frame, place.box.top, place.box.left)
