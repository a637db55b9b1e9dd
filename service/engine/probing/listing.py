"""The layers of a network that can be dissected, with what each of them is and costs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from service.domain.layers import canonical_layer, expand_layers, is_selector
from service.domain.work import LayerListing
from service.engine.networks.autoencoder import LayerAutoencoder
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import places_of, pool_output
from service.engine.probing.layers import named_layers
from service.engine.probing.layouts import Layout, Shape, blank_images, first_tensor, layouts_of
from service.engine.probing.listening import hooked

_BLANK_IMAGES = 2  # one would hide that a layer mixes up batch and units
_FLOPS_OF_A_MULTIPLY_ADD = 2


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A layer that can be dissected."""

    name: str
    """With the target's prefix."""

    units: int

    kind: str
    """Its module's class."""

    shape: Shape = field(default=(), compare=False)
    """What it returns for one image."""

    multiply_adds: int = field(default=0, compare=False)
    """What one image costs up to this layer: multiply-adds of matrix products, convolutions and attention."""

    share: float = field(default=0.0, compare=False)
    """The same as a share of the whole forward pass."""

    is_main: bool = field(default=False, compare=False)
    """Whether `all` means it."""

    ends_stage: bool = field(default=False, compare=False)
    """Whether `stages` means it."""


def listing_of(layer: LayerInfo) -> LayerListing:
    """The layer as it is stored and sent."""
    return {
        "name": layer.name,
        "units": layer.units,
        "kind": layer.kind,
        "shape": list(layer.shape),
        "multiply_adds": layer.multiply_adds,
        "share": round(layer.share, 6),
        "is_main": layer.is_main,
        "ends_stage": layer.ends_stage,
    }


@dataclass(slots=True)
class _Seen:
    """What the forward pass of shapes saw of a layer."""

    calls: int
    pooled: Tensor | None
    shape: Shape
    flops: int

    unit_axis: int | None = None
    """Of the layer that an autoencoder reads."""

    places: int = 0
    """How many places of that layer are encoded for an image."""


def list_layers(target: Target) -> tuple[LayerInfo, ...]:
    """Every layer that can be dissected, in the order in which the forward pass leaves them.

    Found by a forward pass of shapes alone (no arithmetic, no memory for the maps) at the target's nominal size.
    Layers that run more than once, or whose output is no float tensor of a shape that can be pooled, are left out.
    """
    modules = named_layers(target)
    seen, flops = _forward(target, modules, layouts_of(target, modules))

    units = {
        name: layer.pooled.shape[1]
        for name, layer in seen.items()
        if layer.calls == 1 and layer.pooled is not None and len(layer.pooled) == _BLANK_IMAGES
    }
    shapes = {name: seen[name].shape[1:] for name in units}
    main = [layer for layer in target.main_layers if layer in units]
    stages = _stages(target, main, units, shapes)

    per_image = _BLANK_IMAGES * _FLOPS_OF_A_MULTIPLY_ADD
    layers = [
        LayerInfo(
            name,
            units[name],
            type(modules[name]).__name__,
            shape=shapes[name],
            multiply_adds=seen[name].flops // per_image,
            share=seen[name].flops / flops if flops else 0.0,
            is_main=name in main,
            ends_stage=name in stages,
        )
        for name in units
    ]
    if target.autoencoder is not None:
        _add_latents(layers, target.autoencoder, seen, flops // per_image)
    return tuple(layers)


def _add_latents(
    layers: list[LayerInfo], autoencoder: LayerAutoencoder, seen: Mapping[str, _Seen], whole_pass: int
) -> None:
    """Put the latents behind the layer that they are of. whole_pass: multiply-adds of the network for one image."""
    place = next((place for place, layer in enumerate(layers) if layer.name == autoencoder.layer), None)
    if place is None:
        return

    read, encoder = layers[place], autoencoder.encoder
    shape = list(read.shape)
    axis = seen[read.name].unit_axis
    if axis is not None:
        shape[axis - 1] = encoder.latents

    own = seen[read.name].places * encoder.width * encoder.latents
    cost = read.multiply_adds + own
    latents = LayerInfo(
        autoencoder.latents,
        encoder.latents,
        type(encoder).__name__,
        shape=tuple(shape),
        multiply_adds=cost,
        share=cost / (whole_pass + own),
        is_main=True,
    )
    layers.insert(place + 1, latents)


def _forward(
    target: Target, modules: Mapping[str, nn.Module], layouts: Mapping[str, Layout]
) -> tuple[dict[str, _Seen], int]:
    """What each layer returns, in order, and the work of the whole forward pass."""
    height, width = target.preprocessing.height, target.preprocessing.width
    work = _Work()
    seen: dict[str, _Seen] = {}

    def record(name: str, output: object) -> None:
        if name in seen:
            seen[name].calls += 1
            return
        tensor = first_tensor(output)
        shape = () if tensor is None else tuple(tensor.shape)
        pooled = pool_output(output, "avg", layouts[name], height, width)
        seen[name] = _Seen(1, pooled, shape, work.flops)
        if target.autoencoder is not None and name == target.autoencoder.layer:
            places = places_of(output, layouts[name], height, width)
            seen[name].places = 0 if places is None else places.shape[1]
            seen[name].unit_axis = layouts[name].axis_in(shape, height, width)

    with torch.no_grad(), hooked(modules, record), FakeTensorMode(allow_non_fake_inputs=True), work:
        target.module(blank_images(target, _BLANK_IMAGES, height, width))
    return seen, work.flops


def choose_layers(target: Target, asked: Sequence[str]) -> tuple[str, ...]:
    """The layers that names, patterns and STAGES stand for. Raises UnknownLayer."""
    if not any(map(is_selector, asked)):
        return tuple(asked)
    known = {layer.name: layer.ends_stage for layer in list_layers(target)}
    return expand_layers(asked, known, target.left_out)


class _Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up floating-point operations as torch.utils.flop_counter counts them, without its hooks on modules."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        options = dict(kwargs or {})
        result = func(*args, **options)
        count: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **options, out_val=result)
        return result


def _stages(target: Target, main: Sequence[str], units: Mapping[str, int], shapes: Mapping[str, Shape]) -> set[str]:
    """The ends of the network's stages: as timm says, else the last main layer before each change of units or size."""
    said = [name for name in _features(target) if name in units] or main
    last = said[-1:]
    changing = [layer for layer, following in pairwise(said) if shapes[layer] != shapes[following]]
    return {*changing, *last}


def _features(target: Target) -> Iterator[str]:
    """What timm's `feature_info` names, in order."""
    for path, module in target.module.named_modules():
        infos: Any = getattr(module, "feature_info", None)
        if not infos:
            continue

        prefix = target.layer_prefix + (f"{path}." if path else "")
        for info in infos:
            yield prefix + canonical_layer(info["module"])
        return
