"""Counts of one layer that add up to those of a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import NONE, Indices, LayerLabels, in_pairs
from service.analysis.meanings import Meanings
from service.analysis.noise import Counts, Floats, count_codes, with_code
from service.domain.concepts import Concept, ConceptSet
from service.domain.sums import Summed

_UNITS_AT_ONCE = 256

Mask = NDArray[np.bool_]
"""Which units of a layer are meant [U]."""


@dataclass(frozen=True)
class Codes:
    """A grouping of C concepts into K groups."""

    group_names: tuple[str, ...]
    of_concept: Indices
    """The group of each concept [C]; NONE for a concept without one."""

    @classmethod
    def group(cls, concept_set: ConceptSet, name_of: Callable[[Concept], str | None]) -> "Codes":
        """Groups in the order in which the concept set names them first."""
        names_of_concepts = [name_of(concept) for concept in concept_set.concepts]
        group_names = tuple(dict.fromkeys(name for name in names_of_concepts if name is not None))

        code = {name: index for index, name in enumerate(group_names)}
        of_concept = [NONE if name is None else code[name] for name in names_of_concepts]
        return cls(group_names, np.array(of_concept, np.int16))


@dataclass(frozen=True)
class Groupings:
    """The ways in which concepts are grouped."""

    category: Codes
    broad_category: Codes
    concept: Codes
    """Each concept that is compared is a group of its own."""


@dataclass(frozen=True)
class Tally(Summed):
    """Labelled units in each of K groups."""

    counts: Counts
    """As they are [K]."""
    resampled: Counts
    """In each resample [B, K]."""
    halves: Counts
    """In both halves of each split [S, 2, K]."""

    @property
    def redrawn(self) -> Counts:
        """The resamples two by two, as if exams had been drawn twice [B // 2, 2, K]."""
        return in_pairs(self.resampled)

    @classmethod
    def of(cls, layer: LayerLabels, labelled: Mask, codes: Codes) -> "Tally":
        """Only labelled units [U] count, in the resamples too: what is resampled is the label, not its significance."""

        def count(labels: Indices) -> Counts:
            counted_labels = np.where(labelled, labels, np.int16(NONE))
            return count_codes(counted_labels, codes.of_concept, len(codes.group_names))

        return cls(counts=count(layer.best), resampled=count(layer.resampled), halves=count(layer.halves))


@dataclass(frozen=True)
class Tallies(Summed):
    """Labelled units in each grouping of the concepts."""

    category: Tally
    broad_category: Tally
    concept: Tally

    @classmethod
    def of(cls, layer: LayerLabels, labelled: Mask, groupings: Groupings) -> "Tallies":
        """Only labelled units [U] count."""
        return cls(
            category=Tally.of(layer, labelled, groupings.category),
            broad_category=Tally.of(layer, labelled, groupings.broad_category),
            concept=Tally.of(layer, labelled, groupings.concept),
        )


@dataclass(frozen=True)
class Churned(Summed):
    """What becomes of labels within each of two networks where exams are drawn twice, for each of P pairs of draws."""

    label_changed: Counts
    """Units whose label differs between the draws [2, P]."""
    category_changed: Counts
    """Units whose category differs [2, P]."""
    distance: Floats
    """Sum of the distances in meaning [2, P]."""

    @classmethod
    def of(
        cls,
        networks: Sequence[Indices],
        labelled: Mask,
        categorised: Mask,
        category_of_concept: Indices,
        meanings: Meanings | None,
    ) -> "Churned":
        """networks: of both the labels in the one and the other draw of each pair [P, 2, U].

        labelled, categorised: the units that count for labels and for categories [U].
        """
        categories = [with_code(labels, category_of_concept) for labels in networks]
        return cls(
            label_changed=np.stack([_differing(labels, labelled) for labels in networks]),
            category_changed=np.stack([_differing(labels, categorised) for labels in categories]),
            distance=np.stack([_distances(meanings, labels[:, 0], labels[:, 1], labelled) for labels in networks]),
        )


@dataclass(frozen=True)
class PairedUnits(Summed):
    """Where the units of one layer stand in two networks of one architecture, in each of K groups."""

    same: Counts
    """Units that are in the group in both networks [K]."""
    moved: Floats
    """Sum over units of the squared difference of two shares: of the resamples in which the unit is in the group, in
    the one network and in the other [K]. 0 where nothing was resampled."""

    @classmethod
    def of(cls, layers: tuple[LayerLabels, LayerLabels], labelled: tuple[Mask, Mask], codes: Codes) -> "PairedUnits":
        """labelled: which units have a label in the one and in the other network."""
        first, second = layers
        groups = len(codes.group_names)
        moved = np.zeros(groups)
        resamples = len(first.resampled)

        for start in range(0, len(first.best) if resamples else 0, _UNITS_AT_ONCE):
            block = slice(start, start + _UNITS_AT_ONCE)
            counts = []
            for layer, mask in zip(layers, labelled, strict=True):
                labels = np.where(mask[block], layer.resampled[:, block], np.int16(NONE))
                counts.append(count_codes(np.ascontiguousarray(labels.T), codes.of_concept, groups))
            shares = (counts[1] - counts[0]) / resamples
            moved += (shares**2).sum(axis=0)

        return cls(same=_same_group(first, second, labelled[0] & labelled[1], codes), moved=moved)


@dataclass(frozen=True)
class Pairing(Summed):
    """Units of one layer in two networks of one architecture: what became of their labels."""

    labelled_in_both: int
    vanished: int
    """Units labelled in the first network alone."""
    appeared: int
    """Units labelled in the second network alone."""
    by_category: PairedUnits
    by_broad_category: PairedUnits
    by_concept: PairedUnits
    label_changed: int
    """Of the units labelled in both: those whose label differs."""
    categorised_in_both: int
    """Of the units labelled in both: those with a category in both."""
    category_changed: int
    """Of the units categorised in both: those whose category differs."""
    distance: float
    """Sum over the units labelled in both of the distances in meaning; NaN where nobody knows the meanings."""
    halves: Churned
    """The same between the halves of each split."""
    redrawn: Churned
    """The same between the two resamples of each pair."""

    @classmethod
    def of(
        cls,
        first: LayerLabels,
        second: LayerLabels,
        first_labelled: Mask,
        second_labelled: Mask,
        groupings: Groupings,
        meanings: Meanings | None,
    ) -> "Pairing":
        """first_labelled, second_labelled: which units have a label in the one and in the other network."""
        labelled = first_labelled & second_labelled

        category_of_concept = groupings.category.of_concept
        first_category = with_code(first.best, category_of_concept)
        second_category = with_code(second.best, category_of_concept)
        categorised = labelled & (first_category != NONE) & (second_category != NONE)

        def paired(codes: Codes) -> PairedUnits:
            return PairedUnits.of((first, second), (first_labelled, second_labelled), codes)

        def churned(*pairs_of_networks: Indices) -> Churned:
            """pairs_of_networks: the labels in both draws of each of P pairs, of both networks [P, 2, U]."""
            return Churned.of(pairs_of_networks, labelled, categorised, category_of_concept, meanings)

        return cls(
            labelled_in_both=int(labelled.sum()),
            vanished=int((first_labelled & ~labelled).sum()),
            appeared=int((second_labelled & ~labelled).sum()),
            by_category=paired(groupings.category),
            by_broad_category=paired(groupings.broad_category),
            by_concept=paired(groupings.concept),
            label_changed=int((first.best != second.best)[labelled].sum()),
            categorised_in_both=int(categorised.sum()),
            category_changed=int((first_category != second_category)[categorised].sum()),
            distance=float(_distances(meanings, first.best, second.best, labelled)),
            halves=churned(first.halves, second.halves),
            redrawn=churned(first.redrawn, second.redrawn),
        )


def _same_group(first: LayerLabels, second: LayerLabels, labelled: Mask, codes: Codes) -> Counts:
    """Of the units labelled in both networks, those in each group in both [K]."""
    first_group = with_code(first.best, codes.of_concept)
    second_group = with_code(second.best, codes.of_concept)

    same = labelled & (first_group == second_group) & (first_group != NONE)
    return np.bincount(first_group[same], minlength=len(codes.group_names)).astype(np.int32)


def _differing(pairs: Indices, among: Mask) -> Counts:
    """Units whose label differs between the two draws of a pair [P, 2, U] -> [P]."""
    differing: Counts = (pairs[:, 0] != pairs[:, 1])[:, among].sum(axis=-1)
    return differing


def _distances(meanings: Meanings | None, first: Indices, second: Indices, among: Mask) -> Floats:
    """Sum over units [..., U] -> [...]."""
    if meanings is None:
        return np.full(first.shape[:-1], np.nan)

    distances: Floats = meanings.distances(first[..., among], second[..., among]).sum(axis=-1)
    return distances
