"""What random image sets score: the null against which the best score of every unit of a layer is held.

A unit that knows nothing has top images that are random with respect to the concepts, so its best score is distributed
like that of random image sets under the same layer's prior term. Beyond the largest values drawn, p follows a
generalised Pareto tail (Knijnenburg et al., "Fewer permutations, more accurate P-values", Bioinformatics 25, 2009),
fitted by probability-weighted moments (Hosking and Wallis, Technometrics 29, 1987) and never with an end: a fit with
one would give p = 0 to everything behind it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.domain.evidence import LEVEL, LayerNull
from service.engine.similarity.scorer import Scorer

_FEW = 10
_LARGEST = 250
_LEAST_P = 1e-30


@dataclass(frozen=True, slots=True)
class NullTable:
    """Scores of S random image sets."""

    best: Tensor
    """float32 [S], over all concepts."""
    label: Tensor
    """int64 [S], the concept that was best."""
    watched: Tensor
    """float32 [S, W], the scores of the watched concepts themselves."""


@dataclass(frozen=True, slots=True)
class GroupNull:
    """The null of units whose images lie in exams in a like manner."""

    units: Tensor
    """int64 [u], positions among the units given."""
    table: NullTable


def null_table(scorer: Scorer, sets: Tensor, prior: Tensor, units: int, watched: Sequence[int]) -> NullTable:
    """Score random image sets [S, K], given as positions among the scorer's images, as units of a layer.

    prior: the layer's, float32 [C], of so many units. watched: concepts whose own scores are kept, ascending.
    """
    best = torch.full((len(sets),), -torch.inf, device=prior.device)
    label = torch.zeros(len(sets), dtype=torch.int64, device=prior.device)
    columns = []

    for start, block in scorer.of_sets(sets, prior, units):
        highest, position = block.max(dim=1)
        better = highest > best
        best[better] = highest[better]
        label[better] = position[better] + start

        inside = [concept - start for concept in watched if start <= concept < start + block.shape[1]]
        columns.append(block[:, inside].cpu())

    return NullTable(best.cpu(), label.cpu(), torch.cat(columns, dim=1))


def summarise(nulls: Sequence[GroupNull]) -> LayerNull:
    """A layer's tables in a hundred numbers, weighed by their numbers of units; and what significant sets are named."""
    tables = [null.table for null in nulls]
    best = np.concatenate([table.best.double().numpy() for table in tables])
    weights_of_tables = [np.full(len(null.table.best), len(null.units) / len(null.table.best)) for null in nulls]
    weight = np.concatenate(weights_of_tables)
    mean = float(np.average(best, weights=weight))
    quantiles = np.quantile(best, np.linspace(0, 1, 101), method="inverted_cdf", weights=weight)

    beyond = np.concatenate([(tail_p(table.best, table.best) <= LEVEL).numpy() for table in tables])
    labels = np.concatenate([table.label.numpy() for table in tables])[beyond]
    shares = np.bincount(labels, weights=weight[beyond]) / weight[beyond].sum()

    return LayerNull(
        draws=len(best),
        mean=mean,
        std=float(np.average((best - mean) ** 2, weights=weight) ** 0.5),
        quantiles=tuple(quantiles.tolist()),
        labels=tuple((concept, share) for concept, share in enumerate(shares.tolist()) if share > 0),
    )


def tail_p(scores: Tensor, null: Tensor) -> Tensor:
    """P-values of scores [U] against draws [S] of the null: float64 [U], none of them 0.

    (1 + draws at least as large) / (1 + S) (Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010); where fewer than
    ten draws are as large, the fitted tail, if that is smaller.
    """
    ordered = null.double().sort().values
    draws = len(ordered)
    reached = draws - torch.searchsorted(ordered, scores.double())
    counted = (1.0 + reached) / (1.0 + draws)

    largest = min(_LARGEST, draws // 10)
    if largest <= _FEW:
        return counted

    threshold = (ordered[-largest - 1] + ordered[-largest]) / 2
    shape, scale = _pareto(ordered[-largest:] - threshold)
    if scale <= 0:
        return counted

    beyond = (scores.double() - threshold).clamp_min(0) / scale
    survival = torch.exp(-beyond) if shape == 0 else (1 + shape * beyond).pow(-1 / shape)
    fitted = (survival * largest / draws).clamp_min(_LEAST_P)
    return torch.where(reached < _FEW, torch.minimum(counted, fitted), counted)


def standardise(scores: Tensor, null: Tensor) -> Tensor:
    """Distance of scores [U] from the mean of the draws [S] in their deviations: float64 [U]; 0 if all are equal."""
    deviation = null.double().std(correction=0)
    return torch.where(deviation > 0, (scores.double() - null.double().mean()) / deviation, 0.0)


def _pareto(excesses: Tensor) -> tuple[float, float]:
    """Shape (not below 0) and scale of a generalised Pareto distribution, from ascending excesses float64 [n]."""
    n = len(excesses)
    exceeding = 1 - (torch.arange(1, n + 1, dtype=torch.float64) - 0.35) / n
    first = float(excesses.mean())
    second = float((excesses * exceeding).mean())

    shape = 2 - first / (first - 2 * second) if first != 2 * second else 0.0
    if shape <= 0:
        return 0.0, first

    return shape, 2 * first * second / (first - 2 * second)
