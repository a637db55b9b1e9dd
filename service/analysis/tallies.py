"""Counts of one layer that add up to those of a network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import NONE, Indices, LayerLabels
from service.analysis.meanings import Meanings
from service.analysis.noise import Counts, Floats, count_codes, with_code
from service.domain.concepts import Concept, ConceptSet

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
class Tally:
    """Labelled units in each of K groups."""

    counts: Counts
    """As they are [K]."""
    resampled: Counts
    """In each resample [B, K]."""
    halves: Counts
    """In both halves of each split [S, 2, K]."""

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            counts=self.counts + other.counts,
            resampled=self.resampled + other.resampled,
            halves=self.halves + other.halves,
        )

    @classmethod
    def of(cls, layer: LayerLabels, labelled: Mask, codes: Codes) -> "Tally":
        """Only labelled units [U] count, in the resamples too: what is resampled is the label, not its significance."""

        def count(labels: Indices) -> Counts:
            counted_labels = np.where(labelled, labels, np.int16(NONE))
            return count_codes(counted_labels, codes.of_concept, len(codes.group_names))

        return cls(counts=count(layer.best), resampled=count(layer.resampled), halves=count(layer.halves))


@dataclass(frozen=True)
class Tallies:
    """Labelled units in each grouping of the concepts."""

    category: Tally
    broad_category: Tally
    concept: Tally
    """Without resamples: intervals are of categories alone, for single concepts are too many."""

    def __add__(self, other: "Tallies") -> "Tallies":
        return Tallies(
            category=self.category + other.category,
            broad_category=self.broad_category + other.broad_category,
            concept=self.concept + other.concept,
        )

    @classmethod
    def of(cls, layer: LayerLabels, labelled: Mask, groupings: Groupings) -> "Tallies":
        """Only labelled units [U] count."""
        unsampled = layer.cut(resamples=0, splits=len(layer.halves))
        return cls(
            category=Tally.of(layer, labelled, groupings.category),
            broad_category=Tally.of(layer, labelled, groupings.broad_category),
            concept=Tally.of(unsampled, labelled, groupings.concept),
        )


@dataclass(frozen=True)
class Pairing:
    """Units of one layer in two networks of one architecture: what became of their labels."""

    labelled_in_both: int
    vanished: int
    """Units labelled in the first network alone."""
    appeared: int
    """Units labelled in the second network alone."""
    same_category: Counts
    """Units that are in this category in both networks [K]."""
    same_broad_category: Counts
    """Units that are in this broad category in both networks [K]."""
    label_changed: int
    """Of the units labelled in both: those whose label differs."""
    categorised_in_both: int
    """Of the units labelled in both: those with a category in both."""
    category_changed: int
    """Of the units categorised in both: those whose category differs."""
    distance: float
    """Sum over the units labelled in both of the distances in meaning; NaN where nobody knows the meanings."""
    halves_label_changed: Counts
    """As `label_changed`, between the halves of each split within each network [2, S]."""
    halves_category_changed: Counts
    """As `category_changed`, between the halves of each split within each network [2, S]."""
    halves_distance: Floats
    """As `distance`, between the halves of each split within each network [2, S]."""

    def __add__(self, other: "Pairing") -> "Pairing":
        return Pairing(
            labelled_in_both=self.labelled_in_both + other.labelled_in_both,
            vanished=self.vanished + other.vanished,
            appeared=self.appeared + other.appeared,
            same_category=self.same_category + other.same_category,
            same_broad_category=self.same_broad_category + other.same_broad_category,
            label_changed=self.label_changed + other.label_changed,
            categorised_in_both=self.categorised_in_both + other.categorised_in_both,
            category_changed=self.category_changed + other.category_changed,
            distance=self.distance + other.distance,
            halves_label_changed=self.halves_label_changed + other.halves_label_changed,
            halves_category_changed=self.halves_category_changed + other.halves_category_changed,
            halves_distance=self.halves_distance + other.halves_distance,
        )

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

        halves = (first.halves, second.halves)
        halves_of_categories = [with_code(labels, category_of_concept) for labels in halves]

        return cls(
            labelled_in_both=int(labelled.sum()),
            vanished=int((first_labelled & ~labelled).sum()),
            appeared=int((second_labelled & ~labelled).sum()),
            same_category=_same_group(first, second, labelled, groupings.category),
            same_broad_category=_same_group(first, second, labelled, groupings.broad_category),
            label_changed=int((first.best != second.best)[labelled].sum()),
            categorised_in_both=int(categorised.sum()),
            category_changed=int((first_category != second_category)[categorised].sum()),
            distance=float(_distances(meanings, first.best, second.best, labelled)),
            halves_label_changed=np.stack([_differing(labels, labelled) for labels in halves]),
            halves_category_changed=np.stack([_differing(labels, categorised) for labels in halves_of_categories]),
            halves_distance=np.stack([_distances(meanings, labels[:, 0], labels[:, 1], labelled) for labels in halves]),
        )


def _same_group(first: LayerLabels, second: LayerLabels, labelled: Mask, codes: Codes) -> Counts:
    """Of the units labelled in both networks, those in each group in both [K]."""
    first_group = with_code(first.best, codes.of_concept)
    second_group = with_code(second.best, codes.of_concept)

    same = labelled & (first_group == second_group) & (first_group != NONE)
    return np.bincount(first_group[same], minlength=len(codes.group_names)).astype(np.int32)


def _differing(halves: Indices, among: Mask) -> Counts:
    """Units whose label differs between the halves [S, 2, U] -> [S]."""
    differing: Counts = (halves[:, 0] != halves[:, 1])[:, among].sum(axis=-1)
    return differing


def _distances(meanings: Meanings | None, first: Indices, second: Indices, among: Mask) -> Floats:
    """Sum over units [..., U] -> [...]."""
    if meanings is None:
        return np.full(first.shape[:-1], np.nan)

    distances: Floats = meanings.distances(first[..., among], second[..., among]).sum(axis=-1)
    return distances
