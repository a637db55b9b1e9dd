"""Which images belong together, and what follows from it: exams are resampled and split whole.

An exam is here whatever `service.domain.groups` finds to belong together: all images of a patient where one is named.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.domain.evidence import DrawnUnit
from service.domain.groups import ImageGroups


@dataclass(frozen=True, slots=True)
class Exams:
    """Which images belong together."""

    of_image: Tensor
    """int64 [N], the exam of each image, counted from 0 in order of appearance."""

    count: int

    unit: DrawnUnit
    """What the exams are; `image` where the manifest knows neither patients nor exams, and nothing else was chosen."""

    @classmethod
    def of(cls, groups: ImageGroups) -> "Exams":
        """The groups as they are drawn."""
        return cls(torch.tensor(groups.of_item, dtype=torch.int64), groups.count, groups.unit)


def resample(exams: Exams, count: int, seed: int) -> Tensor:
    """How often each exam occurs in each of `count` bootstrap resamples of the exams: int64 [count, exams]."""
    random = np.random.default_rng(seed)
    equally_likely = np.full(exams.count, 1 / exams.count)
    return torch.from_numpy(random.multinomial(exams.count, equally_likely, size=count))


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
