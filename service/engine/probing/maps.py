"""What units do over space: the maps of layers whose outputs have them, taken as an image is shown."""

from collections.abc import Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.engine.networks.protocols import Target
from service.engine.probing.layers import find_layers
from service.engine.probing.layouts import first_tensor, layouts_of

Maps = Tensor | dict[int, Tensor]
"""What the units of a layer did in an image, [H, W] each, by unit."""


class MapKeeper:
    """Keeps the maps of the image that was shown last; its method `keep` is for `hooked`.

    units: of each layer, those whose maps are wanted. Raises UnknownLayer.
    """

    def __init__(self, target: Target, units: Mapping[str, Collection[int]]) -> None:
        self.modules = find_layers(target, sorted(units))
        self.maps: dict[str, Maps] = {}
        self._target = target
        self._units = units
        self._layouts = layouts_of(target, self.modules)

    def keep(self, layer: str, output: object) -> None:
        """Take the maps out of a layer's output for one image; nothing where it is no map over space."""
        tensor = first_tensor(output)
        if tensor is None or tensor.ndim != 4:
            return

        contract = self._target.preprocessing
        axis = self._layouts[layer].unit_axis(tuple(tensor.shape), contract.height, contract.width)
        if axis is None:
            return

        features = tensor.movedim(axis, 1)[0].float().clone()
        autoencoder = self._target.encodes(layer)
        if autoencoder is None:
            self.maps[layer] = features
        else:
            self.maps[layer] = autoencoder.encoder.maps(features, set(self._units[layer]))


def cells_of(extent: int, cells: int) -> NDArray[np.float32]:
    """The part of each of `cells` equal parts of an axis that each of its `extent` pixels makes up: [cells, extent].

    So `cells_of(H, h) @ image @ cells_of(W, w).T` are the means of an image [H, W] over the cells of a map [h, w].
    """
    size = extent / cells
    starts = np.arange(cells)[:, None] * size
    pixels = np.arange(extent)[None, :]
    overlap = np.minimum(starts + size, pixels + 1) - np.maximum(starts, pixels)
    return np.asarray(overlap.clip(min=0) / size, np.float32)


def fitted_cells(height: int, width: int, most: int) -> tuple[int, int]:
    """Height and width of a map of at most so many cells, of the same shape as far as whole cells allow."""
    if height * width <= most:
        return height, width
    ratio = (most / (height * width)) ** 0.5
    fitted_height = min(max(int(height * ratio), 1), most)
    return fitted_height, max(min(int(width * ratio), most // fitted_height), 1)


def averaged(maps: Tensor, most: int) -> Tensor:
    """Maps [U, h, w] as they are, or averaged over the cells of `fitted_cells`."""
    height, width = maps.shape[-2:]
    rows, columns = fitted_cells(height, width, most)
    if (rows, columns) == (height, width):
        return maps
    down = torch.from_numpy(cells_of(height, rows)).to(maps.device)
    across = torch.from_numpy(cells_of(width, columns)).to(maps.device)
    return down @ maps @ across.T
