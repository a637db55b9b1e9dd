"""How far two readers agree beyond chance, and how sure a share of labels is.

Agreement is Cohen's kappa (Educational and Psychological Measurement 20, 1960): (observed - expected) / (1 - expected),
where `expected` is how often two readers agree who decide as often for each decision, and independently. Its interval
rests on the asymptotic variance of Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969), in the form of Fleiss,
Levin and Paik (Statistical Methods for Rates and Proportions, 3rd edition, 2003, formulas 18.14 to 18.17).

Shares have Wilson's interval (Journal of the American Statistical Association 22, 1927), which holds near 0 and 1 too.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from service.analysis.differences import WIDTH

LEAST_NEURONS = 20
"""With fewer nothing is said: the variance is asymptotic, and a sum over a few would tell of single neurons."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement of two readers on neurons that both have judged; the figures are None where `refused` says why."""

    neurons: int
    observed: float | None = None
    """How often they agree."""
    expected: float | None = None
    """How often they would by chance."""
    kappa: float | None = None
    low: float | None = None
    """Lower end of the interval of 95 %."""
    high: float | None = None
    """Upper end of the interval of 95 %."""
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A share, and its interval of 95 %."""

    value: float
    low: float
    high: float


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> Kappa:
    """Cohen's kappa of two readers' decisions on the same neurons, in the same order.

    Where they always agree the asymptotic variance is 0, which a few neurons do not bear out: the lower end then
    follows from that of Wilson's interval for the observed agreement. Raises ValueError for lists of two lengths.
    """
    table = _table(first, second)
    neurons = int(table.sum())
    if neurons < LEAST_NEURONS:
        return Kappa(neurons, refused=f"Both have judged {neurons} of the {LEAST_NEURONS} neurons that are needed.")

    shares = table / neurons
    observed = float(np.trace(shares))
    expected = float(shares.sum(axis=1) @ shares.sum(axis=0))
    if np.count_nonzero(shares.sum(axis=0) + shares.sum(axis=1)) == 1:
        refused = "Both decided the same for every neuron, so that nothing tells agreement from chance."
        return Kappa(neurons, observed, expected, refused=refused)

    kappa = (observed - expected) / (1 - expected)
    half_width = WIDTH * sqrt(kappa_variance(table))
    low, high = max(-1.0, kappa - half_width), min(1.0, kappa + half_width)
    if np.trace(table) == neurons:
        low = (wilson(neurons, neurons).low - expected) / (1 - expected)
    return Kappa(neurons, observed, expected, kappa, low, high)


def kappa_variance(table: NDArray[np.int64]) -> float:
    """The asymptotic variance of kappa (Fleiss, Cohen and Everitt, 1969).

    table: neurons by the first reader's decision (rows) and the second's (columns); not all in one row and column.
    """
    neurons = table.sum()
    shares = table / neurons
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, expected = np.trace(shares), rows @ columns
    kappa = (observed - expected) / (1 - expected)

    same = np.diag(shares) @ (1 - (rows + columns) * (1 - kappa)) ** 2

    # Of a cell the second reader's share of the row's decision, and the first's of the column's.
    crossed = shares * (columns[:, None] + rows[None, :]) ** 2
    different = (1 - kappa) ** 2 * (crossed.sum() - np.trace(crossed))

    chance = (kappa - expected * (1 - kappa)) ** 2
    variance = (same + different - chance) / (neurons * (1 - expected) ** 2)
    return max(0.0, float(variance))  # rounding may leave it below


def wilson(hits: int, trials: int) -> Share:
    """A share and Wilson's interval of it. Raises ValueError where there are no trials."""
    if trials < 1 or not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")

    share = hits / trials
    weight = 1 + WIDTH**2 / trials
    centre = (share + WIDTH**2 / (2 * trials)) / weight
    half_width = WIDTH / weight * sqrt(share * (1 - share) / trials + WIDTH**2 / (4 * trials**2))

    # At the ends the interval ends there, but for rounding.
    low = 0.0 if hits == 0 else centre - half_width
    high = 1.0 if hits == trials else centre + half_width
    return Share(share, low, high)


def _table(first: Sequence[Hashable], second: Sequence[Hashable]) -> NDArray[np.int64]:
    counts = Counter(zip(first, second, strict=True))
    decisions = {decision: place for place, decision in enumerate(dict.fromkeys([*first, *second]))}
    table = np.zeros((len(decisions), len(decisions)), np.int64)
    for (of_first, of_second), count in counts.items():
        table[decisions[of_first], decisions[of_second]] = count
    return table
