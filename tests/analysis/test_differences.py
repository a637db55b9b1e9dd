"""Differences of counts: their intervals, and how often they are called by mistake where the truth is planted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from service.analysis.compared_labels import Indices, LayerLabels
from service.analysis.differences import Spread, variance_of_exams, variance_of_units
from service.analysis.tallies import Codes, PairedUnits
from tests.analysis.invented import near

Array = NDArray[np.float64]

EXAMS, UNITS, GROUPS, RESAMPLES, NETWORKS = 40, 80, 5, 60, 60


@dataclass(frozen=True)
class Planted:
    """A network as the exams show it: units that follow groups, and whatever the exams do to all of them at once."""

    shown: Array
    """What each exam says of each unit and group [exams, units, groups]; a unit is named by the mean."""

    def drawn(self, occurrences: Array) -> Indices:
        """The group of each unit where the exams occur so often [B, exams] -> [B, units]."""
        return np.tensordot(occurrences, self.shown, axes=1).argmax(axis=2).astype(np.int16)

    @property
    def labels(self) -> Indices:
        return self.drawn(np.ones((1, EXAMS)))[0]


def counts(labels: Indices) -> Array:
    """Units by group [B, units] -> [B, groups]."""
    return np.stack([np.bincount(drawn, minlength=GROUPS) for drawn in labels]).astype(float)


def units(first: Indices, second: Indices) -> PairedUnits:
    """Units of two networks, all of them labelled. first, second: their groups in the resamples [B, units]."""
    everyone = np.ones(UNITS, bool)
    layers = [LayerLabels(drawn[0], everyone, drawn, np.empty((0, 2, UNITS), np.int16)) for drawn in (first, second)]
    codes = Codes(tuple(map(str, range(GROUPS))), np.arange(GROUPS, dtype=np.int16))
    return PairedUnits.of((layers[0], layers[1]), (everyone, everyone), codes)


def untrained(random: np.random.Generator) -> Array:
    """How strongly each unit follows each group [units, groups]."""
    follows = np.zeros((UNITS, GROUPS))
    follows[np.arange(UNITS), random.integers(0, GROUPS, UNITS)] = random.exponential(0.5, UNITS)
    return follows


def exams(random: np.random.Generator) -> Array:
    """What the exams do to all units alike [exams, 1, groups]."""
    return random.normal(0, 0.5, (EXAMS, 1, GROUPS))


def show(random: np.random.Generator, follows: Array, common: Array) -> Planted:
    return Planted(follows + common + random.normal(size=(EXAMS, UNITS, GROUPS)))


def retrained(random: np.random.Generator, follows: Array) -> Array:
    return follows + random.normal(0, 0.3, follows.shape)


def on_other_exams(random: np.random.Generator) -> tuple[Planted, Planted, bool]:
    """One network on exams of two draws."""
    follows = untrained(random)
    return show(random, follows, exams(random)), show(random, follows, exams(random)), False


def with_another_seed(random: np.random.Generator) -> tuple[Planted, Planted, bool]:
    """One training, twice, on the same exams."""
    follows, common = untrained(random), exams(random)
    first, second = (show(random, retrained(random, follows), common) for _ in range(2))
    return first, second, True


def with_more_of_the_first_group(random: np.random.Generator) -> tuple[Planted, Planted, bool]:
    """Half of the units learned the first group instead of what they followed."""
    follows, common = untrained(random), exams(random)
    taught = follows.copy()
    taught[::2] = 0
    taught[::2, 0] = 1.5
    return show(random, follows, common), show(random, taught, common), True


def p_values(draw: Callable[[np.random.Generator], tuple[Planted, Planted, bool]]) -> Array:
    """Of each group, for many pairs of networks [pairs, groups]."""
    random = np.random.default_rng(1)
    occurrences = random.multinomial(EXAMS, np.full(EXAMS, 1 / EXAMS), size=(2, RESAMPLES)).astype(float)
    p = np.empty((NETWORKS, GROUPS))

    for pair in range(NETWORKS):
        reference, other, paired = draw(random)
        labels = [reference.drawn(occurrences[0]), other.drawn(occurrences[0 if paired else 1])]
        before, after = map(counts, labels)
        moved = units(*labels).moved
        for group in range(GROUPS):
            exams_vary = variance_of_exams(before[:, group], after[:, group], paired=paired)
            gain = (other.labels == group).sum() - (reference.labels == group).sum()
            p[pair, group] = Spread(exams_vary, float(moved[group])).p(float(gain))
    return p


@pytest.mark.parametrize("draw", [on_other_exams, with_another_seed])
def test_networks_that_are_alike_are_seldom_told_apart(
    draw: Callable[[np.random.Generator], tuple[Planted, Planted, bool]],
) -> None:
    assert (p_values(draw) <= 0.05).mean() <= 0.06


def test_what_a_network_was_taught_is_found() -> None:
    assert (p_values(with_more_of_the_first_group)[:, 0] <= 0.05).all()


def test_an_interval_holds_nothing_where_its_p_says_so() -> None:
    spread = Spread(exams=3.0, units=1.0)
    assert spread.half_width == near(2 * 1.959964)
    assert spread.p(spread.half_width) == near(0.05)
    assert spread.p(-spread.half_width) == near(0.05)
    assert spread.p(0.0) == 1.0
    assert (Spread(0.0, 0.0).p(0.0), Spread(0.0, 0.0).p(1.0)) == (1.0, 0.0)


def test_exams_that_both_networks_saw_cancel() -> None:
    reference, other = np.array([3.0, 5.0, 4.0]), np.array([4.0, 6.0, 5.0])
    assert variance_of_exams(reference, other, paired=True) == 0.0
    assert variance_of_exams(reference, other, paired=False) == near(2.0)


def test_units_that_are_not_paired_vary_as_shares_do() -> None:
    # Three of four units together, of one unit and of three.
    assert variance_of_units(1, 1, 2, 3) == near(3 / 4 * 1 / 4 * (1 + 1 / 3))
    assert variance_of_units(0, 4, 0, 8) == 0.0
