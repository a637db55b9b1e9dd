"""Neurons by category in several networks, and what each has gained and lost against the first one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

import numpy as np

from service.analysis.differences import LEAST_RESAMPLES, Spread, variance_of_exams, variance_of_units
from service.analysis.noise import Floats, divergence, false_discovery, fisher, floor, mcnemar, measured
from service.analysis.tallies import PairedUnits, Tally
from service.domain.comparisons import CategoryRow, Change, Composition, Measured, Test
from service.domain.evidence import LEVEL


@dataclass(frozen=True)
class GroupedScope:
    """One layer, or all layers together, in one grouping of the concepts into K groups."""

    units: tuple[int, ...]
    """Of each network; the first is the reference."""
    tallies: tuple[Tally, ...]
    """Of each network."""
    paired: tuple[PairedUnits | None, ...]
    """Of each network but the reference: where its units and those of the reference stand; None if not paired."""
    same_exams: bool
    """Did resample b draw the same exams in all networks?"""


class _GroupTest(NamedTuple):
    """The test of one group's change."""

    group: int
    gain: float
    spread: Spread | None
    """None where nothing was resampled."""
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
    """A change has to stand out of what other exams make of it, and of what the exact test of the units allows."""
    reference, network = scope.tallies[0], scope.tallies[other]
    gain = float(network.counts[group] * _scale(scope, other) - reference.counts[group])

    test, p_of_units = _test_units(scope, group, other)
    if len(reference.resampled) < LEAST_RESAMPLES:
        return _GroupTest(group, gain, None, test, p_of_units)

    spread = _spread(scope, group, other)
    return _GroupTest(group, gain, spread, "resampled", max(spread.p(gain), p_of_units))


def _test_units(scope: GroupedScope, group: int, other: int) -> tuple[Test, float]:
    """McNemar's test where units are paired, Fisher's where they are not."""
    in_reference = int(scope.tallies[0].counts[group])
    in_other = int(scope.tallies[other].counts[group])

    paired = scope.paired[other - 1]
    if paired is None:
        return "fisher", fisher(in_reference, scope.units[0], in_other, scope.units[other])

    in_both = int(paired.same[group])
    return "mcnemar", mcnemar(in_reference - in_both, in_other - in_both)


def _spread(scope: GroupedScope, group: int, other: int) -> Spread:
    reference, network = scope.tallies[0], scope.tallies[other]
    exams = variance_of_exams(
        reference.resampled[:, group].astype(float),
        network.resampled[:, group] * _scale(scope, other),
        paired=scope.same_exams,
    )

    paired = scope.paired[other - 1]
    if paired is not None:
        return Spread(exams=exams, units=float(paired.moved[group]))

    in_reference, in_other = int(reference.counts[group]), int(network.counts[group])
    return Spread(exams=exams, units=variance_of_units(in_reference, scope.units[0], in_other, scope.units[other]))


def _change(scope: GroupedScope, test: _GroupTest, q: float, other: int) -> Change:
    gain = test.gain
    halves = floor(
        [
            _between_halves(scope.tallies[0], test.group),
            _between_halves(scope.tallies[other], test.group) * _scale(scope, other),
        ]
    )
    if test.spread is None:
        return Change(gain, None, None, None, exceeds_noise=None, test=test.test, p=test.p, q=q, halves=halves)

    noise = test.spread.half_width
    return Change(
        gain=gain,
        low=gain - noise,
        high=gain + noise,
        noise=noise,
        exceeds_noise=q <= LEVEL and abs(gain) > noise,
        test=test.test,
        p=test.p,
        q=q,
        halves=halves,
    )


def _scale(scope: GroupedScope, other: int) -> float:
    """What the other network's units are multiplied by to be as many as the reference's."""
    return scope.units[0] / scope.units[other]


def _between_halves(tally: Tally, group: int) -> Floats:
    """By how many neurons a group differs between the halves of each split [S]."""
    differences: Floats = np.abs(tally.halves[:, 0, group] - tally.halves[:, 1, group]).astype(float)
    return differences


def _divergence(reference: Tally, other: Tally) -> Measured:
    value = float(divergence(reference.counts, other.counts))
    tallies = (reference, other)
    return measured(
        None if isnan(value) else value,
        redrawn=[divergence(tally.redrawn[:, 0], tally.redrawn[:, 1]) for tally in tallies],
        halves=[divergence(tally.halves[:, 0], tally.halves[:, 1]) for tally in tallies],
    )
