"""What is drawn and resampled: whole exams, because the images of one exam are alike.

Drawing images one by one would call units significant that respond to a patient: four views of one breast carry the
same findings, so a random unit that likes one of them likes all, and its top images agree by more than chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.evidence import Unit
from service.domain.probes import ProbeItem

_MOST_IMAGES = 20_000
_GROUPS = 8


@dataclass(frozen=True, slots=True)
class Exams:
    """Which images belong together. of_image: int64 [N], the exam of each image, counted from 0 in order of appearance.

    unit: `image` where the manifest knows no exams; then each image (with all its patches) counts as one.
    """

    of_image: Tensor
    count: int
    unit: Unit


def exams_of(items: Sequence[ProbeItem]) -> Exams:
    """The exams of probe items; an item without an exam is one with the other patches of its image alone."""
    known = any(item.exam_id is not None for item in items)
    numbers: dict[tuple[str, str], int] = {}
    keys = [("exam", item.exam_id) if item.exam_id is not None else ("image", str(item.path)) for item in items]
    of_image = [numbers.setdefault(key, len(numbers)) for key in keys]
    return Exams(torch.tensor(of_image, dtype=torch.int64), len(numbers), "exam" if known else "image")


@dataclass(frozen=True, slots=True)
class NullSets:
    """Random image sets for units whose top images lie in exams in a like manner.

    units: int64 [u], positions among the units given. sets: int64 [S, K], images.
    """

    units: Tensor
    sets: Tensor


def draw_null_sets(exams: Exams, top: Tensor, draws: int, seed: int) -> list[NullSets]:
    """Sets of images as units would have them that know nothing of the concepts: the exams are exchanged at random.

    top: int64 [U, K], each unit's most activating images. A set is a unit's own, with another exam in place of each of
    its exams and other images of that one in place of its images: as many of one exam, at the same ranks. That is a
    permutation of whole exams, under which a unit that knows nothing is distributed alike, whether it looks at single
    images or sees patients. Units are taken together by how many exams they have, in at most eight groups of `draws`
    sets. From probe sets of more than 20,000 images, random exams of that many and the largest are used.
    """
    random = np.random.default_rng(seed)
    patterns, multiplicity = _patterns(exams.of_image[top].numpy())
    distinct = (multiplicity > 0).sum(axis=1)
    width = max(1.0, (top.shape[1] - distinct.min() + 1) / _GROUPS)
    group = ((distinct - distinct.min()) / width).astype(np.int64)
    tables = _tables(exams, random, top.shape[1])
    found = []
    for number in np.unique(group):
        units = np.flatnonzero(group == number)
        sets = np.empty((draws, top.shape[1]), np.int64)
        _compiled_draw()(random, patterns[units], multiplicity[units], *tables, sets)
        found.append(NullSets(torch.from_numpy(units), torch.from_numpy(sets)))
    return found


def _patterns(exam: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For exams [U, K]: the number of each within its unit, commonest first; and how often it occurs. Both [U, K]."""
    numbers, counts = np.zeros_like(exam), np.zeros_like(exam)
    for unit, row in enumerate(exam):
        _, inverse, occurs = np.unique(row, return_inverse=True, return_counts=True)
        order = np.argsort(-occurs, kind="stable")
        numbers[unit] = np.argsort(order, kind="stable")[inverse]
        counts[unit, : len(order)] = occurs[order]
    return numbers, counts


def _tables(
    exams: Exams, random: np.random.Generator, k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The exams to draw from, largest first: their images, where each one's begin, its size; how many have >= r."""
    of_image = exams.of_image.numpy()
    members = np.argsort(of_image, kind="stable")
    all_sizes = np.bincount(of_image, minlength=exams.count)
    largest_first = np.argsort(-all_sizes, kind="stable")
    shuffled = random.permutation(exams.count)
    enough = int(np.searchsorted(np.cumsum(all_sizes[shuffled]), _MOST_IMAGES)) + 1
    taken = np.isin(largest_first, np.concatenate([shuffled[:enough], largest_first[:k]]))
    chosen = largest_first[taken]
    starts, sizes = (np.cumsum(all_sizes) - all_sizes)[chosen], all_sizes[chosen]
    of_size = np.searchsorted(-sizes, -np.arange(k + 1), side="right")
    return members, starts, sizes, of_size


def resample(exams: Exams, count: int, seed: int) -> Tensor:
    """How often each exam occurs in each of `count` bootstrap resamples of the exams: int64 [count, exams]."""
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.multinomial(exams.count, np.full(exams.count, 1 / exams.count), size=count))


def split_in_halves(exams: Exams, count: int, seed: int) -> Tensor:
    """Random splits of the exams: bool [count, exams], True for the second half, which is never the larger one."""
    random = np.random.default_rng(seed)
    order = np.argsort(random.random((count, exams.count)), axis=1)
    return torch.from_numpy(order < exams.count // 2)


def sets_of_resample(top: Tensor, rows: Tensor, occurrences: Tensor, k: int) -> Tensor:
    """Each unit's k most activating images of a resample, as the numbers in `rows`, [U, k].

    top: int64 [U, n], each unit's most activating images, n >= k where possible. rows: [U, n], what stands for them.
    occurrences: int64 [N], how often each image occurs. A unit whose n images occur fewer than k times has its last
    one repeated; one of whose images none occurs keeps its last.
    """
    filled = occurrences[top].cumsum(dim=1)
    places = torch.arange(1, k + 1).expand(len(top), k).contiguous()
    last = torch.searchsorted(filled, filled[:, -1:].clamp_min(1))
    chosen = torch.minimum(torch.searchsorted(filled, places), last).clamp_max(top.shape[1] - 1)
    return rows.gather(1, chosen.to(rows.device))


@cache
def _compiled_draw() -> Callable[..., None]:
    import numba

    def draw(
        random: Any,
        patterns: Any,
        multiplicity: Any,
        members: Any,
        starts: Any,
        sizes: Any,
        of_size: Any,
        sets: Any,
    ) -> None:
        taken = np.full(len(starts), -1, np.int64)
        exam, used = np.empty(sets.shape[1], np.int64), np.empty(sets.shape[1], np.int64)
        for s in range(sets.shape[0]):
            unit = random.integers(0, len(patterns))
            # Commonest first: there are always enough exams of that size, for the unit itself had them.
            for number in range(sets.shape[1]):
                images = multiplicity[unit, number]
                if images == 0:
                    break
                other = random.integers(0, of_size[images])
                while taken[other] == s:
                    other = random.integers(0, of_size[images])
                taken[other], exam[number], used[number] = s, other, 0
            for rank in range(sets.shape[1]):
                number = patterns[unit, rank]
                first, size = starts[exam[number]], sizes[exam[number]]
                here, there = first + used[number], first + random.integers(used[number], size)
                members[here], members[there] = members[there], members[here]
                sets[s, rank] = members[here]
                used[number] += 1

    compiled: Callable[..., None] = numba.njit(draw)
    return compiled
