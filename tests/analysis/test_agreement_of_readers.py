"""Kappa against scikit-learn and by hand, and the coverage of its interval; Wilson's interval by hand."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from service.analysis.agreement_of_readers import LEAST_NEURONS, cohen_kappa, kappa_variance, wilson

DECISIONS = ("accept", "reject", "rename")


def readings(table: list[list[int]]) -> tuple[list[str], list[str]]:
    """Two readers whose decisions have that table: the first's in rows, the second's in columns."""
    pairs = [
        (DECISIONS[row], DECISIONS[column])
        for row, counts in enumerate(table)
        for column, count in enumerate(counts)
        for _ in range(count)
    ]
    return [first for first, _ in pairs], [second for _, second in pairs]


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    first = random.choice(DECISIONS, 60, p=(0.6, 0.3, 0.1))
    second = np.where(random.random(60) < 0.6, first, random.choice(DECISIONS, 60))
    found = cohen_kappa(first.tolist(), second.tolist())
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert found.low is not None
    assert found.kappa is not None
    assert found.high is not None
    assert found.low < found.kappa < found.high
    assert found.observed == pytest.approx((first == second).mean())


def test_the_variance_by_hand() -> None:
    # po 0.7, pe 0.5, kappa 0.4. A = .4 (1 - 1.1 x .6)^2 + .3 (1 - .9 x .6)^2 = .10972,
    # B = .6^2 (.1 (.6 + .5)^2 + .2 (.4 + .5)^2) = .10188, C = (.4 - .5 x .6)^2 = .01, over 50 x .5^2.
    table = [[20, 5], [10, 15]]
    assert kappa_variance(np.array(table)) == pytest.approx((0.10972 + 0.10188 - 0.01) / 12.5, abs=1e-12)
    found = cohen_kappa(*readings(table))
    assert found.kappa == pytest.approx(0.4)
    assert found.low == pytest.approx(0.4 - 1.959964 * 0.126996, abs=1e-5)
    assert found.high == pytest.approx(0.4 + 1.959964 * 0.126996, abs=1e-5)


def test_the_order_of_readers_and_decisions_does_not_matter() -> None:
    table = np.array([[20, 5, 1], [7, 15, 2], [0, 3, 4]])
    first, second = readings(table.tolist())
    assert cohen_kappa(first, second).low == pytest.approx(cohen_kappa(second, first).low)
    assert kappa_variance(table) == pytest.approx(kappa_variance(table[::-1, ::-1]))


def test_the_interval_holds_the_kappa_of_all_neurons_95_times_in_100() -> None:
    random = np.random.default_rng(7)
    shares = np.array([[0.45, 0.08, 0.02], [0.1, 0.2, 0.02], [0.03, 0.02, 0.08]])
    expected = shares.sum(axis=1) @ shares.sum(axis=0)
    kappa = (np.trace(shares) - expected) / (1 - expected)
    held = []
    for _ in range(400):
        drawn = random.multinomial(150, shares.ravel()).reshape(3, 3)
        found = cohen_kappa(*readings(drawn.tolist()))
        assert found.low is not None
        assert found.high is not None
        held.append(found.low <= kappa <= found.high)
    assert 0.91 <= np.mean(held) <= 0.98


def test_readers_who_always_agree_are_not_sure_to_do_so_again() -> None:
    found = cohen_kappa(*readings([[20, 0], [0, 10]]))
    assert (found.kappa, found.high) == (1.0, 1.0)
    expected = (2 / 3) ** 2 + (1 / 3) ** 2
    assert found.low == pytest.approx((wilson(30, 30).low - expected) / (1 - expected))
    assert found.low is not None
    assert found.low < 0.8


def test_readers_who_agree_less_than_by_chance() -> None:
    found = cohen_kappa(*readings([[0, 15], [15, 0]]))
    assert (found.kappa, found.low) == (-1.0, -1.0)


def test_one_decision_alone_tells_nothing_of_agreement() -> None:
    found = cohen_kappa(["accept"] * 30, ["accept"] * 30)
    assert (found.neurons, found.observed, found.kappa, found.low) == (30, 1.0, None, None)
    assert "nothing tells agreement from chance" in str(found.refused)


def test_too_few_neurons_have_no_figures() -> None:
    found = cohen_kappa(["accept"] * (LEAST_NEURONS - 1), ["reject"] * (LEAST_NEURONS - 1))
    assert (found.neurons, found.observed, found.kappa) == (19, None, None)
    assert found.refused == "Both have judged 19 of the 20 neurons that are needed."
    assert cohen_kappa([], []).neurons == 0


def test_readers_of_different_neurons_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shorter"):
        cohen_kappa(["accept"] * 30, ["accept"] * 29)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 20, 0.0, 0.16112),
        (20, 20, 0.83888, 1.0),
        (10, 20, 0.29930, 0.70070),
        (81, 263, 0.25529, 0.36619),
    ],
)
def test_wilson(hits: int, trials: int, low: float, high: float) -> None:
    found = wilson(hits, trials)
    assert found.value == hits / trials
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (-1, 5), (6, 5)])
def test_what_is_no_share(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(hits, trials)
