"""Differences, their intervals, and what the choice of exams alone would make of them."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import NONE, Indices
from service.analysis.discoveries import q_values
from service.domain.comparisons import Measured

FLOOR = 95.0
"""The noise floor is this percentile of a statistic between two draws of the exams."""

Counts = NDArray[np.int32]
Floats = NDArray[np.floating]


def measured(value: float | None, redrawn: Sequence[Floats], halves: Sequence[Floats]) -> Measured:
    """A statistic beside its noise floor, of which the noisier network's counts.

    redrawn: for each network, the same statistic between the two resamples of each pair.
    halves: the same between the halves of each split; the floor where nothing was resampled.
    """
    between_halves = floor(halves)
    noise = floor(redrawn) if any(statistic.size for statistic in redrawn) else between_halves
    exceeds_noise = None if value is None or noise is None else value > noise
    return Measured(value, noise, exceeds_noise, between_halves)


def floor(statistics: Sequence[Floats]) -> float | None:
    """The 95th percentile of the noisier network's; None where one has none."""
    return largest(*(percentile(statistic, FLOOR) for statistic in statistics))


def percentile(values: Floats, at: float) -> float | None:
    """A percentile of the numbers among the values, between neighbours by linear interpolation; None without any."""
    known = values[~np.isnan(values)]
    return float(np.percentile(known, at)) if known.size else None


def largest(*values: float | None) -> float | None:
    """The largest of the known values; None where one is unknown."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return max(known)


def count_codes(labels: Indices, codes: Indices, size: int) -> Counts:
    """Labels [..., U] by code -> counts [..., size]. codes: of each concept, NONE for a concept that does not count."""
    # One bin more than codes, the first for NONE; each row of labels has its own bins in one long count.
    bins = size + 1
    coded = with_code(labels, codes).reshape(-1, labels.shape[-1]).astype(np.int64) + 1
    rows = len(coded)
    bin_of_label = coded + np.arange(rows)[:, None] * bins

    counts = np.bincount(bin_of_label.ravel(), minlength=rows * bins).reshape(rows, bins)
    return counts[:, 1:].reshape(*labels.shape[:-1], size).astype(np.int32)


def with_code(labels: Indices, codes: Indices) -> Indices:
    """The code of each label; NONE keeps NONE."""
    coded: Indices = np.append(codes, np.int16(NONE))[labels]
    return coded


def divergence(first: Counts, second: Counts) -> Floats:
    """Jensen-Shannon divergence in bits between counts [..., K], 0 (equal shares) to 1; NaN where one side is empty.

    Lin, IEEE Trans. Inf. Theory 37 (1991): JSD = H((p + q) / 2) - (H(p) + H(q)) / 2.
    """
    from scipy.spatial.distance import jensenshannon

    full = (first.sum(axis=-1) > 0) & (second.sum(axis=-1) > 0)
    values = np.full(full.shape, np.nan)

    if first.shape[-1] and full.any():
        # Rounding may leave the sum under the root of equal shares a hair below zero.
        with np.errstate(invalid="ignore"):
            distance = np.nan_to_num(jensenshannon(first[full], second[full], base=2, axis=-1))
        values[full] = distance**2

    return values


@cache
def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p of McNemar's test.

    Of the units that are in only one of two paired sets, by chance half are in either.
    """
    from scipy.stats import binomtest

    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0


@cache
def fisher(first: int, first_units: int, second: int, second_units: int) -> float:
    """Two-sided p of Fisher's exact test that first of first_units is the same share as second of second_units."""
    from scipy.stats import fisher_exact

    table = [[first, first_units - first], [second, second_units - second]]
    return float(fisher_exact(table).pvalue)


def false_discovery(p_values: list[float]) -> list[float]:
    """q-values of Benjamini and Hochberg (1995), in the order of the p-values."""
    if not p_values:
        return []

    q: list[float] = q_values(np.array(p_values), len(p_values)).tolist()
    return q
