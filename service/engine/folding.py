"""A faster EfficientNet with the same outputs: batch norms folded into the convolutions before them."""

from collections.abc import Collection

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from service.engine.efficientnet import Block, EfficientNet


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
    setattr(module, norm, fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm)))
    setattr(module, convolution, None)
