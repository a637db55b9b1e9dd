"""The null of correlations: the layer's own activations, with the exams exchanged at random.

A unit that knows nothing of the concepts is as likely to do what it did on one exam on any other. So its activations
are handed from exam to exam, an image's to an image, and the best correlation over all concepts is taken each time.
Exams are exchanged with exams of their size; where these are fewer than twenty, of similar sizes. Among exams of one
size that is a permutation of whole exams; an exam that gets the activations of one with fewer images repeats some of
them, and the correlation is taken about the mean and the deviation that result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.engine.evidence.exams import Exams
from service.engine.evidence.null import GroupNull, NullTable
from service.engine.probing.activations import LayerActivations, ReadEmbeddings

_MOST_IMAGES = 8_000
_SETS_AT_ONCE = 128
_WIDTH_OF_BANDS = 4.0
_BANDS_OF_LIKENESS = 4
_LEAST_IN_BAND = 20
"""Exams that are exchanged with each other: of one size where there are so many, otherwise of similar sizes."""


@dataclass(frozen=True, slots=True)
class NullImages:
    """The images that the null is drawn on: all, or those of random exams, as many as stay within a bound."""

    positions: Tensor
    """int64 [n], ascending, among all used images."""
    exam: NDArray[np.int64]
    """[n], the exam of each, from 0 without gaps."""
    cosines: Tensor
    """float32 [n, C], each concept's about their mean and of length 1."""
    all_images: int

    @classmethod
    def draw(cls, exams: Exams, read_embeddings: ReadEmbeddings, concept_embeddings: Tensor, seed: int) -> "NullImages":
        """Every image where there are at most 8,000; otherwise those of random exams.

        concept_embeddings: float [C, D].
        """
        chosen = torch.from_numpy(_exams_within(exams, _MOST_IMAGES, seed))
        positions = chosen[exams.of_image].nonzero().squeeze(1)
        _, exam = np.unique(exams.of_image[positions].numpy(), return_inverse=True)

        embeddings = read_embeddings(positions).double()
        embeddings = embeddings - embeddings.mean(dim=0)
        cosines = embeddings @ concept_embeddings.to(embeddings).t()
        cosines = (cosines / cosines.square().sum(dim=0).sqrt().clamp_min(1e-12)).float()
        return cls(positions, exam, cosines, len(exams.of_image))

    def read(self, activations: LayerActivations, units: Tensor) -> Tensor:
        """Their activations about the mean, each unit's scaled to a deviation of 1, float32 [n, u]."""
        blocks = []
        first = 0
        for block in activations.blocks():
            begin, end = torch.searchsorted(self.positions, torch.tensor([first, first + len(block)])).tolist()
            blocks.append(block[self.positions[begin:end] - first][:, units])
            first += len(block)

        values = torch.cat(blocks).double()
        values = values - values.mean(dim=0)
        deviation = values.std(dim=0, correction=0)
        return (values / torch.where(deviation > 0, deviation, 1.0)).float()


def exchange_exams(
    images: NullImages,
    activations: Tensor,
    watched: Sequence[int],
    draws: int,
    seed: int,
    check_cancelled: Callable[[], None],
) -> list[GroupNull]:
    """The nulls of U units, in groups of units that are alike in two ways.

    activations: float32 [n, U], see `NullImages.read`.
    draws: of each group.
    check_cancelled: called before each few draws; may raise to stop.
    Units are taken together by how much alike their activations are within exams, and by how few exams hold most of
    their scatter: both decide how far correlations reach by chance.
    """
    random = np.random.default_rng(seed)
    places = _Places.of(images.exam)
    # A correlation's spread falls with the root of the images: the null is drawn on some, and stands for all.
    scale = (len(images.positions) / images.all_images) ** 0.5

    groups = _groups_of(activations, images.exam)
    nulls = []
    for group in np.unique(groups):
        units = np.flatnonzero(groups == group)
        best, label, columns = [], [], []
        for count in _pieces(draws, _SETS_AT_ONCE):
            check_cancelled()
            drawn = torch.from_numpy(random.choice(units, count))
            exchanged = activations[torch.from_numpy(places.exchanged(random, count)), drawn[:, None]]
            correlations = _correlations(exchanged, images.cosines) * scale
            highest, concept = correlations.max(dim=1)
            best.append(highest)
            label.append(concept)
            columns.append(correlations[:, list(watched)])

        table = NullTable(torch.cat(best), torch.cat(label), torch.cat(columns))
        nulls.append(GroupNull(torch.from_numpy(units), table))
    return nulls


def _correlations(exchanged: Tensor, cosines: Tensor) -> Tensor:
    """Of activations float32 [s, n] with columns of length 1 about a mean of 0, [n, C]; 0 for constant activations."""
    centred = exchanged - exchanged.mean(dim=1, keepdim=True)
    norms = centred.square().sum(dim=1, keepdim=True).sqrt()
    return centred @ cosines / norms.clamp_min(1e-12)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the images of each exam are."""

    order: NDArray[np.int64]
    """[n], images by exam."""
    start: NDArray[np.int64]
    """[E], of each exam's images in the order."""
    size: NDArray[np.int64]
    """[E]."""
    exam: NDArray[np.int64]
    """[n], of each image."""
    rank: NDArray[np.int64]
    """[n], of each image within its exam."""
    band: NDArray[np.int64]
    """[E]: an exam is exchanged with exams of its band."""

    @classmethod
    def of(cls, exam: NDArray[np.int64]) -> "_Places":
        order = np.argsort(exam, kind="stable")
        size = np.bincount(exam)
        start = np.cumsum(size) - size
        rank = np.empty_like(exam)
        rank[order] = np.arange(len(exam)) - np.repeat(start, size)
        return cls(order, start, size, exam, rank, _bands_of(size))

    def exchanged(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """[count, n]: the image whose activation each image gets; the images of an exam in turn, from a random one."""
        exams = len(self.size)
        permutations = np.empty((count, exams), np.int64)
        permutations[:, np.argsort(self.band, kind="stable")] = np.argsort(
            self.band + random.random((count, exams)), axis=1
        )
        turns = random.integers(0, self.size.max(), (count, exams))
        giver = permutations[:, self.exam]
        within = (self.rank + turns[:, self.exam]) % self.size[giver]
        return self.order[self.start[giver] + within]


def _groups_of(activations: Tensor, exam: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group of each unit. activations: float32 [n, U], about the mean."""
    of_image = torch.from_numpy(exam)
    exams = int(exam.max()) + 1
    sums = torch.zeros(exams, activations.shape[1], dtype=activations.dtype).index_add_(0, of_image, activations)
    scatter = torch.zeros_like(sums).index_add_(0, of_image, activations.square())
    total = scatter.sum(dim=0).clamp_min(1e-30)

    # 1 where the images of an exam have nothing in common, the number of images where they are equal.
    likeness = sums.square().sum(dim=0) / total / (len(exam) / exams)
    few_exams = total.square() / scatter.square().sum(dim=0).clamp_min(1e-30)
    likeness_bands = (likeness * _BANDS_OF_LIKENESS).round().clamp(0, 2 * _BANDS_OF_LIKENESS)
    width_bands = (few_exams.clamp_min(1).log() / np.log(_WIDTH_OF_BANDS)).floor()
    return np.asarray((width_bands * 100 + likeness_bands).numpy(), dtype=np.int64)


def _bands_of(size: NDArray[np.int64]) -> NDArray[np.int64]:
    """Exams by size, each size a band of its own, or with the next ones where it has few exams."""
    bands = np.zeros_like(size)
    band = members = 0
    for one_size in np.unique(size):
        if members >= _LEAST_IN_BAND:
            band, members = band + 1, 0
        bands[size == one_size] = band
        members += int((size == one_size).sum())

    last_is_small = 0 < members < _LEAST_IN_BAND
    return np.where(bands == band, max(0, band - 1), bands) if last_is_small else bands


def _exams_within(exams: Exams, most: int, seed: int) -> NDArray[np.bool_]:
    """Which exams are drawn: bool [exams]; all, or random ones with at most so many images, and one at least."""
    sizes = np.bincount(exams.of_image.numpy(), minlength=exams.count)
    order = np.random.default_rng(seed).permutation(exams.count)
    taken = np.cumsum(sizes[order]) <= most
    taken[0] = True
    chosen = np.zeros(exams.count, dtype=np.bool_)
    chosen[order[taken]] = True
    return chosen


def _pieces(total: int, size: int) -> list[int]:
    return [min(size, total - first) for first in range(0, total, size)]
