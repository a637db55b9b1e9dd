"""Does a network take the images that its input contract makes?"""

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from service.domain.preprocessing import Preprocessing
from service.errors import InvalidInput

_BLANK_IMAGES = 2
_LONGEST_REASON = 200


def stem_channels(network: nn.Module) -> int | None:
    """The channels that the first convolution takes; None where they need not be those of the image."""
    stem = _first_convolution(network)
    if stem is None or stem.in_channels not in {1, 3}:
        return None
    return stem.in_channels


def check_takes(network: nn.Module, contract: Preprocessing) -> None:
    """Raises InvalidInput where the network cannot be shown such images, or would drop a part of each.

    Found by a forward pass of shapes alone; the network is on the CPU.
    """
    _check_divisible(network, contract)
    shape = (_BLANK_IMAGES, contract.channels, contract.height, contract.width)
    try:
        with torch.inference_mode(), FakeTensorMode(allow_non_fake_inputs=True):
            network(torch.zeros(shape))
    except Exception as error:  # networks say in many ways what does not fit
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise InvalidInput(
            f"The network does not take images of {contract.height} x {contract.width} pixels: {reason}.",
            field="input",
            value=f"{contract.height} x {contract.width}",
            remedy="Give the height and width that it was trained with, or leave both out.",
        ) from None


def _check_divisible(network: nn.Module, contract: Preprocessing) -> None:
    """Patches that are cut beside each other leave over what is no whole patch."""
    stem = _first_convolution(network)
    if stem is None or stem.kernel_size != stem.stride or not isinstance(stem.padding, tuple) or any(stem.padding):
        return

    for name, patch in zip(("height", "width"), stem.stride, strict=True):
        side = getattr(contract, name)
        if side % patch:
            nearest = max(round(side / patch), 1) * patch
            raise InvalidInput(
                f"The input's {name} {side} is not divisible by the network's patches of {patch} pixels.",
                field=f"input.{name}",
                value=side,
                remedy=f"Give a multiple of {patch}, for example {nearest}.",
            )


def _first_convolution(network: nn.Module) -> nn.Conv2d | None:
    return next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
