"""Dissections side by side: what networks gained and lost against the first one, beside what the exams alone would do.

Every statistic has a noise floor: the same statistic between two halves of the exams within one network. Resample b
drew the same exams in every dissection, so that differences are taken within each resample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import isnan
from operator import add

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import LayerLabels, NetworkLabels
from service.analysis.meanings import Meanings
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
from service.analysis.tallies import Codes, Pairing, Tally
from service.domain.comparisons import (
    UNKNOWN,
    Basis,
    CategoryRow,
    Change,
    Churn,
    Comparison,
    Composition,
    Measured,
    Scope,
    Test,
)
from service.domain.concepts import ConceptSet
from service.errors import Conflict


@dataclass(frozen=True)
class _Counted:
    """One layer or more of every network, by category, broad category and concept; pairs: against the reference."""

    units: tuple[int, ...]
    labelled: tuple[int, ...]
    tallies: tuple[tuple[Tally, Tally, Tally], ...]
    pairs: tuple[Pairing | None, ...]

    def __add__(self, other: "_Counted") -> "_Counted":
        return _Counted(
            tuple(map(add, self.units, other.units)),
            tuple(map(add, self.labelled, other.labelled)),
            tuple(
                (ours[0] + theirs[0], ours[1] + theirs[1], ours[2] + theirs[2])
                for ours, theirs in zip(self.tallies, other.tallies, strict=True)
            ),
            tuple(
                None if ours is None or theirs is None else ours + theirs
                for ours, theirs in zip(self.pairs, other.pairs, strict=True)
            ),
        )


def compare(
    networks: Sequence[NetworkLabels],
    architectures: Sequence[str | None],
    concept_set: ConceptSet,
    *,
    refused: Sequence[str | None],
    texts: NDArray[np.float32] | None,
) -> Comparison:
    """Compare two dissections or more, which `check_comparable` has found to be alike.

    architectures: of each network; units are paired only within one that is known. refused: why nothing was inferred,
    for each network. texts: the dissector's embeddings of the concepts, float32 [C, D]; None where they were not kept.
    Raises Conflict where no layer is in all of them.
    """
    shared = [layer for layer in networks[0].layers if all(layer in network.layers for network in networks)]
    if not shared:
        raise _no_shared_layer(networks)
    basis: Basis = "significant" if all(network.inferred for network in networks) else "best"
    used = {concept_set.concepts[index].text for network in networks for index in network.concepts}
    groupings = (
        Codes.group(concept_set, lambda concept: concept.category),
        Codes.group(concept_set, lambda concept: concept.broad_category),
        Codes.group(concept_set, lambda concept: concept.text if concept.text in used else None),
    )
    same = [architecture is not None and architecture == architectures[0] for architecture in architectures[1:]]
    drawn = (_common([one.resamples for one in networks]), _common([one.splits for one in networks]))
    meanings = None if texts is None else Meanings(texts)
    counted = [
        _count([_cut(network.layers[layer], *drawn) for network in networks], same, groupings, basis, meanings)
        for layer in shared
    ]
    network = reduce(add, counted)
    return Comparison(
        basis=basis,
        resamples=drawn[0],
        halves=drawn[1],
        network=_scopes([None], [network], groupings)[0],
        layers=_scopes(shared, counted, groupings),
        unshared=tuple(tuple(name for name in network.layers if name not in shared) for network in networks),
        notes=_notes(basis, drawn, refused, groupings, unknown_meanings=texts is None and any(network.pairs)),
    )


def _count(
    layers: Sequence[LayerLabels],
    same: Sequence[bool],
    groupings: tuple[Codes, Codes, Codes],
    basis: Basis,
    meanings: Meanings | None,
) -> _Counted:
    labelled = [_labelled(layer, basis) for layer in layers]
    return _Counted(
        units=tuple(len(layer.best) for layer in layers),
        labelled=tuple(int(mask.sum()) for mask in labelled),
        tallies=tuple(
            (
                Tally.of(layer, mask, groupings[0]),
                Tally.of(layer, mask, groupings[1]),
                Tally.of(_unsampled(layer), mask, groupings[2]),
            )
            for layer, mask in zip(layers, labelled, strict=True)
        ),
        pairs=tuple(
            Pairing.of(layers[0], layer, (labelled[0], mask), groupings[:2], meanings)
            if alike and len(layer.best) == len(layers[0].best)
            else None
            for layer, mask, alike in zip(layers[1:], labelled[1:], same, strict=True)
        ),
    )


def _scopes(
    layers: Sequence[str | None], counted: Sequence[_Counted], groupings: tuple[Codes, Codes, Codes]
) -> tuple[Scope, ...]:
    """The scopes of one false-discovery control."""
    categories = _compositions(counted, 0, groupings[0].names)
    broad = _compositions(counted, 1, groupings[1].names)
    scopes = []
    for index, (layer, one) in enumerate(zip(layers, counted, strict=True)):
        only, concepts = _concepts(one, groupings[2].names)
        scopes.append(
            Scope(
                layer=layer,
                units=one.units,
                labelled=one.labelled,
                categories=categories[index],
                broad_categories=broad[index],
                only=only,
                concepts=concepts,
                churn=tuple(None if pairing is None else _churn(pairing) for pairing in one.pairs),
            )
        )
    return tuple(scopes)


def _concepts(counted: _Counted, names: Sequence[str]) -> tuple[tuple[tuple[str, ...], ...], tuple[Measured, ...]]:
    """Concepts that each network alone has; how many either the reference or the other has alone."""
    tallies = [one[2] for one in counted.tallies]
    has = np.stack([tally.counts > 0 for tally in tallies])
    alone = has & (has.sum(axis=0) == 1)
    apart = [((tally.halves[:, 0] > 0) ^ (tally.halves[:, 1] > 0)).sum(axis=-1).astype(float) for tally in tallies]
    only = tuple(tuple(names[index] for index in np.flatnonzero(mine).tolist()) for mine in alone)
    return only, tuple(
        measured(float((has[0] ^ theirs).sum()), apart[0], noise)
        for theirs, noise in zip(has[1:], apart[1:], strict=True)
    )


def _compositions(counted: Sequence[_Counted], grouping: int, names: Sequence[str]) -> list[Composition]:
    tallies = [[network[grouping] for network in one.tallies] for one in counted]
    kept = [[index for index in range(len(names)) if any(tally.counts[index] for tally in its)] for its in tallies]
    others = range(1, len(counted[0].tallies))
    changes = [_changes(counted, grouping, other, kept) for other in others]
    return [
        Composition(
            rows=tuple(
                CategoryRow(
                    names[index],
                    tuple(int(tally.counts[index]) for tally in its),
                    tuple(change[scope][row] for change in changes),
                )
                for row, index in enumerate(kept[scope])
            ),
            divergence=tuple(_divergence(its[0], its[other]) for other in others),
        )
        for scope, its in enumerate(tallies)
    ]


def _changes(
    counted: Sequence[_Counted], grouping: int, other: int, kept: Sequence[Sequence[int]]
) -> list[list[Change]]:
    """The changes of the kept categories in each scope; their q-values hold for all of them together."""
    tests = [[_test(one, grouping, other, index) for index in its] for one, its in zip(counted, kept, strict=True)]
    qs = iter(false_discovery([p for its in tests for _, p in its]))
    return [
        [_change(one, grouping, other, index, *test, next(qs)) for index, test in zip(its, found, strict=True)]
        for one, its, found in zip(counted, kept, tests, strict=True)
    ]


def _change(one: _Counted, grouping: int, other: int, index: int, test: Test, p: float, q: float) -> Change:
    first, second = one.tallies[0][grouping], one.tallies[other][grouping]
    scale = one.units[0] / one.units[other]
    gain = float(second.counts[index] * scale - first.counts[index])
    resampled: Floats = second.resampled[:, index] * scale - first.resampled[:, index]
    low, high = (percentile(resampled, at) for at in INTERVAL)
    halves = (_between_halves(first, index), _between_halves(second, index) * scale)
    noise = largest(*(percentile(each, FLOOR) for each in halves))
    return Change(gain, low, high, noise, _exceeds(gain, low, high, noise), test, p, q)


def _test(counted: _Counted, grouping: int, other: int, index: int) -> tuple[Test, float]:
    first, second = (int(counted.tallies[which][grouping].counts[index]) for which in (0, other))
    pairing = counted.pairs[other - 1]
    if pairing is None:
        return "fisher", fisher(first, counted.units[0], second, counted.units[other])
    together = int(pairing.together[grouping][index])
    return "mcnemar", mcnemar(first - together, second - together)


def _exceeds(gain: float, low: float | None, high: float | None, noise: float | None) -> bool | None:
    if low is None or high is None or noise is None:
        return None
    return abs(gain) > noise and not low <= 0 <= high


def _churn(pairing: Pairing) -> Churn:
    return Churn(
        both=pairing.both,
        vanished=pairing.vanished,
        appeared=pairing.appeared,
        label=_share(pairing.changed, pairing.both, pairing.halves_changed),
        category=_share(pairing.moved, pairing.categorised, pairing.halves_moved),
        semantic=UNKNOWN if isnan(pairing.shifted) else _share(pairing.shifted, pairing.both, pairing.halves_shifted),
    )


def _share(part: float, whole: int, between_halves: Counts | Floats) -> Measured:
    if whole == 0:
        return UNKNOWN
    return measured(part / whole, *(between_halves / whole))


def _between_halves(tally: Tally, index: int) -> Floats:
    differences: Floats = np.abs(tally.halves[:, 0, index] - tally.halves[:, 1, index]).astype(float)
    return differences


def _divergence(first: Tally, second: Tally) -> Measured:
    value = float(divergence(first.counts, second.counts))
    between_halves = (divergence(tally.halves[:, 0], tally.halves[:, 1]) for tally in (first, second))
    return measured(None if isnan(value) else value, *between_halves)


def _labelled(layer: LayerLabels, basis: Basis) -> NDArray[np.bool_]:
    return layer.judged if basis == "significant" else layer.best >= 0


def _common(numbers: Sequence[int]) -> int:
    return numbers[0] if len(set(numbers)) == 1 else 0


def _cut(layer: LayerLabels, resamples: int, splits: int) -> LayerLabels:
    """Draws that not all networks have do not count."""
    return LayerLabels(layer.best, layer.judged, layer.resampled[:resamples], layer.halves[:splits])


def _unsampled(layer: LayerLabels) -> LayerLabels:
    """Intervals are of categories alone; single concepts are too many for them."""
    return LayerLabels(layer.best, layer.judged, layer.resampled[:0], layer.halves)


def _notes(
    basis: Basis,
    drawn: tuple[int, int],
    refused: Sequence[str | None],
    groupings: tuple[Codes, Codes, Codes],
    *,
    unknown_meanings: bool,
) -> tuple[str, ...]:
    notes = []
    if basis == "best":
        why = "; ".join(dict.fromkeys(reason for reason in refused if reason)) or "Not every unit has a p-value."
        notes.append(f"Labels are the units' best concepts, significant or not. {why}")
    if not drawn[0]:
        notes.append("No intervals, because exams were not resampled in all of the dissections.")
    if not drawn[1]:
        notes.append("No noise floors, because exams were not split into halves in all of the dissections.")
    for codes, name in zip(groupings, ("categories", "broad categories"), strict=False):
        if not codes.names:
            notes.append(f"The concept set has no {name}, so none are counted.")
    if unknown_meanings:
        notes.append(
            "No semantic churn, because the dissector's embeddings of the concepts were not kept when these "
            "dissections were stored; dissect one of the networks again and compare the new job."
        )
    return tuple(notes)


def _no_shared_layer(networks: Sequence[NetworkLabels]) -> Conflict:
    names = " / ".join(", ".join(list(network.layers)[:3]) for network in networks)
    return Conflict(
        "The dissections have no layer in common.",
        field="layers",
        value=names,
        remedy="Dissect layers that all of the networks have.",
    )
