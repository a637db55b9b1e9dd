"""Pooled activations of one layer while they stream by: a running top-k, a running summary, or all of them."""

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

    def update(self, activations: Tensor) -> None:
        """Take the next images, float32 [B, U]."""
        if self._count == 0:
            self._first = activations[0].double()
            self._sum, self._squares = torch.zeros_like(self._first), torch.zeros_like(self._first)
            self._least, self._greatest = activations[0], activations[0]
        self._count += len(activations)
        for difference in activations.double() - self._first:
            self._sum += difference
            self._squares += difference * difference
        self._least = torch.minimum(self._least, activations.amin(dim=0))
        self._greatest = torch.maximum(self._greatest, activations.amax(dim=0))

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

    def __init__(self, images: int) -> None:
        self._images = images
        self._filled = 0
        self._matrix = torch.empty(0)

    def update(self, activations: Tensor) -> None:
        """Take the next images, float32 [B, U]."""
        if self._filled == 0:
            self._matrix = activations.new_empty(self._images, activations.shape[1])
        self._matrix[self._filled : self._filled + len(activations)] = activations
        self._filled += len(activations)

    @property
    def matrix(self) -> Tensor:
        """float32 [N, U] of the images seen."""
        return self._matrix[: self._filled]


def check_full_matrix_fits(images: int, units: int, similarity: str) -> None:
    """Raise InvalidInput when all activations of the requested layers would take more than FULL_MATRIX_LIMIT bytes."""
    needed = 4 * images * units
    if needed > FULL_MATRIX_LIMIT:
        raise InvalidInput(
            f"'{similarity}' needs all activations of {images} images and {units} units at once: "
            f"{needed / 2**30:.1f} GiB, and the limit is {FULL_MATRIX_LIMIT / 2**30:.0f} GiB.",
            field="method.similarity",
            value=similarity,
            remedy="Use soft_wpmi or wpmi, which need only the top images, or ask for fewer layers or images.",
        )
