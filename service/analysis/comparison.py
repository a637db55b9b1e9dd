"""Dissections side by side: what networks gained and lost against the first one, beside what the exams alone would do.

Differences of counts are judged by resampling the exams: `service.analysis.differences`. Resample b drew the same
exams in every dissection, so that differences are taken within each resample. On different parts of a probe set it
drew other exams in each, and the resamples are independent. What cannot be negative has a noise floor: the same
statistic between two resamples within one network. Halves of the exams say beside it how well a figure reproduces.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import isnan
from operator import add

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import LayerLabels, NetworkLabels
from service.analysis.compositions import GroupedScope, compositions
from service.analysis.differences import LEAST_RESAMPLES
from service.analysis.meanings import Meanings
from service.analysis.noise import Counts, Floats, measured
from service.analysis.tallies import Codes, Groupings, Mask, Pairing, Tallies, Tally
from service.domain.comparisons import UNKNOWN, Basis, Churn, Comparison, Composition, Measured, Scope
from service.domain.concepts import ConceptSet
from service.errors import Conflict


@dataclass(frozen=True)
class _ScopeCounts:
    """Counts of one layer, or of several together, in every network; the first is the reference."""

    units: tuple[int, ...]
    """Of each network."""
    labelled: tuple[int, ...]
    """Of each network: how many of its units have a label."""
    tallies: tuple[Tallies, ...]
    """Of each network."""
    pairings: tuple[Pairing | None, ...]
    """Of each network but the reference, with the reference; None unless units are paired."""

    def __add__(self, other: "_ScopeCounts") -> "_ScopeCounts":
        pairings = (
            None if pairing is None or added is None else pairing + added
            for pairing, added in zip(self.pairings, other.pairings, strict=True)
        )
        return _ScopeCounts(
            units=tuple(map(add, self.units, other.units)),
            labelled=tuple(map(add, self.labelled, other.labelled)),
            tallies=tuple(map(add, self.tallies, other.tallies)),
            pairings=tuple(pairings),
        )

    def by_category(self, *, same_exams: bool) -> GroupedScope:
        """The same in categories."""
        return GroupedScope(
            units=self.units,
            tallies=tuple(network.category for network in self.tallies),
            paired=tuple(None if pairing is None else pairing.by_category for pairing in self.pairings),
            same_exams=same_exams,
        )

    def by_broad_category(self, *, same_exams: bool) -> GroupedScope:
        """The same in broad categories."""
        return GroupedScope(
            units=self.units,
            tallies=tuple(network.broad_category for network in self.tallies),
            paired=tuple(None if pairing is None else pairing.by_broad_category for pairing in self.pairings),
            same_exams=same_exams,
        )

    def by_concept(self, *, same_exams: bool) -> GroupedScope:
        """The same in single concepts."""
        return GroupedScope(
            units=self.units,
            tallies=tuple(network.concept for network in self.tallies),
            paired=tuple(None if pairing is None else pairing.by_concept for pairing in self.pairings),
            same_exams=same_exams,
        )


def compare(
    networks: Sequence[NetworkLabels],
    architectures: Sequence[str | None],
    concept_set: ConceptSet,
    *,
    not_tested_reasons: Sequence[str | None],
    concept_embeddings: NDArray[np.float32] | None,
    parts: Sequence[str | None] | None = None,
) -> Comparison:
    """Compare two dissections or more, which `check_comparable` has found to be alike.

    architectures: of each network; units are paired only within one that is known.
    not_tested_reasons: of each network, the reason where nothing was inferred.
    concept_embeddings: as the dissector has them, float32 [C, D]; None where they were not kept.
    parts: of each dissection by which values its images were chosen, where they used different parts of one probe set.
    Their exams are then drawn independently of each other.
    Raises Conflict where no layer is in all of them.
    """
    shared_layers = [layer for layer in networks[0].layers if all(layer in network.layers for network in networks)]
    if not shared_layers:
        raise _no_shared_layer(networks)

    basis: Basis = "significant" if all(network.inferred for network in networks) else "best"
    resamples = _common([network.resamples for network in networks])
    splits = _common([network.splits for network in networks])

    groupings = _groupings(networks, concept_set)
    meanings = None if concept_embeddings is None else Meanings(concept_embeddings)
    reference, *others = architectures
    same_architecture = [architecture is not None and architecture == reference for architecture in others]
    same_exams = parts is None

    counts_of_layers = []
    for name in shared_layers:
        layers = [network.layers[name].cut(resamples=resamples, splits=splits) for network in networks]
        counts_of_layers.append(_count(layers, same_architecture, groupings, basis, meanings))
    counts_of_network = reduce(add, counts_of_layers)

    meanings_missing = meanings is None and any(counts_of_network.pairings)
    notes = (
        *_notes_on_parts(parts),
        *_notes_on_labels(basis, not_tested_reasons),
        *_notes_on_exams(resamples, splits),
        *_notes_on_concepts(groupings, meanings_missing=meanings_missing),
    )

    unshared = []
    for network in networks:
        unshared.append(tuple(name for name in network.layers if name not in shared_layers))

    return Comparison(
        basis=basis,
        resamples=resamples,
        halves=splits,
        network=_scopes([None], [counts_of_network], groupings, same_exams=same_exams)[0],
        layers=_scopes(shared_layers, counts_of_layers, groupings, same_exams=same_exams),
        unshared=tuple(unshared),
        notes=notes,
        by_concept=_by_concept(counts_of_network, groupings, same_exams=same_exams),
        judged_by="resamples" if resamples >= LEAST_RESAMPLES else "halves",
    )


def _groupings(networks: Sequence[NetworkLabels], concept_set: ConceptSet) -> Groupings:
    """Single concepts are compared only where any of the networks has them as a label."""
    labels: set[str] = set()
    for network in networks:
        labels.update(concept_set.concepts[index].text for index in network.concepts)

    return Groupings(
        category=Codes.group(concept_set, lambda concept: concept.category),
        broad_category=Codes.group(concept_set, lambda concept: concept.broad_category),
        concept=Codes.group(concept_set, lambda concept: concept.text if concept.text in labels else None),
    )


def _count(
    layers: Sequence[LayerLabels],
    same_architecture: Sequence[bool],
    groupings: Groupings,
    basis: Basis,
    meanings: Meanings | None,
) -> _ScopeCounts:
    """layers: one layer of every network. same_architecture: as the reference, for each network but that."""
    labelled = [_labelled(layer, basis) for layer in layers]
    tallies = [Tallies.of(layer, mask, groupings) for layer, mask in zip(layers, labelled, strict=True)]

    reference, *others = layers
    reference_labelled, *others_labelled = labelled
    pairings: list[Pairing | None] = []
    for other, other_labelled, alike in zip(others, others_labelled, same_architecture, strict=True):
        if alike and len(other.best) == len(reference.best):
            pairing = Pairing.of(reference, other, reference_labelled, other_labelled, groupings, meanings)
            pairings.append(pairing)
        else:
            pairings.append(None)

    return _ScopeCounts(
        units=tuple(len(layer.best) for layer in layers),
        labelled=tuple(int(mask.sum()) for mask in labelled),
        tallies=tuple(tallies),
        pairings=tuple(pairings),
    )


def _by_concept(counts: _ScopeCounts, groupings: Groupings, *, same_exams: bool) -> Composition:
    """Neurons by single concept."""
    return compositions([counts.by_concept(same_exams=same_exams)], groupings.concept.group_names)[0]


def _scopes(
    layers: Sequence[str | None], counts: Sequence[_ScopeCounts], groupings: Groupings, *, same_exams: bool
) -> tuple[Scope, ...]:
    """The scopes of one false-discovery control."""
    by_category = [scope.by_category(same_exams=same_exams) for scope in counts]
    by_broad_category = [scope.by_broad_category(same_exams=same_exams) for scope in counts]
    categories = compositions(by_category, groupings.category.group_names)
    broad_categories = compositions(by_broad_category, groupings.broad_category.group_names)

    scopes = []
    for place, (layer, scope) in enumerate(zip(layers, counts, strict=True)):
        concept_tallies = [network.concept for network in scope.tallies]
        scopes.append(
            Scope(
                layer=layer,
                units=scope.units,
                labelled=scope.labelled,
                categories=categories[place],
                broad_categories=broad_categories[place],
                only=_only_there(concept_tallies, groupings.concept.group_names),
                concepts=_differing_concepts(concept_tallies),
                churn=tuple(None if pairing is None else _churn(pairing) for pairing in scope.pairings),
            )
        )
    return tuple(scopes)


def _only_there(tallies: Sequence[Tally], concepts: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Of each network: the concepts that it alone has."""
    present = np.stack([tally.counts > 0 for tally in tallies])
    present_once = present & (present.sum(axis=0) == 1)

    concepts_of_networks = []
    for network in present_once:
        indices = np.flatnonzero(network).tolist()
        concepts_of_networks.append(tuple(concepts[index] for index in indices))
    return tuple(concepts_of_networks)


def _differing_concepts(tallies: Sequence[Tally]) -> tuple[Measured, ...]:
    """Of each network but the reference: how many concepts either it or the reference has alone."""
    between_resamples = [_differing_within(tally.redrawn) for tally in tallies]
    between_halves = [_differing_within(tally.halves) for tally in tallies]

    differences = []
    for other in range(1, len(tallies)):
        differing = (tallies[0].counts > 0) ^ (tallies[other].counts > 0)
        differences.append(
            measured(
                float(differing.sum()),
                redrawn=[between_resamples[0], between_resamples[other]],
                halves=[between_halves[0], between_halves[other]],
            )
        )
    return tuple(differences)


def _differing_within(pairs: Counts) -> Floats:
    """How many concepts one draw of the exams has alone, in each of P pairs of draws: [P, 2, K] -> [P]."""
    present = pairs > 0
    differing: Floats = (present[:, 0] ^ present[:, 1]).sum(axis=-1).astype(float)
    return differing


def _churn(pairing: Pairing) -> Churn:
    labelled = pairing.labelled_in_both
    categorised = pairing.categorised_in_both
    redrawn, halves = pairing.redrawn, pairing.halves
    semantic = UNKNOWN
    if not isnan(pairing.distance):
        semantic = _share(pairing.distance, labelled, redrawn.distance, halves.distance)

    return Churn(
        both=labelled,
        vanished=pairing.vanished,
        appeared=pairing.appeared,
        label=_share(pairing.label_changed, labelled, redrawn.label_changed, halves.label_changed),
        category=_share(pairing.category_changed, categorised, redrawn.category_changed, halves.category_changed),
        semantic=semantic,
    )


def _share(part: float, whole: int, redrawn: Counts | Floats, halves: Counts | Floats) -> Measured:
    """redrawn, halves: the same part between two draws of the exams, for both networks [2, P]."""
    if whole == 0:
        return UNKNOWN
    return measured(part / whole, redrawn=list(redrawn / whole), halves=list(halves / whole))


def _labelled(layer: LayerLabels, basis: Basis) -> Mask:
    return layer.judged if basis == "significant" else layer.best >= 0


def _common(numbers: Sequence[int]) -> int:
    """The number that all have; 0 where they differ."""
    return numbers[0] if len(set(numbers)) == 1 else 0


def _notes_on_labels(basis: Basis, not_tested_reasons: Sequence[str | None]) -> Iterator[str]:
    if basis == "significant":
        return

    reasons = dict.fromkeys(reason for reason in not_tested_reasons if reason)
    why = "; ".join(reasons) or "Not every unit has a p-value."
    yield f"Labels are the units' best concepts, significant or not. {why}"


def _notes_on_parts(parts: Sequence[str | None] | None) -> Iterator[str]:
    if parts is None:
        return

    named = "; ".join(f"{place}: {part or 'all images'}" for place, part in enumerate(parts, start=1))
    yield (
        f"The dissections used different parts of one probe set ({named}), so nothing is paired by exams: intervals "
        "come from resamples that were drawn in each part by itself, and what differs may be due to the images as well "
        "as to the network. Exams that are in several parts make the intervals wider than need be."
    )


def _notes_on_exams(resamples: int, splits: int) -> Iterator[str]:
    if resamples < LEAST_RESAMPLES:
        yield (
            "No intervals, because exams were not resampled in all of the dissections; noise floors are of halves of "
            "the exams, and p-values of units alone."
        )
    if not splits:
        yield "How well figures reproduce is not known, for exams were not split into halves in all of the dissections."


def _notes_on_concepts(groupings: Groupings, *, meanings_missing: bool) -> Iterator[str]:
    if not groupings.category.group_names:
        yield "The concept set has no categories, so none are counted."
    if not groupings.broad_category.group_names:
        yield "The concept set has no broad categories, so none are counted."
    if meanings_missing:
        yield (
            "No semantic churn, because the dissector's embeddings of the concepts were not kept when these "
            "dissections were stored; dissect one of the networks again and compare the new job."
        )


def _no_shared_layer(networks: Sequence[NetworkLabels]) -> Conflict:
    first_layers = [", ".join(list(network.layers)[:3]) for network in networks]
    return Conflict(
        "The dissections have no layer in common.",
        field="layers",
        value=" / ".join(first_layers),
        remedy="Dissect layers that all of the networks have.",
    )
