"""Differences of counts: their intervals, and how often they are called by mistake where the truth is planted."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.planted_networks import (
    Pair,
    on_other_exams,
    p_values,
    with_another_seed,
    with_more_of_the_first_group,
)
from service.analysis.differences import Spread, variance_of_exams, variance_of_units
from tests.analysis.invented import near

PAIRS = 60


@pytest.mark.parametrize("draw", [on_other_exams, with_another_seed])
def test_networks_that_are_alike_are_seldom_told_apart(draw: Callable[[np.random.Generator], Pair]) -> None:
    assert (p_values(draw, PAIRS)["both"] <= 0.05).mean() <= 0.07


def test_neither_exams_nor_units_alone_would_do() -> None:
    assert (p_values(with_another_seed, PAIRS)["exams"] <= 0.05).mean() > 0.1
    assert (p_values(on_other_exams, PAIRS)["units"] <= 0.05).mean() > 0.1


def test_what_a_network_was_taught_is_found() -> None:
    assert (p_values(with_more_of_the_first_group, PAIRS)["both"][:, 0] <= 0.05).all()


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
