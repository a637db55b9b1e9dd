"""Pooled activations of one layer while they stream by: a running top-k, a running summary, or all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from service.domain.neurons import ActivationSummary
from service.errors import InvalidInput

FULL_MATRIX_LIMIT = 2 << 30
"""Bytes of activations that a similarity which needs all of them may keep, over all layers of a dissection."""


class RunningSummary:
    """Mean, standard deviation (of the population), least and greatest activation of each of U units.

    Sums are float64, of differences to the unit's first activation, added image by image: so nothing cancels,
    a constant unit has a deviation of exactly 0, and the split of the stream into batches changes no bit.
    """

    def __init__(self) -> None:
        self._count = 0
        self._first = self._sum = self._squares = torch.empty(0, dtype=torch.float64)
        self._least = self._greatest = torch.empty(0)

    @classmethod
    def restore(cls, count: int, state: Tensor) -> "RunningSummary":
        """The summary of `count` images whose `state` was stored."""
        summary = cls()
        summary._count = count
        summary._first, summary._sum, summary._squares = state[:3]
        summary._least, summary._greatest = state[3:].float()
        return summary

    @property
    def state(self) -> Tensor:
        """First activation, sums of differences and of their squares, least and greatest: float64 [5, U]."""
        return torch.stack([self._first, self._sum, self._squares, self._least.double(), self._greatest.double()])

    def update(self, activations: Tensor) -> None:
        """Take the next images, float32 [B, U]."""
        if self._count == 0:
            self._first = activations[0].double()
            self._sum = torch.zeros_like(self._first)
            self._squares = torch.zeros_like(self._first)
            self._least = self._greatest = activations[0]

        self._count += len(activations)
        for difference in activations.double() - self._first:
            self._sum += difference
            self._squares += difference * difference

        self._least = torch.minimum(self._least, activations.amin(dim=0))
        self._greatest = torch.maximum(self._greatest, activations.amax(dim=0))

    def merge(self, following: "RunningSummary") -> None:
        """Take the summary of the images that follow, which stays as it is.

        The split into shards may change the sums' last bits; a constant unit's deviation stays exactly 0.
        """
        if following._count == 0:
            return
        if self._count == 0:
            self._count, self._first = following._count, following._first
            self._sum, self._squares = following._sum.clone(), following._squares.clone()
            self._least, self._greatest = following._least, following._greatest
            return

        shift = following._first - self._first
        squares = following._squares + 2 * shift * following._sum + following._count * shift * shift
        # Not in place: the sums may be inference tensors or lie in a stored shard's file.
        self._squares = self._squares + squares
        self._sum = self._sum + (following._sum + following._count * shift)
        self._count += following._count
        self._least = torch.minimum(self._least, following._least)
        self._greatest = torch.maximum(self._greatest, following._greatest)

    @property
    def dead(self) -> Tensor:
        """bool [U]: the units with the same activation for every image."""
        return self._least == self._greatest

    def summaries(self) -> list[ActivationSummary]:
        """One summary per unit, in unit order."""
        offset = self._sum / self._count
        mean = self._first + offset
        std = (self._squares / self._count - offset * offset).clamp_min(0).sqrt()
        columns = (mean.tolist(), std.tolist(), self._least.tolist(), self._greatest.tolist())
        return [ActivationSummary(*values) for values in zip(*columns, strict=True)]


class FullActivations:
    """All activations of a layer, for the similarities whose formula needs them: memory grows with N x U."""

    def __init__(self, parts: Sequence[Tensor] = ()) -> None:
        """parts: float32 [n, U] each, the images in order."""
        self._parts = list(parts)

    def update(self, activations: Tensor) -> None:
        """Take the next images, float32 [B, U]."""
        self._parts.append(activations.clone())  # a class token is a view, and would keep every token of its batch

    def merge(self, following: "FullActivations") -> None:
        """Take the activations of the images that follow."""
        self._parts += following._parts

    @property
    def matrix(self) -> Tensor:
        """float32 [N, U] of the images seen."""
        if len(self._parts) > 1:
            self._parts = [torch.cat(self._parts)]
        return self._parts[0]


def full_matrix_fits(images: int, units: int) -> bool:
    """Is there room for all activations of the requested layers?"""
    return 4 * images * units <= FULL_MATRIX_LIMIT


def check_full_matrix_fits(images: int, units: int, similarity: str) -> None:
    """Raise InvalidInput when all activations of the requested layers would take more than FULL_MATRIX_LIMIT bytes."""
    if not full_matrix_fits(images, units):
        needed = 4 * images * units
        raise InvalidInput(
            f"'{similarity}' needs all activations of {images} images and {units} units at once: "
            f"{needed / 2**30:.1f} GiB, and the limit is {FULL_MATRIX_LIMIT / 2**30:.0f} GiB.",
            field="method.similarity",
            value=similarity,
            remedy="Use contrast or soft_wpmi, which need only the top images, or ask for fewer layers or images.",
        )
