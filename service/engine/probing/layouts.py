"""Which axis of a layer's output holds its units.

Three things say so. What a module's class or its library says of it: a convolution puts its units behind the batch, a
linear layer at the end, timm's `output_fmt` speaks for a whole network. How the output's shape follows the size of the
images: the axis of the units does not. And, for a network that takes one size only, the proportions of the images,
where they leave one reading. An output of which nothing says it is not read at all.
"""

import copy
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from service.engine.networks.efficientnet import EfficientNet
from service.engine.networks.protocols import Target, reading_of
from service.engine.probing.listening import hooked
from service.engine.probing.tokens import Tokens, tokens_of

Shape = tuple[int, ...]

UNITS_FIRST = 1
"""[B, U, H, W]"""
UNITS_LAST = 3
"""[B, H, W, U]"""

_TIMES_HIGH, _TIMES_WIDE = 3, 5
_OF_TWO_DIMENSIONS = re.compile(r".*2d")
_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.PixelShuffle, nn.PixelUnshuffle)
_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Embedding)
_PERMUTED = {(0, 2, 3, 1): UNITS_LAST, (0, 3, 1, 2): UNITS_FIRST}
_FORMATS = {"NHWC": UNITS_LAST, "NCHW": UNITS_FIRST}

_shapes_log = logging.getLogger("torch._subclasses.fake_tensor")

_grown: WeakKeyDictionary[nn.Module, dict[tuple[int, int], dict[str, Shape]]] = WeakKeyDictionary()
"""Shapes at the larger size, by network and nominal size: a worker shows a network many shards."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known of how a layer's output is to be read."""

    module: int | None
    """The axis of the units that the layer's own class means."""

    library: int | None
    """The axis of the units that the network around the layer means."""

    grown: Shape | None
    """The output's shape for images of three times the height and five times the width; None where it is not known."""

    tokens: Tokens | None
    """See `tokens_of`."""

    def unit_axis(self, shape: Shape, height: int, width: int) -> int | None:
        """The axis of a map's units, of [B, ., ., .] for images of that size; None where nothing says it."""
        if self.module == UNITS_FIRST:
            return UNITS_FIRST

        if self.grown is not None and len(self.grown) == len(shape):
            moved = {axis for axis in (1, 2, 3) if shape[axis] != self.grown[axis]}
            if moved:
                return _axis_that_stays(moved, shape)

        readings = [axis for axis in (UNITS_FIRST, UNITS_LAST) if _has_proportions(_space(shape, axis), height, width)]
        said = self.library if self.module is None else self.module
        if said is not None:
            return said if said in readings else None
        if len(readings) == 1:
            return readings[0]
        return UNITS_FIRST if set(shape[1:]) == {1} else None

    def axis_in(self, shape: Shape, height: int, width: int) -> int | None:
        """The axis of the units of whatever can be pooled; None where nothing says it."""
        match len(shape):
            case 4:
                return self.unit_axis(shape, height, width)
            case 3:
                return self.tokens_in(shape)[0]
            case _:
                return 1

    def tokens_in(self, shape: Shape) -> tuple[int, Tokens | None]:
        """The axis of the units of [B, ., .], and what is known of the tokens."""
        grown = self.grown
        if grown is None or len(grown) != len(shape):
            return 2, self.tokens

        units_first = shape[2] != grown[2] and shape[1] == grown[1]
        if units_first:
            return 1, Tokens(has_class=False)

        only_patches = shape[2] == grown[2] and grown[1] == _TIMES_HIGH * _TIMES_WIDE * shape[1]
        if self.tokens is None and only_patches:
            return 2, Tokens(has_class=False)
        return 2, self.tokens


def layouts_of(target: Target, modules: Mapping[str, nn.Module]) -> dict[str, Layout]:
    """How to read each of these layers of the target, under the names that they have here."""
    tokens = tokens_of(target, modules)
    names = {module: name for name, module in target.module.named_modules()}
    said = {layer: _said_of(target.module, names[module]) for layer, module in modules.items()}

    # Where every layer's own class says it, the shapes need not be worked out.
    settled = all(axis == UNITS_FIRST for axis in said.values())
    grown = {} if settled else _grown_shapes(target)

    return {
        layer: Layout(
            module=said[layer],
            library=_said_around(target.module, names[module]),
            grown=grown.get(names[module]),
            tokens=tokens[layer],
        )
        for layer, module in modules.items()
    }


def first_tensor(output: object) -> Tensor | None:
    """A layer's output: the tensor itself, or the first of those that it returns together."""
    while not isinstance(output, Tensor):
        if isinstance(output, Mapping) and output:
            output = output["last_hidden_state"] if "last_hidden_state" in output else next(iter(output.values()))
        elif isinstance(output, Sequence) and not isinstance(output, str) and output:
            output = output[0]
        else:
            return None
    return output


def blank_images(target: Target, count: int, height: int, width: int) -> Tensor:
    """Images of nothing, on the device of the target."""
    device = next(target.module.parameters(), torch.empty(0)).device
    return torch.zeros(count, target.preprocessing.channels, height, width, device=device)


def _grown_shapes(target: Target) -> dict[str, Shape]:
    """The shape of what each module returns for larger images, by its own name, as far as the network takes them.

    Found without arithmetic, and on a copy that shares the weights: what a network remembers of such a pass (masks,
    tables of positions) is no use to another one.
    """
    height, width = target.preprocessing.height, target.preprocessing.width
    of_network = _grown.setdefault(target.module, {})
    if (height, width) in of_network:
        return of_network[height, width]

    shapes: dict[str, Shape] = {}

    def record(name: str, output: object) -> None:
        tensor = first_tensor(output)
        if tensor is not None:
            shapes[name] = tuple(tensor.shape)

    size = (_TIMES_HIGH * height, _TIMES_WIDE * width)
    try:
        network = _sharing_copy(target.module)
        with _quietly(), torch.inference_mode(), FakeTensorMode(allow_non_fake_inputs=True):
            set_input_size: Any = getattr(network, "set_input_size", None)  # of timm's networks that take one size
            if set_input_size is not None:
                set_input_size(img_size=size)
            with hooked({name: module for name, module in network.named_modules() if name}, record):
                network(blank_images(target, 2, *size))
    except Exception:  # noqa: S110 - a network may refuse that size in any way; what ran before counts
        pass

    of_network[height, width] = shapes
    return shapes


@contextmanager
def _quietly() -> Iterator[None]:
    """Without torch's own report of an operation that does not take its shapes: such a size is merely not taken."""
    was_disabled = _shapes_log.disabled
    _shapes_log.disabled = True
    try:
        yield
    finally:
        _shapes_log.disabled = was_disabled


def _sharing_copy(network: nn.Module) -> nn.Module:
    tensors = [*network.parameters(), *network.buffers()]
    shared = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    for module in shared.modules():
        module._forward_hooks.clear()  # of whoever listens to the network itself
    return shared


def _axis_that_stays(moved: set[int], shape: Shape) -> int | None:
    """moved: the axes that follow the size of the images. An axis of space may be one pixel long, and stay."""
    readings = {
        UNITS_FIRST: 1 not in moved and all(axis in moved or shape[axis] == 1 for axis in (2, 3)),
        UNITS_LAST: 3 not in moved and all(axis in moved or shape[axis] == 1 for axis in (1, 2)),
    }
    possible = [axis for axis, fits in readings.items() if fits]
    return possible[0] if len(possible) == 1 else None


def _space(shape: Shape, unit_axis: int) -> tuple[int, int]:
    return (shape[2], shape[3]) if unit_axis == UNITS_FIRST else (shape[1], shape[2])


def _has_proportions(space: tuple[int, int], height: int, width: int) -> bool:
    """Whether a map is as high for its width as the images are, but for rounding."""
    slack = 0 if height == width else max(height, width)
    return abs(space[0] * width - space[1] * height) <= slack


def _said_of(network: nn.Module, name: str) -> int | None:
    """What a module's class says of it, or that it is a part of our own EfficientNets."""
    module = network.get_submodule(name)
    if reading_of(module) is not None:  # which puts its units behind the images, whatever made them
        return UNITS_FIRST
    if any(isinstance(part, EfficientNet) for part in _around(network, name)):
        return UNITS_FIRST
    if any(_OF_TWO_DIMENSIONS.fullmatch(kind.__name__) for kind in type(module).__mro__) or isinstance(module, _FIRST):
        return UNITS_FIRST
    if isinstance(module, _LAST):
        return UNITS_LAST

    dims = getattr(module, "dims", None)  # torchvision's Permute
    return _PERMUTED.get(tuple(dims)) if type(module).__name__ == "Permute" and dims else None


def _said_around(network: nn.Module, name: str) -> int | None:
    """What timm says of the network or the part of it that the layer is in."""
    for part in _around(network, name):
        output_format = getattr(part, "output_fmt", None)
        if output_format is not None:
            return _FORMATS.get(str(getattr(output_format, "value", output_format)))
    return None


def _around(network: nn.Module, name: str) -> Iterator[nn.Module]:
    """The module of that name, and those that it is in, the network last."""
    parts = name.split(".")
    for length in range(len(parts), -1, -1):
        yield network.get_submodule(".".join(parts[:length]))
