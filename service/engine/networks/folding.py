"""A faster EfficientNet with the same outputs: batch norms folded into the convolutions before them."""

from collections.abc import Collection

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from service.engine.networks.efficientnet import Block, EfficientNet, FixedPadConv


def fold_norms(network: nn.Module, keep: Collection[str]) -> None:
    """Rework the EfficientNets inside `network` (in eval mode) in place; other networks stay as they are.

    keep: dotted names of the layers that will be looked at. Every other convolution is folded into its norm: the norm's
    place takes a convolution with the norm's output, the convolution's place is left empty. Outputs of norms that are
    not in `keep` may be overwritten by the activation that follows, so a hook must take what it needs at once.
    """
    for prefix, module in list(network.named_modules()):
        if isinstance(module, Block | EfficientNet):
            path = f"{prefix}." if prefix else ""
            for convolution, norm in module.norm_of.items():
                if hasattr(module, convolution) and path + convolution not in keep:
                    _fold(module, convolution, norm)

            module.reused = frozenset(norm for norm in module.norm_of.values() if path + norm not in keep)


@torch.no_grad()
def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
    if isinstance(folded, FixedPadConv) and folded.uneven:
        folded = _padded_inside(folded)
    setattr(module, norm, folded)
    setattr(module, convolution, None)


def _padded_inside(convolution: FixedPadConv) -> nn.Conv2d:
    """The same convolution without a padded copy of its input.

    It pads one more at the right and bottom than at the left and top. A kernel with an extra row and column of zeros
    at the left and top does the same with even padding.
    """
    assert convolution.uneven is not None and convolution.bias is not None  # noqa: S101, PT018 - as the caller checked
    before, after = convolution.uneven[:2]

    size = convolution.kernel_size[0] + after - before
    even = nn.Conv2d(
        convolution.in_channels,
        convolution.out_channels,
        size,
        stride=convolution.stride[0],
        padding=after,
        groups=convolution.groups,
        device="meta",
    )

    even.weight = nn.Parameter(functional.pad(convolution.weight, (after - before, 0, after - before, 0)))
    even.bias = nn.Parameter(convolution.bias)
    return even.eval()
