"""Neurons by category in several networks, and what each has gained and lost against the first one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

import numpy as np

from service.analysis.noise import (
    FLOOR,
    INTERVAL,
    Counts,
    Floats,
    divergence,
    false_discovery,
    fisher,
    largest,
    mcnemar,
    measured,
    percentile,
)
from service.analysis.tallies import Tally
from service.domain.comparisons import CategoryRow, Change, Composition, Measured, Test


@dataclass(frozen=True)
class GroupedScope:
    """One layer, or all layers together, in one grouping of the concepts into K groups."""

    units: tuple[int, ...]
    """Of each network; the first is the reference."""
    tallies: tuple[Tally, ...]
    """Of each network."""
    same_group: tuple[Counts | None, ...]
    """Of each network but the reference: units in this group there and in the reference [K]; None if not paired."""


class _GroupTest(NamedTuple):
    """The test of one group's change."""

    group: int
    test: Test
    p: float


def compositions(scopes: Sequence[GroupedScope], group_names: Sequence[str]) -> list[Composition]:
    """The composition of each scope, with the groups that have a neuron there.

    The q-values of a network hold for all groups of all scopes together.
    """
    groups = [_groups_with_neurons(scope) for scope in scopes]
    others = range(1, len(scopes[0].tallies))
    changes_of_others = [_changes(scopes, groups, other) for other in others]

    composed = []
    for place, scope in enumerate(scopes):
        changes_of_scope = [changes[place] for changes in changes_of_others]
        composed.append(_composition(scope, group_names, groups[place], changes_of_scope))
    return composed


def _groups_with_neurons(scope: GroupedScope) -> list[int]:
    """The groups that have a neuron in any of the networks."""
    groups = range(len(scope.tallies[0].counts))
    return [group for group in groups if any(tally.counts[group] for tally in scope.tallies)]


def _composition(
    scope: GroupedScope,
    group_names: Sequence[str],
    groups: Sequence[int],
    changes_of_others: Sequence[Mapping[int, Change]],
) -> Composition:
    rows = [
        CategoryRow(
            name=group_names[group],
            neurons=tuple(int(tally.counts[group]) for tally in scope.tallies),
            changes=tuple(changes[group] for changes in changes_of_others),
        )
        for group in groups
    ]

    reference, *others = scope.tallies
    return Composition(rows=tuple(rows), divergence=tuple(_divergence(reference, other) for other in others))


def _changes(scopes: Sequence[GroupedScope], groups: Sequence[Sequence[int]], other: int) -> list[Mapping[int, Change]]:
    """For each scope: group -> its change in the network at the place `other`."""
    tests = []
    for scope, groups_of_scope in zip(scopes, groups, strict=True):
        tests.append([_test(scope, group, other) for group in groups_of_scope])

    p_values = [test.p for tests_of_scope in tests for test in tests_of_scope]
    q_values = iter(false_discovery(p_values))

    changes: list[Mapping[int, Change]] = []
    for scope, tests_of_scope in zip(scopes, tests, strict=True):
        changes.append({test.group: _change(scope, test, next(q_values), other) for test in tests_of_scope})
    return changes


def _test(scope: GroupedScope, group: int, other: int) -> _GroupTest:
    """McNemar's test where units are paired, Fisher's where they are not."""
    in_reference = int(scope.tallies[0].counts[group])
    in_other = int(scope.tallies[other].counts[group])

    same_group = scope.same_group[other - 1]
    if same_group is None:
        return _GroupTest(group, "fisher", fisher(in_reference, scope.units[0], in_other, scope.units[other]))

    in_both = int(same_group[group])
    return _GroupTest(group, "mcnemar", mcnemar(in_reference - in_both, in_other - in_both))


def _change(scope: GroupedScope, test: _GroupTest, q: float, other: int) -> Change:
    group = test.group
    reference, network = scope.tallies[0], scope.tallies[other]
    scale = scope.units[0] / scope.units[other]

    gain = float(network.counts[group] * scale - reference.counts[group])
    resampled_gain: Floats = network.resampled[:, group] * scale - reference.resampled[:, group]
    low, high = (percentile(resampled_gain, bound) for bound in INTERVAL)

    noise = largest(
        percentile(_between_halves(reference, group), FLOOR),
        percentile(_between_halves(network, group) * scale, FLOOR),
    )

    return Change(
        gain=gain,
        low=low,
        high=high,
        noise=noise,
        exceeds_noise=_exceeds_noise(gain, low, high, noise),
        test=test.test,
        p=test.p,
        q=q,
    )


def _exceeds_noise(gain: float, low: float | None, high: float | None, noise: float | None) -> bool | None:
    if low is None or high is None or noise is None:
        return None
    return abs(gain) > noise and not low <= 0 <= high


def _between_halves(tally: Tally, group: int) -> Floats:
    """By how many neurons a group differs between the halves of each split [S]."""
    differences: Floats = np.abs(tally.halves[:, 0, group] - tally.halves[:, 1, group]).astype(float)
    return differences


def _divergence(reference: Tally, other: Tally) -> Measured:
    value = float(divergence(reference.counts, other.counts))
    between_halves = (divergence(tally.halves[:, 0], tally.halves[:, 1]) for tally in (reference, other))
    return measured(None if isnan(value) else value, *between_halves)
