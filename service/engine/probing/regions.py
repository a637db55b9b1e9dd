"""Where in an image a unit is active: for pictures of a few neurons, found by showing their images once more."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label
from torch import Tensor

from service.domain.neurons import Region
from service.engine.networks.protocols import Target
from service.engine.probing.listening import hooked
from service.engine.probing.maps import MapKeeper, Maps
from service.errors import ImageChanged, UnreadableImage
from service.ports import ProbeImages


@dataclass(frozen=True, slots=True)
class Spot:
    """A unit of a layer and a probe item (its place in the probe set) to look at."""

    layer: str
    unit: int
    item: int


def find_regions(
    target: Target, images: ProbeImages, spots: Iterable[Spot], *, device: torch.device
) -> dict[Spot, Region]:
    """The region of each spot that has one.

    A spot has none in a table, in a layer whose output is no map over space, nor in an image that can no longer be
    read or has changed. Raises UnknownLayer.
    """
    if target.recorded is not None:
        return {}

    by_item: dict[int, list[Spot]] = defaultdict(list)
    units: dict[str, set[int]] = defaultdict(set)
    for spot in spots:
        by_item[spot.item].append(spot)
        units[spot.layer].add(spot.unit)

    keeper = MapKeeper(target, units)
    regions: dict[Spot, Region] = {}
    with torch.inference_mode(), hooked(keeper.modules, keeper.keep):
        for item, wanted in sorted(by_item.items()):
            try:
                [array] = images.load(item, [target.preprocessing])
            except (UnreadableImage, ImageChanged):
                continue

            keeper.maps.clear()
            target.module(torch.from_numpy(array)[None].to(device))
            regions.update(_regions(keeper.maps, wanted))
    return regions


def find_map(target: Target, images: ProbeImages, spot: Spot, *, device: torch.device) -> NDArray[np.float32] | None:
    """What a unit does over space in an image, [H, W]; None in a table, and in a layer whose output is no map.

    Raises UnknownLayer, UnreadableImage, ImageChanged and FileOutOfReach.
    """
    if target.recorded is not None:
        return None

    keeper = MapKeeper(target, {spot.layer: {spot.unit}})
    [array] = images.load(spot.item, [target.preprocessing])
    with torch.inference_mode(), hooked(keeper.modules, keeper.keep):
        target.module(torch.from_numpy(array)[None].to(device))
    if spot.layer not in keeper.maps:
        return None
    activations: NDArray[np.float32] = keeper.maps[spot.layer][spot.unit].cpu().numpy()
    return activations


def region_of(activations: Tensor) -> Region:
    """The part of a map [H, W] around its maximum where it lies above halfway between its minimum and maximum."""
    height, width = activations.shape
    above = activations >= (activations.min() + activations.max()) / 2
    parts, _ = label(above.cpu().numpy())

    peak = divmod(int(activations.argmax()), width)
    rows, columns = find_objects(parts)[parts[peak] - 1]
    return (
        columns.start / width,
        rows.start / height,
        (columns.stop - columns.start) / width,
        (rows.stop - rows.start) / height,
    )


def _regions(maps: Mapping[str, Maps], wanted: Iterable[Spot]) -> Iterable[tuple[Spot, Region]]:
    return ((spot, region_of(maps[spot.layer][spot.unit])) for spot in wanted if spot.layer in maps)
