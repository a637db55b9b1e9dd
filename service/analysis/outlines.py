"""Adds to neurons what is computed separately: regions that drive the activation, places of findings, localisations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import TypeAdapter

from service.domain.evidence import Evidence
from service.domain.localisation import Localisation, LocalisationsOfLayers
from service.domain.neurons import LayerDissection, Neuron, Place, PlacesOfLayers, Region, RegionsOfLayers

_LOCALISATIONS = TypeAdapter(tuple[Localisation, ...])
_PLACES = TypeAdapter(tuple[Place, ...])


def with_regions(layers: Sequence[LayerDissection], regions: RegionsOfLayers) -> tuple[LayerDissection, ...]:
    """The layers with these regions at their neurons' top images."""
    return tuple(_layer(layer, regions.get(layer.layer, {})) for layer in layers)


def with_places(layers: Sequence[LayerDissection], places: PlacesOfLayers) -> tuple[LayerDissection, ...]:
    """The layers with these places of findings at their neurons' top images."""
    return tuple(_with_places(layer, places[layer.layer]) if layer.layer in places else layer for layer in layers)


def with_localisations(
    layers: Sequence[LayerDissection], localisations: LocalisationsOfLayers
) -> tuple[LayerDissection, ...]:
    """The layers with these localisations in their neurons' evidence."""
    return tuple(
        _localised(layer, localisations[layer.layer]) if layer.layer in localisations else layer for layer in layers
    )


def _localised(layer: LayerDissection, of_units: Mapping[str, Sequence[object]]) -> LayerDissection:
    neurons = []
    for neuron in layer.neurons:
        fields = of_units.get(str(neuron.unit))
        if not fields:
            neurons.append(neuron)
            continue
        evidence = neuron.evidence or Evidence()
        localisations = _LOCALISATIONS.validate_python(fields)
        neurons.append(replace(neuron, evidence=replace(evidence, localisations=localisations)))
    return replace(layer, neurons=tuple(neurons))


def _with_places(layer: LayerDissection, of_units: Mapping[str, Sequence[object]]) -> LayerDissection:
    neurons = []
    for neuron in layer.neurons:
        of_images = of_units.get(str(neuron.unit), ())
        shown = [
            replace(image, places=_PLACES.validate_python(fields))
            for image, fields in zip(neuron.images, of_images, strict=False)
        ]
        neurons.append(replace(neuron, images=(*shown, *neuron.images[len(shown) :])))
    return replace(layer, neurons=tuple(neurons))


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
