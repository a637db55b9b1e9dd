"""Counts of one layer that add up to those of a network."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import NONE, Indices, LayerLabels
from service.analysis.meanings import Meanings
from service.analysis.noise import Counts, Floats, count_codes, with_code
from service.domain.concepts import Concept, ConceptSet


@dataclass(frozen=True)
class Codes:
    """A grouping of the concepts: names of its K groups, and the group of each concept [C], NONE without one."""

    names: tuple[str, ...]
    of_concept: Indices

    @classmethod
    def group(cls, concept_set: ConceptSet, name_of: Callable[[Concept], str | None]) -> "Codes":
        """Groups in the order in which the concept set names them first."""
        named = [name_of(concept) for concept in concept_set.concepts]
        names = tuple(dict.fromkeys(name for name in named if name is not None))
        code = {name: index for index, name in enumerate(names)}
        return cls(names, np.array([NONE if name is None else code[name] for name in named], np.int16))


@dataclass(frozen=True)
class Tally:
    """Labelled units by group: as they are [K], in each resample [B, K], in both halves of each split [S, 2, K]."""

    counts: Counts
    resampled: Counts
    halves: Counts

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.counts + other.counts, self.resampled + other.resampled, self.halves + other.halves)

    @classmethod
    def of(cls, layer: LayerLabels, labelled: NDArray[np.bool_], codes: Codes) -> "Tally":
        """Only labelled units [U] count, in the resamples too: what is resampled is the label, not its significance."""
        return cls(
            *(
                count_codes(np.where(labelled, labels, np.int16(NONE)), codes.of_concept, len(codes.names))
                for labels in (layer.best, layer.resampled, layer.halves)
            )
        )


@dataclass(frozen=True)
class Pairing:
    """Units of one layer in two networks of one architecture.

    both: labelled in both networks; vanished, appeared: in the first or in the second alone. together [K]: in one
    category in both. changed: of both, those whose label differs. categorised: of both, those with a category in both;
    moved: of these, those whose category differs. shifted: of both, the sum of the distances in meaning between the
    labels; NaN where nobody knows their meanings. halves_changed, halves_moved, halves_shifted [2, S]: the same between
    the halves of each split, within each network.
    """

    both: int
    vanished: int
    appeared: int
    together: tuple[Counts, ...]
    changed: int
    categorised: int
    moved: int
    shifted: float
    halves_changed: Counts
    halves_moved: Counts
    halves_shifted: Floats

    def __add__(self, other: "Pairing") -> "Pairing":
        return Pairing(
            self.both + other.both,
            self.vanished + other.vanished,
            self.appeared + other.appeared,
            tuple(ours + theirs for ours, theirs in zip(self.together, other.together, strict=True)),
            self.changed + other.changed,
            self.categorised + other.categorised,
            self.moved + other.moved,
            self.shifted + other.shifted,
            self.halves_changed + other.halves_changed,
            self.halves_moved + other.halves_moved,
            self.halves_shifted + other.halves_shifted,
        )

    @classmethod
    def of(
        cls,
        first: LayerLabels,
        second: LayerLabels,
        labelled: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        groupings: tuple[Codes, ...],
        meanings: Meanings | None,
    ) -> "Pairing":
        """labelled: which units have a label, in each. The first of the groupings is that of categories."""
        both = labelled[0] & labelled[1]
        codes = groupings[0].of_concept
        ours, theirs = with_code(first.best, codes), with_code(second.best, codes)
        categorised = both & (ours != NONE) & (theirs != NONE)
        return cls(
            both=int(both.sum()),
            vanished=int((labelled[0] & ~both).sum()),
            appeared=int((labelled[1] & ~both).sum()),
            together=tuple(_together(first, second, both, grouping) for grouping in groupings),
            changed=int((first.best != second.best)[both].sum()),
            categorised=int(categorised.sum()),
            moved=int((ours != theirs)[categorised].sum()),
            shifted=float(_distances(meanings, first.best, second.best, both)),
            halves_changed=np.stack([_differing(one.halves, both) for one in (first, second)]),
            halves_moved=np.stack([_differing(with_code(one.halves, codes), categorised) for one in (first, second)]),
            halves_shifted=np.stack(
                [_distances(meanings, one.halves[:, 0], one.halves[:, 1], both) for one in (first, second)]
            ),
        )


def _together(first: LayerLabels, second: LayerLabels, both: NDArray[np.bool_], codes: Codes) -> Counts:
    ours, theirs = with_code(first.best, codes.of_concept), with_code(second.best, codes.of_concept)
    same = both & (ours == theirs) & (ours != NONE)
    return np.bincount(ours[same], minlength=len(codes.names)).astype(np.int32)


def _differing(halves: Indices, among: NDArray[np.bool_]) -> Counts:
    differing: Counts = (halves[:, 0] != halves[:, 1])[:, among].sum(axis=-1)
    return differing


def _distances(meanings: Meanings | None, first: Indices, second: Indices, among: NDArray[np.bool_]) -> Floats:
    """Sum over units [..., U] -> [...]."""
    if meanings is None:
        return np.full(first.shape[:-1], np.nan)
    distances: Floats = meanings.distances(first[..., among], second[..., among]).sum(axis=-1)
    return distances
