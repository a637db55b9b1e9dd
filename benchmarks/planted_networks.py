"""Pairs of networks whose units are planted on groups, named by exams that move all units at once, and told apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import Indices, LayerLabels
from service.analysis.differences import Spread, variance_of_exams
from service.analysis.tallies import Codes, PairedUnits

Array = NDArray[np.float64]

EXAMS, UNITS, GROUPS, RESAMPLES = 40, 80, 5, 60


@dataclass(frozen=True)
class Planted:
    """A network as the exams show it.

    shown: what each exam says of each unit and group [exams, units, groups]; a unit is named by the mean.
    """

    shown: Array

    def drawn(self, occurrences: Array) -> Indices:
        """The group of each unit where the exams occur so often [B, exams] -> [B, units]."""
        groups: Indices = np.tensordot(occurrences, self.shown, axes=1).argmax(axis=2).astype(np.int16)
        return groups

    @property
    def labels(self) -> Indices:
        """The group of each unit."""
        labels: Indices = self.drawn(np.ones((1, EXAMS)))[0]
        return labels


@dataclass(frozen=True)
class Pair:
    """Two networks. same_exams: whether they saw the same."""

    reference: Planted
    other: Planted
    same_exams: bool


def on_other_exams(random: np.random.Generator, common: float = 0.5) -> Pair:
    """One network on exams of two draws. common: how much exams move all units at once."""
    follows = _untrained(random)
    first, second = (_show(random, follows, _exams(random, common)) for _ in range(2))
    return Pair(first, second, same_exams=False)


def with_another_seed(random: np.random.Generator, common: float = 0.5) -> Pair:
    """One training, twice, on the same exams."""
    follows, exams = _untrained(random), _exams(random, common)
    first, second = (_show(random, follows + random.normal(0, 0.3, follows.shape), exams) for _ in range(2))
    return Pair(first, second, same_exams=True)


def with_more_of_the_first_group(random: np.random.Generator, common: float = 0.5) -> Pair:
    """Half of the units learned the first group instead of what they followed."""
    follows, exams = _untrained(random), _exams(random, common)
    taught = follows.copy()
    taught[::2] = 0
    taught[::2, 0] = 1.5
    return Pair(_show(random, follows, exams), _show(random, taught, exams), same_exams=True)


def p_values(draw: Callable[[np.random.Generator], Pair], pairs: int, seed: int = 1) -> Mapping[str, Array]:
    """Of each group, by both variances (`both`), by that of exams alone and by that of units alone [pairs, groups]."""
    random = np.random.default_rng(seed)
    occurrences = random.multinomial(EXAMS, np.full(EXAMS, 1 / EXAMS), size=(2, RESAMPLES)).astype(float)
    p = {judged_by: np.empty((pairs, GROUPS)) for judged_by in ("both", "exams", "units")}

    for place in range(pairs):
        pair = draw(random)
        drawn = (pair.reference.drawn(occurrences[0]), pair.other.drawn(occurrences[0 if pair.same_exams else 1]))
        before, after = map(_counts, drawn)
        moved = _paired(*drawn).moved
        gains = _counts(pair.other.labels[None])[0] - _counts(pair.reference.labels[None])[0]

        for group, gain in enumerate(gains.tolist()):
            exams = variance_of_exams(before[:, group], after[:, group], paired=pair.same_exams)
            units = float(moved[group])
            p["both"][place, group] = Spread(exams, units).p(gain)
            p["exams"][place, group] = Spread(exams, 0.0).p(gain)
            p["units"][place, group] = Spread(0.0, units).p(gain)
    return p


def _untrained(random: np.random.Generator) -> Array:
    """How strongly each unit follows each group [units, groups]."""
    follows = np.zeros((UNITS, GROUPS))
    follows[np.arange(UNITS), random.integers(0, GROUPS, UNITS)] = random.exponential(0.5, UNITS)
    return follows


def _exams(random: np.random.Generator, common: float) -> Array:
    """What the exams do to all units alike [exams, 1, groups]."""
    return random.normal(0, common, (EXAMS, 1, GROUPS))


def _show(random: np.random.Generator, follows: Array, exams: Array) -> Planted:
    return Planted(follows + exams + random.normal(size=(EXAMS, UNITS, GROUPS)))


def _counts(labels: Indices) -> Array:
    """Units by group [B, units] -> [B, groups]."""
    return np.stack([np.bincount(drawn, minlength=GROUPS) for drawn in labels]).astype(float)


def _paired(first: Indices, second: Indices) -> PairedUnits:
    """Units of two networks, all of them labelled. first, second: their groups in the resamples [B, units]."""
    everyone = np.ones(UNITS, bool)
    no_halves = np.empty((0, 2, UNITS), np.int16)
    layers = [LayerLabels(drawn[0], everyone, drawn, no_halves) for drawn in (first, second)]
    codes = Codes(tuple(map(str, range(GROUPS))), np.arange(GROUPS, dtype=np.int16))
    return PairedUnits.of((layers[0], layers[1]), (everyone, everyone), codes)
