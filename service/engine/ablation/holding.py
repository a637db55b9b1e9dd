"""Holding units of layers at one value while the network runs, and measuring what that value is.

The hooks are our own: Captum's LayerFeatureAblation takes one layer at a time, wants masks of each layer's shape, and
knows no axis of units and no class token, so that all of this would have to be written around it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from service.domain.ablations import LayerUnits, Replacement, latents_are_beside
from service.engine.networks.protocols import Target
from service.engine.probing.layers import find_layers
from service.engine.probing.layouts import Layout, first_tensor, layouts_of
from service.engine.probing.listening import hooked
from service.errors import LayerWithoutTensor


class PlaceMeans:
    """The mean of a layer's units over images, at each token that stands for no patch, and over all other places.

    Sums are float64, image by image, so that the split of the images into batches changes no bit, and the mean of a
    unit that never changes is its value.
    """

    def __init__(self, count: int = 0, sums: Tensor | None = None) -> None:
        """sums: float64 [L + 1, U], of L leading tokens and, last, of the other places."""
        self.count = count
        self.sums = sums

    def update(self, values: Tensor, leading: int) -> None:
        """Take the next images, [B, P, U], whose first `leading` places are of no patch."""
        for image in values:
            places = image.double()
            others = places[leading:].mean(dim=0, keepdim=True)
            means = torch.cat([places[:leading], others]).cpu()
            self.sums = means if self.sums is None else self.sums + means
        self.count += len(values)

    def merge(self, following: "PlaceMeans") -> None:
        """Take the sums of the images that follow."""
        if following.sums is not None:
            self.sums = following.sums if self.sums is None else self.sums + following.sums
            self.count += following.count

    @property
    def means(self) -> Tensor:
        """float64 [L + 1, U]. Raises ValueError where no image was seen."""
        if self.sums is None:
            raise ValueError("no image was seen")
        return self.sums / self.count


@dataclass(frozen=True, slots=True)
class Reading:
    """How a layer's output is taken apart into places and units."""

    layout: Layout

    def opened(self, tensor: Tensor, height: int, width: int) -> tuple[Tensor, int] | None:
        """A view of the output, [B, P, U] or [B, H, W, U], and how many leading places are of no patch.

        None where the axis of the units is not known. height, width: of the images.
        """
        shape = tuple(tensor.shape)
        axis = self.layout.axis_in(shape, height, width)
        if axis is None:
            return None
        if tensor.ndim != 3:
            return (tensor[:, None] if tensor.ndim == 2 else tensor.movedim(axis, -1)), 0

        units_axis, tokens = self.layout.tokens_in(shape)
        leading = 0 if tokens is None else max(int(tokens.has_class), tokens.registers)
        return tensor.movedim(units_axis, -1), min(leading, shape[1] - 1) if units_axis == 2 else 0


@dataclass(frozen=True, slots=True)
class Held:
    """Units of a layer, and what they are held at."""

    units: Tensor
    """int64 [n]"""

    values: Tensor
    """float64 [L + 1, n]: at the L leading tokens, and last at all other places."""

    def of(self, unit: int) -> "Held":
        """One of the units alone."""
        chosen = self.units == unit
        return Held(self.units[chosen], self.values[:, chosen])


class LayersAtWork:
    """The layers of a target whose units are measured or held; one for a target and a list of layers."""

    def __init__(self, target: Target, layers: Sequence[str]) -> None:
        """Raises UnknownLayer, and InvalidInput for the latents of an autoencoder, which are no part of the network."""
        for layer in layers:
            if target.encodes(layer) is not None:
                raise latents_are_beside(layer)
        self._target = target
        self._modules = find_layers(target, layers)
        layouts = layouts_of(target, self._modules)
        self._readings = {layer: Reading(layout) for layer, layout in layouts.items()}

    def measure(self, images: Tensor, means: Mapping[str, PlaceMeans]) -> tuple[object, Mapping[str, Tensor]]:
        """Run the target once and add what each layer does to its means.

        Returns what the target returned, and the layers' outputs. images: float32 [B, C, H, W].
        """
        outputs: dict[str, Tensor] = {}

        def note(layer: str, output: object) -> None:
            tensor, opened, leading = self._opened(layer, output, images)
            means[layer].update(opened.flatten(1, -2), leading)
            outputs[layer] = tensor.clone()  # what follows may work in place

        with hooked(self._modules, note):
            returned = self._target.module(images)
        return returned, outputs

    def hold(self, images: Tensor, held: Mapping[str, Held]) -> object:
        """Run the target once with the units of some layers held, and return what it returned.

        images: float32 [B, C, H, W].
        """

        def replace(layer: str, output: object) -> object:
            if layer not in held:
                return None
            tensor, _, _ = self._opened(layer, output, images)
            changed = tensor.clone()
            _, opened, leading = self._opened(layer, changed, images)

            units = held[layer].units.to(changed.device)
            values = held[layer].values.to(device=changed.device, dtype=changed.dtype)
            for place in range(leading):
                opened[:, place, units] = values[place]
            opened[:, leading:, ..., units] = values[-1]
            return with_first_tensor(output, changed)

        with hooked(self._modules, replace):
            return self._target.module(images)

    def _opened(self, layer: str, output: object, images: Tensor) -> tuple[Tensor, Tensor, int]:
        """The output's tensor, a view of it with the units last, and its leading places."""
        tensor = first_tensor(output)
        opened = None
        if tensor is not None and tensor.is_floating_point() and 2 <= tensor.ndim <= 4:
            opened = self._readings[layer].opened(tensor, images.shape[2], images.shape[3])
        if tensor is None or opened is None:
            raise LayerWithoutTensor(
                f"Layer '{layer}' returns nothing whose units could be held.",
                field="layer",
                value=layer,
                remedy="Choose a layer that `mammodissect inspect` or GET /models/{name} lists.",
            )
        return tensor, *opened


def held_at(layers: Sequence[LayerUnits], value: Replacement, means: Mapping[str, PlaceMeans]) -> dict[str, Held]:
    """What the units are held at. means: of the layers, over the whole probe set."""
    held = {}
    for layer in layers:
        units = torch.tensor(layer.units, dtype=torch.int64)
        values = means[layer.layer].means[:, units]
        held[layer.layer] = Held(units, torch.zeros_like(values) if value == "zero" else values)
    return held


def with_first_tensor(output: object, tensor: Tensor) -> object:
    """A layer's output with another tensor in the place of that which `first_tensor` finds."""
    if isinstance(output, Tensor):
        return tensor
    if isinstance(output, Mapping):
        name = "last_hidden_state" if "last_hidden_state" in output else next(iter(output))
        changed: Any = type(output)(output) if isinstance(output, dict) else dict(output)
        changed[name] = with_first_tensor(output[name], tensor)
        return changed

    first, *others = cast("Sequence[object]", output)
    parts = [with_first_tensor(first, tensor), *others]
    kind: Any = type(output)
    return kind(*parts) if hasattr(output, "_fields") else kind(parts)
