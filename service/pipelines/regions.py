"""The regions outlined on a report's neuron cards, found when the result is stored: the report has no network."""

from collections.abc import Sequence

from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection, Region, RegionsOfLayers
from service.engine.probing.probe import ProbingPass
from service.engine.probing.regions import Spot, find_regions
from service.reports.cards import choose_cards


def regions_of_cards(
    layers: Sequence[LayerDissection],
    concept_set: ConceptSet,
    evidence: JobEvidence | None,
    probing_pass: ProbingPass,
) -> RegionsOfLayers:
    """JSON values for `with_regions`, of the neurons that have a card. layers: after false-discovery control."""
    images = probing_pass.images
    index_of = {(item.row, item.box, item.frame_number): index for index, item in enumerate(images.items)}

    spots = {}
    for card in choose_cards(layers, concept_set, evidence):
        indices = [index_of[image.row, image.box, image.frame] for image in card.images]
        spots[card.layer, card.unit] = [Spot(card.layer, card.unit, index) for index in indices]
    if not spots:
        return {}

    wanted = [spot for spots_of_card in spots.values() for spot in spots_of_card]
    region_of = find_regions(probing_pass.target, images, wanted, device=probing_pass.device)

    regions: dict[str, dict[str, list[Region | None]]] = {}
    for (layer, unit), spots_of_card in spots.items():
        regions.setdefault(layer, {})[str(unit)] = [region_of.get(spot) for spot in spots_of_card]
    return regions
