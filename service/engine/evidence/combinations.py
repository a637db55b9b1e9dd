"""Several concepts for a unit that one concept explains little of, judged on exams that chose nothing.

A unit's activation is regressed on the cosines of two or three concepts, with weights above 0. Cosines are linear in
embeddings, so everything follows from the moments of the folds: no image is read again. The model is that of Oikarinen
and Weng, "Linear Explanations for Individual Neurons" (ICML 2024): a neuron is a sparse, weighted sum of concepts. The
search is a beam over singles, pairs and triples, each fitted by least squares in closed form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import NamedTuple

import torch
from torch import Tensor

from service.domain.verdicts import NamePart
from service.engine.evidence.moments import Moments

MOST_PARTS = 3
"""More are no name that anybody could read."""

LEAST_GAIN = 0.10
"""The share of the fit that a further concept must add on held-out exams."""

LEAST_TOGETHER = 0.7
"""The share of the fit that the parts explain together, and one concept does not."""

MOST_ALIKE = 0.5
"""Correlation of two concepts' cosines over the images from which on they count as names of one thing."""

_BEAM = 8
"""How many singles and pairs the search goes on from."""

_UNITS_AT_ONCE = 128
_FLAT = 1e-9
"""What counts as no spread, as a share of the largest."""

_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Combination:
    """Two or three concepts of a unit."""

    parts: tuple[NamePart, ...]
    """The one that adds most first; each share is of the fit, as `explained` is."""

    explained: float
    """What they explain together: held-out correlation squared / fit squared, 0 to 1."""

    single: float
    """What the best single concept explains, chosen and measured in the same way."""


@dataclass(frozen=True, slots=True)
class _Spread:
    """How the images of some folds spread, about each fold's own means: sums of squares and products."""

    among: Tensor
    """Of the concepts' cosines with each other, [C, C]."""

    concepts: Tensor
    """Of each concept's cosine with itself, [C]; infinite where it is flat, so that the concept says nothing."""

    products: Tensor
    """Of each unit's activation with each concept's cosine, [U, C]."""

    activations: Tensor
    """Of each activation with itself, [U]."""

    def of_units(self, units: slice | Tensor) -> "_Spread":
        """The same for some of the units."""
        return replace(self, products=self.products[units], activations=self.activations[units])


class _Fitted(NamedTuple):
    """Concepts of units and the weights of their cosines: int64 [U, K] and [U, K]; 0 where not all can be above 0."""

    concepts: Tensor
    weights: Tensor


def combine_concepts(
    moments: Moments, texts: Tensor, fit: Tensor, eligible: Mapping[int, str]
) -> list[Combination | None]:
    """For each unit two or three concepts that explain much where one explains little, or None.

    texts: the concepts' embeddings [C, D], of length 1. fit: each unit's held-out correlation with its best direction
    [U]. eligible: the concepts that may be parts, with their texts. These are to be the ones that the dissector is
    known to see: any three of hundreds say much of a direction that no concept names, three of a few known ones do not.

    One concept explains less than LEAST_TOGETHER, and the parts that much or more. A further part is taken where what
    held-out exams explain grows by LEAST_GAIN or more, and in every fold; for this the concepts of each fold are chosen
    without it. The parts returned are chosen on all exams; their shares are measured on each fold with weights fitted
    on the others.

    All None where fewer than two folds have images or fewer than two concepts are eligible; None for units that are
    constant or whose fit is not above 0. Memory is for 128 units at a time, and 9 matrices of eligible x eligible
    numbers. Raises ValueError where fits and units differ in number.
    """
    units = moments.xa.shape[2]
    if len(fit) != units:
        raise ValueError(f"there are {len(fit)} fits of {units} units")

    folds = moments.counts.nonzero().flatten().tolist()
    concepts = sorted(eligible)
    if len(folds) < 2 or len(concepts) < 2:
        return [None] * units

    texts = texts[concepts].to(moments.xx)
    everyone = _Judge(
        [_spread(moments, [other for other in folds if other != fold], texts) for fold in folds],
        [_spread(moments, [fold], texts) for fold in folds],
        _spread(moments, folds, texts),
        fit.to(moments.xx),
    )

    of_units: list[Combination | None] = []
    for start in range(0, units, _UNITS_AT_ONCE):
        judge = everyone.of_units(slice(start, start + _UNITS_AT_ONCE))
        of_units += judge.combinations([(concept, eligible[concept]) for concept in concepts])
    return of_units


@dataclass(frozen=True, slots=True)
class _Judge:
    """Some units, and the exams that fit and measure: for each fold the others and itself, and all together."""

    training: list[_Spread]
    held_out: list[_Spread]
    everything: _Spread
    fit: Tensor

    def of_units(self, units: slice | Tensor) -> "_Judge":
        """The same for some of the units."""
        return _Judge(
            [spread.of_units(units) for spread in self.training],
            [spread.of_units(units) for spread in self.held_out],
            self.everything.of_units(units),
            self.fit[units],
        )

    def combinations(self, concepts: Sequence[tuple[int, str]]) -> list[Combination | None]:
        """Of each of the units; concepts: the place in the set and the text of each eligible one."""
        of_units: list[Combination | None] = [None] * len(self.fit)
        single, _ = self.measure([_search(spread, 1)[0] for spread in self.training])
        candidates = ((single < LEAST_TOGETHER) & (self.fit > 0)).nonzero().flatten()
        if not len(candidates):
            return of_units

        chosen = self.of_units(candidates).choose()
        for unit, combination in zip(candidates.tolist(), chosen, strict=True):
            if combination is not None:
                of_units[unit] = replace(combination, parts=_named(combination.parts, concepts))
        return of_units

    def choose(self) -> list[Combination | None]:
        """Of each of the units, with the places of concepts among the eligible ones."""
        searched = [_search(spread, MOST_PARTS) for spread in self.training]
        measured = [self.measure([of_fold[parts] for of_fold in searched]) for parts in range(MOST_PARTS)]
        explained, in_folds = zip(*measured, strict=True)
        counts = _how_many_parts(explained, in_folds)

        chosen = _search(self.everything, MOST_PARTS)
        combinations: list[Combination | None] = [None] * len(self.fit)
        for count in range(2, MOST_PARTS + 1):
            units = (counts == count).nonzero().flatten()
            concepts = chosen[count - 1].concepts[units]
            shares = self.of_units(units).shares(concepts)
            for place, unit in enumerate(units.tolist()):
                combinations[unit] = Combination(
                    _parts(concepts[place].tolist(), shares[place].tolist()),
                    float(explained[count - 1][unit]),
                    float(explained[0][unit]),
                )
        return combinations

    def measure(self, fitted: Sequence[_Fitted]) -> tuple[Tensor, Tensor]:
        """What the fitted concepts of each fold explain of it: of all folds together [U], and of each [F, U]."""
        with_prediction, of_prediction = [], []
        for spread, (concepts, weights) in zip(self.held_out, fitted, strict=True):
            with_prediction.append((weights * spread.products.gather(1, concepts)).sum(dim=1))
            among = _products(spread, concepts)
            of_prediction.append(torch.einsum("uk,ukl,ul->u", weights, among, weights))

        products, predicted = torch.stack(with_prediction), torch.stack(of_prediction)
        actual = torch.stack([spread.activations for spread in self.held_out])
        together = _share(products.sum(dim=0), predicted.sum(dim=0), actual.sum(dim=0), self.fit)
        return together, _share(products, predicted, actual, self.fit)

    def shares(self, concepts: Tensor) -> Tensor:
        """What each of the concepts [U, K] adds, on average over the orders in which they can be added: [U, K].

        Lindeman, Merenda and Gold (Introduction to Bivariate and Multivariate Analysis, 1980), on held-out exams. The
        shares add up to what all explain, but for those below 0, which are 0.
        """
        count = concepts.shape[1]
        explained: dict[tuple[int, ...], Tensor] = {(): torch.zeros_like(self.fit)}
        for size in range(1, count + 1):
            for subset in combinations(range(count), size):
                fitted = [_fit(spread, concepts[:, list(subset)]) for spread in self.training]
                explained[subset] = self.measure(fitted)[0]

        shares = torch.zeros(concepts.shape, dtype=self.fit.dtype)
        orders = list(permutations(range(count)))
        for order in orders:
            for place, part in enumerate(order):
                before, after = tuple(sorted(order[:place])), tuple(sorted(order[: place + 1]))
                shares[:, part] += (explained[after] - explained[before]) / len(orders)
        return shares.clamp_min(0)


def _spread(moments: Moments, folds: Sequence[int], texts: Tensor) -> _Spread:
    among = texts @ moments.xx[folds].sum(dim=0) @ texts.T
    of_concepts = among.diagonal()
    flat = of_concepts <= _FLAT * of_concepts.max()
    return _Spread(
        among=among,
        concepts=of_concepts.masked_fill(flat, torch.inf),
        products=(texts @ moments.xa[folds].sum(dim=0)).T.contiguous(),
        activations=moments.aa[folds].sum(dim=0),
    )


def _search(spread: _Spread, most: int) -> list[_Fitted]:
    """The best single, pair ... of each unit, up to `most`: the best fits on these images among weights above 0."""
    correlations = _correlations(spread)
    beam = min(_BEAM, correlations.shape[1])

    seeds = correlations.topk(beam, dim=1).indices[:, :, None]  # [U, B, 1]
    found = [_fit(spread, seeds[:, 0])]
    for _ in range(1, most):
        seeds = _extend(spread, correlations, seeds)
        found.append(_fit(spread, seeds[:, 0]))
    return found


def _extend(spread: _Spread, correlations: Tensor, seeds: Tensor) -> Tensor:
    """The best sets of one concept more than each of seeds [U, B, K] has: [U, B, K + 1], best first.

    A set is fitted by solving R w = r with R the correlations among its concepts and r those with the activation; it
    explains r . w. By blocks: R of the old concepts is inverted once, each new concept needs one step more.
    """
    units, beam, size = seeds.shape
    concepts = correlations.shape[1]

    among_all = _among(spread, seeds.reshape(units, beam * size)).view(units, beam, size, concepts)
    own = correlations.gather(1, seeds.reshape(units, -1)).view(units, beam, size)
    old = among_all.gather(3, seeds[:, :, None, :].expand(-1, -1, size, -1))
    inverse = _inverse(old)

    from_old = inverse @ among_all  # what the old concepts already say of each new one: [U, B, K, C]
    left = 1 - (among_all * from_old).sum(dim=2)
    news = correlations[:, None] - (own[..., None] * from_old).sum(dim=2)
    weight = news / left.clamp_min(_FLAT)

    before = torch.einsum("ubk,ubkl->ubl", own, inverse)[..., None] - from_old * weight[:, :, None]
    explained = (own * torch.einsum("ubkl,ubl->ubk", inverse, own)).sum(dim=2)[..., None] + news * weight
    allowed = (weight > 0) & (before > 0).all(dim=2) & (among_all < MOST_ALIKE).all(dim=2) & (left > _FLAT)
    explained = explained.masked_fill(~allowed, -torch.inf).flatten(1)

    best = explained.topk(min(_BEAM, explained.shape[1]), dim=1).indices
    of_seed = seeds.gather(1, (best // concepts)[..., None].expand(-1, -1, size))
    return torch.cat([of_seed, (best % concepts)[..., None]], dim=2)


def _fit(spread: _Spread, concepts: Tensor) -> _Fitted:
    """Least squares of the activation on the cosines of concepts [U, K]; weights 0 where not all are above 0."""
    own = spread.products.gather(1, concepts)
    weights = (_inverse(_products(spread, concepts)) @ own[..., None]).squeeze(-1)
    positive = (weights > 0).all(dim=1, keepdim=True)
    return _Fitted(concepts, weights * positive)


def _correlations(spread: _Spread) -> Tensor:
    """Of each unit's activation with each concept's cosine, [U, C]; 0 where either is constant."""
    activations = spread.activations.masked_fill(spread.activations <= _TINY, torch.inf)
    return spread.products / (activations[:, None].sqrt() * spread.concepts.sqrt())


def _among(spread: _Spread, concepts: Tensor) -> Tensor:
    """Correlations of the cosines of concepts [U, K] with those of all: [U, K, C]."""
    deviations = spread.concepts.sqrt()
    return (spread.among / (deviations[:, None] * deviations))[concepts]


def _products(spread: _Spread, concepts: Tensor) -> Tensor:
    """Of the cosines of concepts [U, K] with each other: [U, K, K]."""
    return spread.among[concepts[:, :, None], concepts[:, None, :]]


def _inverse(matrices: Tensor) -> Tensor:
    """Of symmetric matrices [..., K, K] with a diagonal above 0; a thousand small ones at a time for K up to 2."""
    size = matrices.shape[-1]
    ridge = _FLAT * matrices.diagonal(dim1=-2, dim2=-1).mean(dim=-1).clamp_min(_TINY)
    matrices = matrices + ridge[..., None, None] * torch.eye(size, dtype=matrices.dtype)
    if size == 1:
        return 1 / matrices
    if size > 2:
        inverses: Tensor = torch.linalg.inv(matrices)
        return inverses

    (a, b), (_, d) = matrices.movedim((-2, -1), (0, 1))
    adjugate = torch.stack([torch.stack([d, -b], dim=-1), torch.stack([-b, a], dim=-1)], dim=-2)
    determinants: Tensor = (a * d - b.square())[..., None, None]
    return adjugate / determinants


def _share(products: Tensor, predicted: Tensor, actual: Tensor, fit: Tensor) -> Tensor:
    """Correlation squared / fit squared, 0 to 1; 0 for a constant or contrary prediction, and without a fit above 0."""
    squared = products.clamp_min(0).square() / (predicted * actual).clamp_min(_TINY)
    share = squared / fit.clamp_min(_FLAT).square()
    useless = (predicted <= 0) | (actual <= _TINY) | (fit <= 0)
    return share.masked_fill(useless, 0).clamp(0, 1)


def _how_many_parts(explained: Sequence[Tensor], in_folds: Sequence[Tensor]) -> Tensor:
    """For each unit the most parts of which each is worth its place, 1 where they explain too little: int64 [U]."""
    counts = torch.ones(len(explained[0]), dtype=torch.int64)
    best, best_in_folds = explained[0], in_folds[0]
    for parts in range(2, MOST_PARTS + 1):
        enough = explained[parts - 1] - best >= LEAST_GAIN * (parts - counts)
        taken = enough & (in_folds[parts - 1] > best_in_folds).all(dim=0)
        counts = torch.where(taken, parts, counts)
        best = torch.where(taken, explained[parts - 1], best)
        best_in_folds = torch.where(taken, in_folds[parts - 1], best_in_folds)
    return counts.where(best >= LEAST_TOGETHER, 1)


def _parts(concepts: list[int], shares: list[float]) -> tuple[NamePart, ...]:
    parts = [NamePart(concept, "", share) for concept, share in zip(concepts, shares, strict=True)]
    return tuple(sorted(parts, key=lambda part: (-part.share, part.concept)))


def _named(parts: Sequence[NamePart], concepts: Sequence[tuple[int, str]]) -> tuple[NamePart, ...]:
    return tuple(NamePart(*concepts[part.concept], part.share) for part in parts)
