"""What a layer's activations and the dissector's embeddings have in common, summed up by folds of exams.

One stream over the images is enough: directions, their fit on exams that fitted nothing, and every concept's
correlation follow from these sums, for a cosine to a text is linear in normalised embeddings. Memory does not grow with
the number of images.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.engine.evidence.exams import Exams
from service.errors import InvalidActivations

FOLDS = 4
"""Into how many parts the exams are cut: each measures what the three others fitted."""

_SEED = 3
"""Of the folds, so that jobs on one probe set have the same ones."""


@dataclass(slots=True)
class Moments:
    """Moments of embeddings x and activations a in each fold, about the fold's own means (float64).

    Sums about a mean lose nothing where activations lie far from zero. Two parts are added as Chan, Golub and LeVeque
    do (Updating Formulae and a Pairwise Algorithm for Computing Sample Variances, 1979, formula 2.1).
    """

    counts: Tensor
    """[F], images."""

    x_mean: Tensor
    """[F, D]."""

    a_mean: Tensor
    """[F, U]."""

    xx: Tensor
    """[F, D, D], the embeddings' scatter."""

    xa: Tensor
    """[F, D, U], embeddings with activations."""

    aa: Tensor
    """[F, U], the activations' scatter, each unit's own."""

    @classmethod
    def empty(cls, folds: int, width: int, units: int, device: torch.device | None = None) -> "Moments":
        """Of no images: `folds` folds, embeddings of `width` numbers, `units` units."""
        return cls(
            counts=torch.zeros(folds, dtype=torch.float64, device=device),
            x_mean=torch.zeros(folds, width, dtype=torch.float64, device=device),
            a_mean=torch.zeros(folds, units, dtype=torch.float64, device=device),
            xx=torch.zeros(folds, width, width, dtype=torch.float64, device=device),
            xa=torch.zeros(folds, width, units, dtype=torch.float64, device=device),
            aa=torch.zeros(folds, units, dtype=torch.float64, device=device),
        )

    @classmethod
    def of_layer(cls, blocks: Iterable[tuple[Tensor, Tensor]], folds_of_image: Tensor, folds: int) -> "Moments":
        """The moments of a layer.

        blocks: embeddings [n, D] and activations [n, U] of the images one after the other, in any pieces.
        folds_of_image: int64 [N], the fold of each image in the order of the blocks.
        Raises InvalidActivations for NaN or infinite activations, ValueError where blocks and folds differ in length.
        """
        moments: Moments | None = None
        start = 0
        for embeddings, activations in blocks:
            if moments is None:
                moments = cls.empty(folds, embeddings.shape[1], activations.shape[1], embeddings.device)
            moments.update(embeddings, activations, folds_of_image[start : start + len(embeddings)])
            start += len(embeddings)

        if moments is None or start != len(folds_of_image):
            raise ValueError(f"there are {start} images in the blocks, but {len(folds_of_image)} have a fold")
        return moments

    def update(self, embeddings: Tensor, activations: Tensor, folds: Tensor) -> None:
        """Take B more images: embeddings [B, D], activations [B, U], folds int64 [B] from 0.

        Raises InvalidActivations for NaN or infinite activations.
        """
        if not bool(torch.isfinite(activations).all()):
            raise InvalidActivations("There are NaN or infinite activations.", field="activations")

        for fold in sorted(set(folds.tolist())):
            rows = (folds == fold).nonzero().squeeze(1).to(embeddings.device)
            self._add(fold, *_moments_of(embeddings[rows], activations[rows.to(activations.device)]))

    def merge(self, other: "Moments") -> None:
        """Take what another stream of images of the same units found, with the same folds."""
        for fold in range(len(self.counts)):
            self._add(
                fold,
                float(other.counts[fold]),
                other.x_mean[fold],
                other.a_mean[fold],
                other.xx[fold],
                other.xa[fold],
                other.aa[fold],
            )

    def _add(self, fold: int, count: float, x_mean: Tensor, a_mean: Tensor, xx: Tensor, xa: Tensor, aa: Tensor) -> None:
        if count == 0:
            return

        before = float(self.counts[fold])
        both = before + count
        x_shift = x_mean - self.x_mean[fold]
        a_shift = a_mean - self.a_mean[fold]
        between = before * count / both

        self.xx[fold] += xx + between * torch.outer(x_shift, x_shift)
        self.xa[fold] += xa + between * torch.outer(x_shift, a_shift)
        self.aa[fold] += aa + between * a_shift.square()
        self.x_mean[fold] += x_shift * (count / both)
        self.a_mean[fold] += a_shift * (count / both)
        self.counts[fold] = both

    def pooled(self, folds: Tensor) -> "Moments":
        """The moments of several folds together, as those of one: folds int64 [n]."""
        pooled = Moments.empty(1, self.x_mean.shape[1], self.a_mean.shape[1], self.xx.device)
        for fold in folds.tolist():
            pooled._add(
                0,
                float(self.counts[fold]),
                self.x_mean[fold],
                self.a_mean[fold],
                self.xx[fold],
                self.xa[fold],
                self.aa[fold],
            )
        return pooled

    def within(self) -> tuple[Tensor, Tensor, Tensor]:
        """Scatters about each fold's own means, added up over the folds: [D, D], [D, U], [U].

        Nothing that differs between the folds alone is in them.
        """
        return self.xx.sum(dim=0), self.xa.sum(dim=0), self.aa.sum(dim=0)

    def of_units(self, units: Tensor) -> "Moments":
        """The same of some units alone: int64 [u]."""
        return Moments(
            self.counts, self.x_mean, self.a_mean[:, units], self.xx, self.xa[:, :, units], self.aa[:, units]
        )


def folds_of_exams(exams: Exams, folds: int = FOLDS) -> Tensor:
    """The fold of each image: int64 [N]. Whole exams at random, as many to each fold as to any other, or one more.

    With fewer exams than folds some folds are empty.
    """
    order = np.random.default_rng(_SEED).permutation(exams.count)
    fold_of_exam = torch.empty(exams.count, dtype=torch.int64)
    fold_of_exam[torch.from_numpy(order)] = torch.arange(exams.count) % folds
    return fold_of_exam[exams.of_image]


def _moments_of(embeddings: Tensor, activations: Tensor) -> tuple[float, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Count, means and scatters of some images; products in float32 about the means, as what came in is."""
    activations = activations.to(embeddings.device)
    x_mean = embeddings.mean(dim=0, dtype=torch.float64)
    a_mean = activations.mean(dim=0, dtype=torch.float64)
    x = embeddings - x_mean
    a = activations - a_mean

    # Units differ in scale by orders of magnitude; products are taken at a scale of 1.
    scale = a.abs().amax(dim=0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    small_x, small_a = x.float(), (a / scale).float()

    xx = (small_x.t() @ small_x).double()
    xa = (small_x.t() @ small_a).double() * scale
    aa = a.square().sum(dim=0)
    return float(len(embeddings)), x_mean, a_mean, xx, xa, aa
