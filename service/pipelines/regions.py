"""What is outlined on a report's neuron cards, found when the result is stored: the report has no network."""

from collections.abc import Sequence
from typing import Any

from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection, PlacesOfLayers, Region, RegionsOfLayers
from service.domain.probes import ImagePlace, ProbeItem, ProbeSet
from service.engine.probing.probe import ProbingPass
from service.engine.probing.regions import Spot, find_regions
from service.errors import ImageChanged, UnreadableImage
from service.probes.placed_images import PlacedImagesOnDisk
from service.reports.cards import choose_cards

MOST_PLACES = 20
"""So many places of an image are outlined."""


def regions_of_cards(
    layers: Sequence[LayerDissection],
    concept_set: ConceptSet,
    evidence: JobEvidence | None,
    probing_pass: ProbingPass,
) -> RegionsOfLayers:
    """JSON values for `with_regions`, of the neurons that have a card. layers: after false-discovery control."""
    images = probing_pass.images
    index_of = _indices_of(images.items)

    spots = {}
    for card in choose_cards(layers, concept_set, evidence):
        indices = [index_of[image.place] for image in card.images]
        spots[card.layer, card.unit] = [Spot(card.layer, card.unit, index) for index in indices]
    if not spots:
        return {}

    wanted = [spot for spots_of_card in spots.values() for spot in spots_of_card]
    region_of = find_regions(probing_pass.target, images, wanted, device=probing_pass.device)

    regions: dict[str, dict[str, list[Region | None]]] = {}
    for (layer, unit), spots_of_card in spots.items():
        regions.setdefault(layer, {})[str(unit)] = [region_of.get(spot) for spot in spots_of_card]
    return regions


def places_of_cards(
    layers: Sequence[LayerDissection],
    concept_set: ConceptSet,
    evidence: JobEvidence | None,
    probing_pass: ProbingPass,
    shown: ProbeSet,
) -> PlacesOfLayers:
    """JSON values for `with_places`: where findings are in the images of the neurons that have a card.

    layers: after false-discovery control. shown: the probe set with the images that were used. What cannot be read any
    more, or does not fit into its image, has no places. Raises FileOutOfReach.
    """
    index_of = _indices_of(shown.items)
    cards = choose_cards(layers, concept_set, evidence)
    indices = {index_of[image.place] for card in cards for image in card.images}

    images = PlacedImagesOnDisk(shown)
    of_image = {
        index: _places(images, index, probing_pass)
        for index in sorted(indices)
        if shown.items[index].regions and probing_pass.target.recorded is None
    }

    places: dict[str, dict[str, list[list[dict[str, Any]]]]] = {}
    for card in cards:
        of_card = [of_image.get(index_of[image.place], []) for image in card.images]
        if any(of_card):
            places.setdefault(card.layer, {})[str(card.unit)] = of_card
    return places


def _indices_of(items: Sequence[ProbeItem]) -> dict[ImagePlace, int]:
    return {ImagePlace(item.row, item.box, item.frame_number): index for index, item in enumerate(items)}


def _places(images: PlacedImagesOnDisk, index: int, probing_pass: ProbingPass) -> list[dict[str, Any]]:
    try:
        outlines = images.outlines(index, probing_pass.target.preprocessing)
    except (UnreadableImage, ImageChanged):
        return []
    return [
        {"finding": finding, "region": [edges.left, edges.top, edges.right - edges.left, edges.bottom - edges.top]}
        for finding, edges in outlines[:MOST_PLACES]
    ]
