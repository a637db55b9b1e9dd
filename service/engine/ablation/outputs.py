"""What a network's own outputs are: one number per image and class, from its head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from service.domain.ablations import ANOTHER_TARGET, check_can_be_asked
from service.engine.networks.efficientnet import EfficientNet
from service.engine.networks.protocols import Target
from service.engine.probing.layouts import first_tensor
from service.engine.probing.listening import hooked
from service.errors import NoOutputs

_LOGITS = "logits"


@dataclass(frozen=True, slots=True)
class OwnOutputs:
    """The outputs of a network."""

    head: nn.Module
    """The linear layer that everything goes through on its way to the outputs."""

    layer: str
    """Its name, with the target's prefix."""

    count: int

    beside: bool = False
    """Whether the outputs are what the head returns, beside what the network itself returns."""


def own_outputs(target: Target) -> OwnOutputs:
    """Find the outputs of a target in eval mode, from what it does with two images of noise.

    They are what the network returns, [B, O], or what it returns as `logits`, where it depends on the images through
    one linear layer of O numbers alone: that is its head. So is a 1 x 1 convolution that is pooled afterwards, where
    the network itself says that it has O classes: others end in a convolution and return features. Of our own
    EfficientNets with a classifier the outputs are the classifier's.
    Raises NoOutputs where there are none: for tables, ONNX graphs, towers and networks without a head.
    """
    _check_can_be_asked(target)
    network = target.module
    if isinstance(network, EfficientNet):
        if network._fc is None:
            raise _headless(target, f"it returns {network.features} features")
        return OwnOutputs(network._fc, f"{target.layer_prefix}_fc", network._fc.out_features, beside=True)

    images = _noise(target)
    linear_layers = {
        name: module for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)
    }
    seen: list[tuple[str, torch.Size]] = []  # no outputs, which may be large together

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor):
            seen.append((name, output.shape))

    with torch.inference_mode(), hooked(linear_layers, note):
        returned = returned_numbers(target, network(images))

    says_classes = getattr(network, "num_classes", None) == returned.shape[1]
    of_that_width = [name for name, shape in seen if shape[:2] == returned.shape and (len(shape) == 2 or says_classes)]
    if not of_that_width:
        raise _headless(target, f"no linear layer gives the {returned.shape[1]} numbers that it returns")

    name = of_that_width[-1]
    head = linear_layers[name]
    if not _goes_through(target, head, images):
        raise _headless(target, f"the {returned.shape[1]} numbers that it returns do not depend on '{name}' alone")
    return OwnOutputs(head, target.layer_prefix + name, returned.shape[1])


def returned_numbers(target: Target, returned: object) -> Tensor:
    """What a network returned as numbers per image, [B, O]. Raises NoOutputs where that is something else."""
    if isinstance(returned, Mapping):
        if _LOGITS not in returned:
            raise _headless(target, f"it returns {', '.join(map(str, returned))} and no logits")
        returned = returned[_LOGITS]

    numbers = first_tensor(returned)
    if numbers is None or not numbers.is_floating_point():
        raise _headless(target, f"it returns a {type(returned).__name__}")
    if numbers.ndim != 2:
        raise _headless(target, f"it returns a tensor of shape {list(numbers.shape)}, not one row of numbers per image")
    return numbers


def _check_can_be_asked(target: Target) -> None:
    check_can_be_asked(target.architecture)
    if getattr(target.module, "num_classes", None) == 0:
        raise _headless(target, "it was built without a classifier")
    if target.left_out:
        raise _headless(target, f"the file has no weights for {', '.join(target.left_out)}")


def _headless(target: Target, why: str) -> NoOutputs:
    return NoOutputs(
        f"The network has no outputs of its own: {why}.",
        field="target",
        value=target.architecture,
        remedy=ANOTHER_TARGET,
    )


def _goes_through(target: Target, head: nn.Module, images: Tensor) -> bool:
    """Whether different images give the same once the head returns the same for all of them."""

    def blank(_name: str, output: object) -> Tensor:
        return torch.zeros_like(cast("Tensor", output))

    with torch.inference_mode(), hooked({"head": head}, blank):
        returned = returned_numbers(target, target.module(images))
    return bool(torch.equal(returned[:1].expand_as(returned), returned))


def _noise(target: Target) -> Tensor:
    """Two images of noise as the network takes them, on its device."""
    contract = target.preprocessing
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, contract.channels, contract.height, contract.width, generator=generator)
    device = next(target.module.parameters(), torch.empty(0)).device
    return images.to(device)
