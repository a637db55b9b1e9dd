"""EfficientNet with the key names of the published Mammo-CLIP weights, and their padding.

Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019), and the Lite variant
(no squeeze-and-excitation, ReLU6 for swish). Every convolution pads by a fixed amount that was worked out for the
variant's nominal image size, whatever the size of the actual input: padding for the actual size would shift the
sampling grid of the strided convolutions.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

_STAGES = (  # repeats, kernel, stride, expansion, output channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of the family: multipliers of width and depth, the nominal (square) image size, and the kind."""

    width: float
    depth: float
    nominal_size: int
    lite: bool = False

    def channels(self, base: int) -> int:
        """Channels after scaling: the nearest multiple of 8 that is not more than a tenth below."""
        scaled = base * self.width
        rounded = max(8, int(scaled + 4) // 8 * 8)
        return rounded if rounded >= 0.9 * scaled else rounded + 8

    @property
    def features(self) -> int:
        """Width of the pooled features."""
        return self.channels(_HEAD)


B2 = Variant(width=1.1, depth=1.2, nominal_size=260)
B5 = Variant(width=1.6, depth=2.2, nominal_size=456)
LITE0 = Variant(width=1.0, depth=1.0, nominal_size=224, lite=True)


class FixedPadConv(nn.Conv2d):
    """A convolution [B, C, H, W] -> [B, U, H', W'] that pads as TensorFlow's `same` does for a nominal input size."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, nominal_size: int
    ) -> None:
        total = max((math.ceil(nominal_size / stride) - 1) * stride + kernel - nominal_size, 0)
        before = total // 2
        after = total - before
        super().__init__(
            inputs,
            outputs,
            kernel,
            stride=stride,
            groups=groups,
            bias=False,
            padding=before if before == after else 0,
        )
        self.uneven = None if before == after else (before, after, before, after)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name for it
        """Pad and convolve."""
        return super().forward(input if self.uneven is None else functional.pad(input, self.uneven))


def _normed(convolution: nn.Module | None, norm: nn.Module, x: Tensor) -> Tensor:
    normed: Tensor = norm(x if convolution is None else convolution(x))
    return normed


class Block(nn.Module):
    """Mobile inverted bottleneck: expand, convolve each channel, weigh channels, project, add the input if it fits.

    A convolution that was folded into its norm is None. `reused` names the norms whose output may be overwritten.
    """

    norm_of: ClassVar = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, *, lite: bool, nominal_size: int
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion != 1
        self.squeezes = not lite
        self.skips = stride == 1 and inputs == outputs
        self.reused: frozenset[str] = frozenset()
        self._activate: Callable[..., Tensor] = functional.relu6 if lite else functional.silu

        if self.expands:
            self._expand_conv: nn.Module | None = nn.Conv2d(inputs, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        self._depthwise_conv: nn.Module | None = FixedPadConv(
            hidden, hidden, kernel, stride=stride, groups=hidden, nominal_size=nominal_size
        )
        self._bn1 = _norm(hidden)
        if self.squeezes:
            squeezed = max(1, inputs // 4)
            self._se_reduce = nn.Conv2d(hidden, squeezed, 1)
            self._se_expand = nn.Conv2d(squeezed, hidden, 1)
        self._project_conv: nn.Module | None = nn.Conv2d(hidden, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, U, H', W']."""
        x = inputs
        if self.expands:
            x = self._activate(_normed(self._expand_conv, self._bn0, x), inplace="_bn0" in self.reused)
        x = self._activate(_normed(self._depthwise_conv, self._bn1, x), inplace="_bn1" in self.reused)

        if self.squeezes:
            weights = self._activate(self._se_reduce(x.mean((2, 3), keepdim=True)))
            weights = self._se_expand(weights).sigmoid()
            x = x.mul_(weights) if "_bn1" in self.reused else x * weights

        x = _normed(self._project_conv, self._bn2, x)
        if self.skips:
            x = x.add_(inputs) if "_bn2" in self.reused else x + inputs
        return x


class Swish(nn.Module):
    """x times its sigmoid, as a layer for those who watch it."""

    def forward(self, x: Tensor, *, inplace: bool = False) -> Tensor:
        """Any shape."""
        return functional.silu(x, inplace=inplace)


class EfficientNet(nn.Module):
    """[B, 3, H, W] -> pooled features [B, U] after the last activation.

    As in a block, a folded convolution is None and `reused` names the norms whose output may be overwritten.
    classes: width of the classifier `_fc`, a layer beside the output; None leaves it out.
    """

    norm_of: ClassVar = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}

    def __init__(self, variant: Variant, *, classes: int | None = None) -> None:
        super().__init__()
        lite = variant.lite
        self.reused: frozenset[str] = frozenset()
        self._activate: Callable[..., Tensor] = functional.relu6 if lite else functional.silu

        stem = _STEM if lite else variant.channels(_STEM)
        head = _HEAD if lite else variant.features
        self._conv_stem: nn.Module | None = FixedPadConv(3, stem, 3, stride=2, nominal_size=variant.nominal_size)
        self._bn0 = _norm(stem)
        self._blocks = nn.ModuleList(_blocks(variant, stem))
        self._conv_head: nn.Module | None = nn.Conv2d(variant.channels(_STAGES[-1][-1]), head, 1, bias=False)
        self._bn1 = _norm(head)
        self._swish = None if lite else Swish()
        self.features = head
        self._avg_pooling = nn.AdaptiveAvgPool2d(1)
        self._fc = None if classes is None else nn.Linear(head, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images normalised as the weights expect, float32."""
        features = self.late(self.early(images, 0), 0)
        if self._fc is not None:
            self._fc(features)  # for those who watch this layer; the output stays the features
        return features

    def early(self, images: Tensor, blocks: int) -> Tensor:
        """The stem and the first `blocks` blocks: [B, 3, H, W] -> maps [B, C, H', W']."""
        x = self._activate(_normed(self._conv_stem, self._bn0, images), inplace="_bn0" in self.reused)
        for block in self._blocks[:blocks]:
            x = block(x)
        return x

    def late(self, maps: Tensor, blocks: int) -> Tensor:
        """What follows the first `blocks` blocks: maps [B, C, H', W'] -> pooled features [B, U]."""
        x = maps
        for block in self._blocks[blocks:]:
            x = block(x)
        activate = self._activate if self._swish is None else self._swish
        x = activate(_normed(self._conv_head, self._bn1, x), inplace="_bn1" in self.reused)
        features: Tensor = self._avg_pooling(x).flatten(1)
        return features

    def late_modules(self, blocks: int) -> nn.ModuleList:
        """What `late` runs, without the classifier."""
        return nn.ModuleList([*self._blocks[blocks:], *filter(None, [self._conv_head]), self._bn1])


def _blocks(variant: Variant, inputs: int) -> Iterator[Block]:
    size = math.ceil(variant.nominal_size / 2)
    for number, (repeats, kernel, first_stride, expansion, base) in enumerate(_STAGES):
        outputs = variant.channels(base)
        # Lite leaves the first and the last stage as they are in every size.
        fixed = variant.lite and number in {0, len(_STAGES) - 1}
        for repeat in range(repeats if fixed else math.ceil(repeats * variant.depth)):
            stride = first_stride if repeat == 0 else 1
            yield Block(inputs, outputs, kernel, stride, expansion, lite=variant.lite, nominal_size=size)
            inputs, size = outputs, math.ceil(size / stride)
