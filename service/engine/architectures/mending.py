"""What is between a set of weights and a network that was built for it, and does no harm to any layer that is left."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from service.engine.architectures.choosing import stem

Rename = Callable[[nn.Module, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""What a library does with older or foreign files of a network before it loads them."""

_COLOURS = 3
_BATCHES = "num_batches_tracked"
"""Counted in training, and of no use afterwards."""
_COUNTERS = ("total_ops", "total_params")
"""What profilers leave in modules."""


@dataclass(frozen=True, slots=True)
class Mended:
    """Weights that can be loaded, and what was done to them and to the network."""

    weights: Mapping[str, Tensor]
    renamed: tuple[str, ...]
    filled_in: tuple[str, ...]

    left_out: tuple[str, ...]
    """Modules that became an identity."""

    unused: tuple[str, ...]
    channels: int


def mend(network: nn.Module, weights: Mapping[str, Tensor], renames: Sequence[Rename], heads: Sequence[str]) -> Mended:
    """Bring weights and network together. Whatever does not fit then is left for the strict check.

    renames: tried only where the weights do not fit as they are.
    heads: the network's classifiers, which are left out where the weights do not fit them.
    """
    channels = _fit_stem(network, weights)
    usable, renamed = _rename(network, weights, renames)
    _fit_classes(network, usable, heads)
    usable, filled_in = _fill_in(network, usable)
    left_out = _leave_out(network, usable, heads)
    unused: tuple[str, ...] = ()
    if not _misfits(network, usable):  # else the strict check names them, among what else does not fit
        usable, unused = _drop_unused(network, usable, left_out)

    return Mended(usable, renamed, filled_in, left_out, unused, channels)


def _fit_stem(network: nn.Module, weights: Mapping[str, Tensor]) -> int:
    """Give the first convolutions one channel where the weights have one for three. Returns the channels."""
    channels = _COLOURS
    for name, module in network.named_modules():
        weight = weights.get(f"{name}.weight")
        if weight is None or not isinstance(module, nn.Conv2d) or module.in_channels != _COLOURS:
            continue

        if module.groups == 1 and tuple(weight.shape) == (module.out_channels, 1, *module.kernel_size):
            module.in_channels = channels = 1
            module.weight = nn.Parameter(torch.empty(weight.shape, device=module.weight.device))
    return channels


def _rename(
    network: nn.Module, weights: Mapping[str, Tensor], renames: Sequence[Rename]
) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """The weights after those renames that make them fit better, and the names that they had before."""
    renamed: list[str] = []
    for rename in [*renames, _as_modules_do]:
        misfits = _misfits(network, weights)
        if not misfits:
            break

        with suppress(Exception):  # a library's own function, for files that it did not expect
            other = rename(network, weights)
            if isinstance(other, Mapping) and _misfits(network, other) < misfits:
                renamed += [key for key, value in weights.items() if other.get(key) is not value]
                weights = other
    return weights, tuple(dict.fromkeys(renamed))


def _misfits(network: nn.Module, weights: Mapping[str, Tensor]) -> int:
    """How far the weights are from the network: an entry of another shape is nearer than none."""
    misfits = 0
    for key, value in network.state_dict().items():
        if key.endswith(_BATCHES):
            continue
        if key not in weights:
            misfits += 2
        elif weights[key].shape != value.shape:
            misfits += 1
    return misfits


def _as_modules_do(network: nn.Module, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What modules rename when they load weights of their earlier versions."""
    state = OrderedDict(weights)
    for name, module in network.named_modules():
        module._load_from_state_dict(state, f"{name}." if name else "", {}, False, [], [], [])
    return state


def _fit_classes(network: nn.Module, weights: Mapping[str, Tensor], heads: Sequence[str]) -> None:
    """Give classifiers as many classes as the weights have, where only the renamed weights say it."""
    modules = dict(network.named_modules())
    for head in heads:
        module = modules.get(head)
        weight = weights.get(f"{head}.weight")
        if not isinstance(module, nn.Linear) or weight is None or weight.ndim != module.weight.ndim:
            continue

        classes, width = weight.shape
        if width == module.in_features and classes != module.out_features:
            has_bias = module.bias is not None
            network.set_submodule(head, nn.Linear(width, classes, bias=has_bias, device=module.weight.device))


def _fill_in(network: nn.Module, weights: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Add counters and tables that the network computes itself, when it is built. None of them is learned."""
    buffers = dict(network.named_buffers())
    expected = network.state_dict()
    missing = {
        key: buffers[key]
        for key in expected
        if key not in weights and key in buffers and not buffers[key].is_floating_point()
    }
    added = {
        key: torch.zeros((), dtype=value.dtype) if key.endswith(_BATCHES) else value.clone()
        for key, value in missing.items()
        if not value.is_meta or key.endswith(_BATCHES)
    }
    return {**weights, **added}, tuple(added)


def _leave_out(network: nn.Module, weights: Mapping[str, Tensor], heads: Sequence[str]) -> tuple[str, ...]:
    left_out: list[str] = []
    for head in heads:
        expected = network.state_dict()
        if not _fits_any(expected, weights, ""):
            break
        if not head or _fits(expected, weights, head):
            continue

        # A whole classifier of several layers, rather than the last of them.
        parent = head.rpartition(".")[0]
        while parent and not _fits_any(expected, weights, parent):
            head, parent = parent, parent.rpartition(".")[0]  # noqa: PLW2901

        network.set_submodule(head, nn.Identity())
        left_out.append(head)
    return tuple(left_out)


def _fits(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], part: str) -> bool:
    keys = _inside(expected, part)
    return all(key in weights and weights[key].shape == expected[key].shape for key in keys)


def _fits_any(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], part: str) -> bool:
    keys = _inside(expected, part)
    return any(key in weights and weights[key].shape == expected[key].shape for key in keys)


def _inside(names: Iterable[str], part: str) -> list[str]:
    return [name for name in names if not part or name.startswith(f"{part}.")]


def _drop_unused(
    network: nn.Module, weights: Mapping[str, Tensor], left_out: Sequence[str]
) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Without the entries that are no part of the network. Those that could be a part of it stay, and are an error."""
    expected = network.state_dict().keys()
    tables = dict(network.named_buffers()).keys()
    parts = {stem(name) for name, _ in network.named_children()} | {stem(name) for name in expected}

    unused = [
        key
        for key in weights
        if key not in expected
        and (
            stem(key) not in parts
            or key in tables
            or key.rpartition(".")[2] in _COUNTERS
            or any(key.startswith(f"{head}.") for head in left_out)
        )
    ]
    dropped = set(unused)
    return {key: value for key, value in weights.items() if key not in dropped}, tuple(unused)
