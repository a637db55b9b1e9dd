"""Adds to neurons' top images the regions that drive the activation, which are computed separately."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.domain.neurons import LayerDissection, Neuron, Region, RegionsOfLayers


def with_regions(layers: Sequence[LayerDissection], regions: RegionsOfLayers) -> tuple[LayerDissection, ...]:
    """The layers with these regions at their neurons' top images."""
    return tuple(_layer(layer, regions.get(layer.layer, {})) for layer in layers)


def _layer(layer: LayerDissection, regions: Mapping[str, Sequence[Sequence[float] | None]]) -> LayerDissection:
    neurons = (_outlined(neuron, regions.get(str(neuron.unit), ())) for neuron in layer.neurons)
    return replace(layer, neurons=tuple(neurons))


def _outlined(neuron: Neuron, regions: Sequence[Sequence[float] | None]) -> Neuron:
    outlined = [replace(image, region=_region(region)) for image, region in zip(neuron.images, regions, strict=False)]
    if not outlined:
        return neuron

    without_region = neuron.images[len(outlined) :]
    return replace(neuron, images=(*outlined, *without_region))


def _region(region: Sequence[float] | None) -> Region | None:
    if region is None:
        return None
    left, top, width, height = region
    return left, top, width, height
