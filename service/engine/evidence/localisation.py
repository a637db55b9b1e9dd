"""Where a unit is active against where a finding is, and the same against places of other exams.

Everything is measured in the cells of the layer's own map. A place covers a part of each cell, and a cell counts inside
by the part that is covered and outside by the rest. That is what the map gives when each of its cells is drawn as the
rectangle of the image that it stands for, without drawing it.

Pointing: Zhang et al., Top-down neural attention by excitation backprop (IJCV 126, 2018), section 4.1, here without a
margin of pixels, because a cell has an extent of its own. Intersection over union with a map cut at a quantile of the
unit's activations: Bau et al., Network dissection (CVPR 2017), section 2.2; there one quantile is fixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from service.domain.localisation import EXCHANGES, QUANTILES, AgainstExchanged

Values = NDArray[np.float32]
Counts = NDArray[np.int64]

_SEED = 20_241
_AS_LARGE = 1e-12
"""Figures are means of many numbers: one that is less by so much is as large."""


@dataclass(frozen=True, slots=True)
class MapFigures:
    """What a unit's maps say of a finding's places; see `Localisation`."""

    pointing: AgainstExchanged
    iou: AgainstExchanged
    quantiles: tuple[float, float]
    auroc: AgainstExchanged


class Places:
    """Where a finding is in n images, in the P cells of a map.

    covered: float32 [n, P], the part of each cell that is in a place of the finding; some part of every image is.
    turned: the same, turned left to right within the image. faces: which way each image faces, None where it cannot be
    told. exams: the exam of each image.
    """

    def __init__(self, covered: Values, turned: Values, faces: Sequence[str | None], exams: Sequence[int]) -> None:
        self.covered = covered.astype(np.float64)
        self._turned = turned.astype(np.float64)
        self._faces = np.array([face or "" for face in faces])
        self.exam_of: Counts = np.unique(np.asarray(exams), return_inverse=True)[1]
        self.exams = int(self.exam_of.max()) + 1

    def __len__(self) -> int:
        return len(self.covered)

    @cached_property
    def area(self) -> NDArray[np.float64]:
        """Cells that the places of each image cover, [n]; turning them changes nothing."""
        return np.asarray(self.covered.sum(axis=1), np.float64)

    @cached_property
    def face_another_way(self) -> NDArray[np.bool_]:
        """Whether image and places, [n, n], are of images that face different ways."""
        known = (self._faces != "")[:, None] & (self._faces != "")[None, :]
        return np.asarray(known & (self._faces[:, None] != self._faces[None, :]), np.bool_)

    @cached_property
    def partner(self) -> Counts:
        """For each image and exam, [n, E], the image of that exam whose places it gets: of its own exam itself.

        An exam with fewer images gives them again from the first, one with more only the first of them.
        """
        members = [np.flatnonzero(self.exam_of == exam) for exam in range(self.exams)]
        place = np.empty(len(self), dtype=np.int64)
        for of_exam in members:
            place[of_exam] = np.arange(len(of_exam))

        columns = [of_exam[place % len(of_exam)] for of_exam in members]
        return np.stack(columns, axis=1)

    @cached_property
    def exchanges(self) -> Counts:
        """The exam whose places each image gets: itself, then in every exchange. [1 + EXCHANGES, n]"""
        random = np.random.default_rng(_SEED)
        orders = np.argsort(random.random((EXCHANGES, self.exams)), axis=1)
        with_itself = np.concatenate([np.arange(self.exams)[None], orders])
        return with_itself[:, self.exam_of]

    @cached_property
    def half_of(self) -> Counts:
        """0 or 1 for each image, by its exam; halves differ by one exam at most."""
        random = np.random.default_rng(_SEED)
        return (random.permutation(self.exams) % 2)[self.exam_of]

    def sums(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The weights of an image, [n, P], summed over the places of another: [n, n]."""
        as_they_are = weights @ self.covered.T
        if not self.face_another_way.any():
            return as_they_are
        return np.where(self.face_another_way, weights @ self._turned.T, as_they_are)

    def touched(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same, where a cell counts whole if a place touches it."""
        as_they_are = weights @ (self.covered > 0).T
        if not self.face_another_way.any():
            return as_they_are
        return np.where(self.face_another_way, weights @ (self._turned > 0).T, as_they_are)


def localise(maps: Values, places: Places) -> MapFigures:
    """Hold a unit's maps against the places of a finding.

    maps: float32 [n, P], the unit's map of each image. places: of at least two exams; raises ValueError for one.

    A figure is the mean over the images. Exchanged are the exams: each image gets the places of an image of another
    exam, turned left to right where the two face different ways, so that it is not enough to know where the breast is.
    The mean of the exchanged is over all pairs of two exams; p = (1 + exchanges as large) / (1 + exchanges), over
    permutations of all exams. Choosing the quantile is part of what is done in every exchange.
    """
    if places.exams < 2:
        raise ValueError("places of one exam cannot be exchanged")

    iou, quantiles = _iou(maps, places)
    return MapFigures(
        pointing=_judged(_pointing(maps, places), places),
        iou=iou,
        quantiles=quantiles,
        auroc=_judged(_auroc(maps, places), places),
    )


def _pointing(maps: Values, places: Places) -> NDArray[np.float64]:
    """[n, n]: whether the greatest cell of an image's map touches the places of another; equal ones share."""
    greatest = (maps == maps.max(axis=1, keepdims=True)).astype(np.float64)
    greatest /= greatest.sum(axis=1, keepdims=True)
    return places.touched(greatest)


def _auroc(maps: Values, places: Places) -> NDArray[np.float64]:
    """[n, n]: AUROC of an image's map, inside the places of another against outside.

    With w the covered parts and K(a, b) = 1 where cell a exceeds b, 1/2 where they are equal, it is
    sum_a sum_b w_a (1 - w_b) K(a, b) / (W (P - W)). K(a, b) + K(b, a) = 1, so the part with w_a w_b is W^2 / 2, and
    sum_b K(a, b) is the rank of a less 1/2.
    """
    wins = rankdata(maps, axis=1) - 0.5
    inside = places.area
    outside = maps.shape[1] - inside
    pairs = np.maximum(inside * outside, np.finfo(np.float64).tiny)

    auroc = (places.sums(wins) - inside**2 / 2) / pairs
    covers_everything = outside <= 1e-9 * maps.shape[1]
    auroc[:, covers_everything] = 0.5
    return np.asarray(auroc, np.float64)


def _iou(maps: Values, places: Places) -> tuple[AgainstExchanged, tuple[float, float]]:
    """Intersection over union at the quantile that is best in the other half, and the quantile of each half."""
    thresholds = np.quantile(maps, QUANTILES)
    by_quantile = np.stack([_overlap(maps > threshold, places) for threshold in thresholds])

    exchanged = _of_exchanges(by_quantile, places)  # [quantiles, 1 + EXCHANGES, n]
    halves = [places.half_of == half for half in (0, 1)]
    best = [exchanged[:, :, half].mean(axis=2).argmax(axis=0) for half in halves]

    total = np.zeros(exchanged.shape[1])
    for half, best_of_other in zip(halves, reversed(best), strict=True):
        sums = exchanged[:, :, half].sum(axis=2)
        total += np.take_along_axis(sums, best_of_other[None], axis=0)[0]
    values = total / len(places)

    # Where places are those of other exams, there is no quantile to choose: the mean of the two that were chosen.
    chosen = [int(of_draws[0]) for of_draws in best]
    apart = _of_other_exams(places)
    means = []
    for half, quantile in zip(halves, reversed(chosen), strict=True):
        pairs = apart & half[:, None]
        means.append((by_quantile[quantile][pairs].mean(), half.sum()))
    mean = sum(value * count for value, count in means) / len(places)

    return _against(values, mean), (QUANTILES[chosen[0]], QUANTILES[chosen[1]])


def _overlap(cut: NDArray[np.bool_], places: Places) -> NDArray[np.float64]:
    """[n, n]: intersection over union of an image's cut map with the places of another."""
    sizes = cut.sum(axis=1)[:, None]
    common = places.sums(cut.astype(np.float64))
    return np.asarray(common / (sizes + places.area[None, :] - common), np.float64)


def _judged(pairs: NDArray[np.float64], places: Places) -> AgainstExchanged:
    """pairs: [n, n], a figure of each image's map with the places of each."""
    values = _of_exchanges(pairs[None], places)[0].mean(axis=1)
    return _against(values, float(pairs[_of_other_exams(places)].mean()))


def _of_exchanges(pairs: NDArray[np.float64], places: Places) -> NDArray[np.float64]:
    """[K, n, n] -> [K, 1 + EXCHANGES, n]: what each image gets with its own places, and in each exchange."""
    images = np.arange(len(places))
    of_exams = pairs[:, images[:, None], places.partner]
    return of_exams[:, images[None, :], places.exchanges]


def _of_other_exams(places: Places) -> NDArray[np.bool_]:
    return np.asarray(places.exam_of[:, None] != places.exam_of[None, :], np.bool_)


def _against(values: NDArray[np.float64], exchanged: float) -> AgainstExchanged:
    """values: [1 + EXCHANGES], the true places first."""
    as_large = int((values[1:] >= values[0] - _AS_LARGE).sum())
    return AgainstExchanged(float(values[0]), float(exchanged), (1 + as_large) / len(values))
