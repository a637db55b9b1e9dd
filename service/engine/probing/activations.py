"""Pooled activations of one layer: a running summary while they stream by, and all of them, read block by block."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from service.domain.neurons import ActivationSummary

MOST_IN_MEMORY = 4 << 30
"""Bytes of activations that a pass keeps in memory, over all layers, unless it is told otherwise."""

_ENTRIES_AT_ONCE = 1 << 22
_LEAST_ROWS, _MOST_ROWS = 256, 4096

ReadEmbeddings = Callable[[Tensor], Tensor]
"""Maps positions among the used images (int64 [n], ascending, CPU) to the dissector's embeddings, float32 [n, D]."""

Blocks = Iterator[tuple[Tensor, Tensor]]
"""Embeddings float32 [n, D] and activations float32 [n, U] of the same images, in probe-set order, on the CPU."""


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


class ActivationPart(Protocol):
    """Activations of some images that follow one another."""

    def __len__(self) -> int:
        """How many images."""
        ...

    def read(self) -> Tensor:
        """float32 [n, U] on the CPU; not to be written to."""
        ...


class _InMemory:
    def __init__(self, activations: Tensor) -> None:
        self._activations = activations

    def __len__(self) -> int:
        return len(self._activations)

    def read(self) -> Tensor:
        return self._activations


class LayerActivations:
    """All pooled activations of a layer, of images in order: in memory, or in the files of stored shards.

    What lies in files is read where it is asked for, so a reader's memory does not grow with the images.
    """

    def __init__(self, parts: Sequence[ActivationPart] = ()) -> None:
        self._parts = list(parts)

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def update(self, activations: Tensor) -> None:
        """Take the next images, float32 [B, U]."""
        # A copy: a class token is a view, and would keep every token of its batch.
        self._parts.append(_InMemory(activations.to("cpu", copy=True)))

    def merge(self, following: "LayerActivations") -> None:
        """Take the activations of the images that follow."""
        self._parts += following._parts

    def join(self) -> None:
        """Make one part of all, in memory."""
        if len(self._parts) > 1:
            self._parts = [_InMemory(self.matrix())]

    def matrix(self) -> Tensor:
        """float32 [N, U] of all images at once."""
        return torch.cat([part.read() for part in self._parts])

    def of_units(self, units: Tensor) -> Tensor:
        """float32 [N, u] of some units, int64 [u], and all images."""
        return torch.cat([part.read()[:, units] for part in self._parts])

    def blocks(self) -> Iterator[Tensor]:
        """The images in order, float32 [n, U] at a time.

        Where a block ends follows the number of units alone, not the parts: what is summed block by block has the same
        bits however the images were cut into shards.
        """
        waiting: list[Tensor] = []
        held = 0
        for part in self._parts:
            following = part.read()
            rows = _rows_at_once(following.shape[1])

            while held + len(following) >= rows:
                missing = rows - held
                waiting.append(following[:missing])
                yield torch.cat(waiting)
                following = following[missing:]
                waiting, held = [], 0

            if len(following) > 0:
                waiting.append(following)
                held += len(following)

        if waiting:
            yield torch.cat(waiting)

    def with_embeddings(self, read_embeddings: ReadEmbeddings) -> Blocks:
        """`blocks`, each with the embeddings of its images."""
        first = 0
        for activations in self.blocks():
            positions = torch.arange(first, first + len(activations))
            yield read_embeddings(positions), activations
            first += len(activations)


def _rows_at_once(units: int) -> int:
    return min(_MOST_ROWS, max(_LEAST_ROWS, _ENTRIES_AT_ONCE // units))
