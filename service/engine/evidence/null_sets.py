"""Random image sets, drawn by whole exams, because the images of one exam are alike.

Drawing images one by one would call units significant that respond to a patient: four views of one breast carry the
same findings, so a random unit that likes one of them likes all, and its top images agree by more than chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln
from torch import Tensor

from service.engine.compiled import compiled
from service.engine.evidence.exams import Exams

_MOST_IMAGES = 20_000
_GROUPS = 8

_BAND = 1.125
"""The largest exam of a band over its smallest: exams that differ by less count as of one size."""

_TRIES = 200
"""So often an exam is drawn by its weight that the set has already; then any other that is large enough will do."""

_HALVINGS = 40
"""Of the interval in which a unit's share lies: exact to 1e-12."""

_ALMOST_ALL = 1 - 1e-6
"""The largest share of an exam that a unit is said to take: with 1 no exam of another size could take its place."""


@dataclass(frozen=True, slots=True)
class NullSets:
    """Random image sets for units whose top images lie in exams in a like manner."""

    units: Tensor
    """int64 [u], positions among the units given."""

    sets: Tensor
    """int64 [S, K], images."""


def draw_null_sets(exams: Exams, top: Tensor, draws: int, seed: int) -> list[NullSets]:
    """Sets of images as units would have them that know nothing of the concepts: the exams are exchanged at random.

    top: int64 [U, K], each unit's most activating images. A set is a unit's own, with another exam in place of each of
    its exams and other images of that one in place of its images: as many of one exam, at the same ranks. Among exams
    of one size that is a permutation of whole exams, under which a unit that knows nothing is distributed alike,
    whether it looks at single images or sees patients. Of exams of different sizes, one of s images takes the place of
    m with the weight of s over m images, q^m (1 - q)^(s - m), where q is how much of an exam the unit takes that it
    takes any of: a unit that looks at single images meets large exams more often, one that sees patients does not.
    Units are taken together by how many exams they have, in at most eight groups of `draws` sets. From probe sets of
    more than 20,000 images, random exams of that many are used, and as many as the units have in one set.
    """
    random = np.random.default_rng(seed)
    of_top = exams.of_image[top].numpy()
    patterns, multiplicity = _patterns(of_top)

    distinct = (multiplicity > 0).sum(axis=1)
    width = max(1.0, (top.shape[1] - distinct.min() + 1) / _GROUPS)
    group_of_unit = ((distinct - distinct.min()) / width).astype(np.int64)

    pool = _Pool.of(exams, random, top.shape[1])
    taken = _share_taken(exams, of_top) if pool.has_sizes else np.zeros(len(of_top))

    null_sets = []
    for group in np.unique(group_of_unit):
        units = np.flatnonzero(group_of_unit == group)
        sets = np.empty((draws, top.shape[1]), np.int64)
        weights = pool.weights(taken[units], int(multiplicity[units].max()))
        _compiled_draw()(random, patterns[units], multiplicity[units], weights, pool.tables, sets)
        null_sets.append(NullSets(torch.from_numpy(units), torch.from_numpy(sets)))
    return null_sets


def _patterns(exam: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For exams [U, K]: the number of each within its unit, commonest first; and how often it occurs. Both [U, K]."""
    numbers = np.zeros_like(exam)
    counts = np.zeros_like(exam)

    for unit, exams_of_unit in enumerate(exam):
        _, inverse, occurs = np.unique(exams_of_unit, return_inverse=True, return_counts=True)
        order = np.argsort(-occurs, kind="stable")
        numbers[unit] = np.argsort(order, kind="stable")[inverse]
        counts[unit, : len(order)] = occurs[order]

    return numbers, counts


def _share_taken(exams: Exams, of_top: NDArray[np.int64]) -> NDArray[np.float64]:
    """How much of an exam each unit takes that it takes any of: float64 [U].

    The share q under which images are taken one by one, estimated from the exams that were taken at all (the maximum
    likelihood of a binomial without its zero).
    """
    sizes = np.bincount(exams.of_image.numpy(), minlength=exams.count)
    ordered = np.sort(of_top, axis=1)
    first = np.concatenate([np.ones((len(ordered), 1), np.bool_), ordered[:, 1:] != ordered[:, :-1]], axis=1)
    size = np.where(first, sizes[ordered], 0)

    low = np.full(len(of_top), 1 - _ALMOST_ALL)
    high = np.full(len(of_top), _ALMOST_ALL)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        missed = (1 - middle[:, None]) ** size
        expected = np.where(first, size * middle[:, None] / np.where(first, 1 - missed, 1.0), 0.0).sum(axis=1)

        too_much = expected >= of_top.shape[1]
        low = np.where(too_much, low, middle)
        high = np.where(too_much, middle, high)

    return low


class _Tables(NamedTuple):
    """The exams to draw from, as compiled code reads them: in bands of about one size, the largest first."""

    members: NDArray[np.int64]
    """Images, exam by exam; the drawing puts those of an exam into another order."""

    starts: NDArray[np.int64]
    """int64 [E], where each exam's images begin."""

    sizes: NDArray[np.int64]
    """int64 [E], how many images each exam has."""

    bands: NDArray[np.int64]
    """int64 [B + 1], where each band's exams begin."""

    enough: NDArray[np.int64]
    """int64 [B, K + 1], how many of a band's exams have as many images."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """The exams to draw from, and what the bands are in the whole probe set."""

    tables: _Tables

    all_of_band: NDArray[np.float64]
    """float64 [B], how many exams of the whole probe set are in each band."""

    size_of_band: NDArray[np.float64]
    """float64 [B], mean size of those exams."""

    @classmethod
    def of(cls, exams: Exams, random: np.random.Generator, k: int) -> "_Pool":
        """The pool for sets of k images."""
        of_image = exams.of_image.numpy()
        all_sizes = np.bincount(of_image, minlength=exams.count)
        largest_first = np.argsort(-all_sizes, kind="stable")
        chosen = largest_first[np.isin(largest_first, _sample(all_sizes, random, k))]
        sizes = all_sizes[chosen]

        edges = _edges(all_sizes)
        band_of_all = np.searchsorted(-edges, -all_sizes)
        bands = np.searchsorted(np.searchsorted(-edges, -sizes), np.arange(len(edges) + 1))
        enough = [
            [int((sizes[begin:end] >= images).sum()) for images in range(k + 1)] for begin, end in pairwise(bands)
        ]
        all_of_band = np.bincount(band_of_all, minlength=len(edges)).astype(np.float64)

        tables = _Tables(
            members=np.argsort(of_image, kind="stable"),
            starts=(np.cumsum(all_sizes) - all_sizes)[chosen],
            sizes=sizes,
            bands=bands,
            enough=np.array(enough, np.int64),
        )
        return cls(
            tables=tables,
            all_of_band=all_of_band,
            size_of_band=np.bincount(band_of_all, all_sizes, len(edges)) / all_of_band,
        )

    @property
    def has_sizes(self) -> bool:
        """Are there exams of different sizes?"""
        return len(self.size_of_band) > 1

    def weights(self, taken: NDArray[np.float64], most: int) -> NDArray[np.float64]:
        """How likely an exam of each band takes the place of one with 0 to `most` images, the shares added up.

        taken: float64 [u], `_share_taken`. Returns float64 [u, most + 1, B]; zeros where no band has as large exams.
        """
        if not self.has_sizes:
            return np.ones((len(taken), most + 1, 1))

        images = np.arange(most + 1)[:, None]
        size = np.maximum(self.size_of_band, images)
        chosen = gammaln(size + 1) - gammaln(images + 1) - gammaln(size - images + 1)
        possible = self.tables.enough[:, : most + 1].T > 0
        log_weights = np.log(self.all_of_band) + chosen + size * np.log1p(-taken)[:, None, None]
        log = np.where(possible, log_weights, -np.inf)

        most_likely = log.max(axis=2, keepdims=True)
        weights = np.exp(log - np.where(np.isfinite(most_likely), most_likely, 0.0))
        total = weights.sum(axis=2, keepdims=True)
        return np.cumsum(weights / np.where(total > 0, total, 1.0), axis=2)


def _sample(all_sizes: NDArray[np.int64], random: np.random.Generator, k: int) -> NDArray[np.int64]:
    """Random exams of 20,000 images; and of those that have r images or more k at least, for each r, or all."""
    shuffled = random.permutation(len(all_sizes))
    enough = int(np.searchsorted(np.cumsum(all_sizes[shuffled]), _MOST_IMAGES)) + 1
    sampled = np.zeros(len(all_sizes), np.bool_)
    sampled[shuffled[:enough]] = True

    for images in range(min(k, int(all_sizes.max())), 0, -1):
        large = shuffled[all_sizes[shuffled] >= images]
        lacking = min(k, len(large)) - int(sampled[large].sum())
        if lacking > 0:
            sampled[large[~sampled[large]][:lacking]] = True

    return np.flatnonzero(sampled)


def _edges(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least size of each band, descending; the largest of a band is at most an eighth larger."""
    edges: list[int] = []
    largest = np.inf
    for size in np.unique(sizes)[::-1].tolist():
        if edges and largest <= size * _BAND:
            edges[-1] = size
        else:
            edges.append(size)
            largest = size
    return np.array(edges, np.int64)


_Ints = NDArray[np.int64]


@cache
def _compiled_draw() -> Callable[..., None]:
    @compiled
    def any_left(random: np.random.Generator, images: int, sizes: _Ints, taken: _Ints, s: int) -> int:
        """One of the exams with so many images that this set has not; there is one, for the unit itself had it."""
        chosen, seen = -1, 0
        for exam in range(len(sizes)):
            if sizes[exam] >= images and taken[exam] != s:
                seen += 1
                if random.integers(0, seen) == 0:
                    chosen = exam
        return chosen

    @compiled
    def another(
        random: np.random.Generator, images: int, weights: NDArray[np.float64], tables: _Tables, taken: _Ints, s: int
    ) -> int:
        """An exam in place of one with so many images, in proportion to the weights of the bands."""
        for _ in range(_TRIES):
            band = 0
            if len(weights) > 1:
                share = random.random()
                while band < len(weights) - 1 and weights[band] <= share:
                    band += 1

            if tables.enough[band, images] == 0:
                continue
            drawn: int = tables.bands[band] + random.integers(0, tables.enough[band, images])
            if taken[drawn] != s:
                return drawn

        return any_left(random, images, tables.sizes, taken, s)

    @compiled
    def draw(
        random: np.random.Generator,
        patterns: _Ints,
        multiplicity: _Ints,
        weights: NDArray[np.float64],
        tables: _Tables,
        sets: _Ints,
    ) -> None:
        members, starts, sizes = tables.members, tables.starts, tables.sizes
        taken = np.full(len(starts), -1, np.int64)
        exam = np.empty(sets.shape[1], np.int64)
        used = np.empty(sets.shape[1], np.int64)

        for s in range(sets.shape[0]):
            unit = random.integers(0, len(patterns))
            # Commonest first: there are always enough exams of that size, for the unit itself had them.
            for number in range(sets.shape[1]):
                images = multiplicity[unit, number]
                if images == 0:
                    break
                drawn = another(random, images, weights[unit, images], tables, taken, s)
                taken[drawn] = s
                exam[number] = drawn
                used[number] = 0

            for rank in range(sets.shape[1]):
                number = patterns[unit, rank]
                first, size = starts[exam[number]], sizes[exam[number]]
                here = first + used[number]
                there = first + random.integers(used[number], size)
                members[here], members[there] = members[there], members[here]
                sets[s, rank] = members[here]
                used[number] += 1

    return draw
