"""Putting weights into a network, all of them or none."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from service.engine.architectures.blueprint import FITTING_WEIGHTS
from service.errors import InvalidCheckpoint

_NAMED = 3


def load_strictly(
    module: nn.Module, weights: Mapping[str, Tensor], architecture: str, remedy: str = FITTING_WEIGHTS
) -> None:
    """Copy `weights` into `module` as float32 where they are floating point; every key and every shape must match.

    remedy: for weights that do not fit.
    Raises InvalidCheckpoint that counts the missing, unexpected and mis-shaped keys and names the first of each, and
    where parameters or running statistics are not finite.
    """
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    missing = [key for key in expected if key not in weights]
    unexpected = [key for key in weights if key not in expected]
    misshaped = [
        f"{key} {list(weights[key].shape)} instead of {list(shape)}"
        for key, shape in expected.items()
        if key in weights and tuple(weights[key].shape) != shape
    ]

    faults = {"missing": missing, "unexpected": unexpected, "mis-shaped": misshaped}
    if any(faults.values()):
        listed = "; ".join(_list(kind, keys) for kind, keys in faults.items() if keys)
        raise InvalidCheckpoint(
            f"The checkpoint does not fit {architecture}: {listed}.",
            field="checkpoint",
            value=architecture,
            remedy=remedy,
        )

    if any(parameter.is_meta for parameter in module.parameters()):
        module.to_empty(device="cpu")
    with torch.no_grad():
        module.load_state_dict(weights)
    _refuse_not_finite(module, architecture)


def _refuse_not_finite(module: nn.Module, architecture: str) -> None:
    """One such number makes everything behind it useless: a unit that never answers, or one that answers nothing else.

    They come from training that failed, and from numbers too large for half precision.
    """
    faulty = [key for key, value in _learned(module) if not _is_usable(key, value)]
    if faulty:
        raise InvalidCheckpoint(
            f"The checkpoint's weights are not finite numbers, or are variances below zero, in "
            f"{_list('entries', faulty)}.",
            field="checkpoint",
            value=architecture,
            remedy="Give a checkpoint from before the training failed, saved in float32 where float16 was too small.",
        )


def _learned(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and running statistics. Other buffers, such as masks, may hold infinity for a reason."""
    yield from module.named_parameters()
    yield from ((key, value) for key, value in module.named_buffers() if "running_" in key)


def _is_usable(key: str, value: Tensor) -> bool:
    # The sum is quick, and is finite only where every number is; it may overflow where they are large.
    finite = bool(value.sum().isfinite()) or bool(value.isfinite().all())
    return finite and not (key.endswith("running_var") and bool((value < 0).any()))


def _list(kind: str, keys: list[str]) -> str:
    more = ", ..." if len(keys) > _NAMED else ""
    named = ", ".join(f"{key:.200}" for key in keys[:_NAMED])
    return f"{len(keys)} {kind} ({named}{more})"
