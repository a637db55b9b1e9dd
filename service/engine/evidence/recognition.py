"""How well scores tell images with a finding from images without: AUROC with an interval, and retrieval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Recognition:
    """Area under the ROC curve with its 95 % interval, and how many images have the finding and how many do not."""

    auroc: float
    low: float
    high: float
    positives: int
    negatives: int


def recognise(scores: NDArray[np.float32], labels: NDArray[np.bool_], groups: Sequence[object]) -> Recognition | None:
    """AUROC of scores [N] for labels [N]; the interval allows for images of one group (patient) being alike.

    Obuchowski, "Nonparametric analysis of clustered ROC curve data" (Biometrics 53, 1997), section 2: DeLong's
    structural components summed within each group. None where fewer than two groups have an image of either kind.
    """
    group_names = np.asarray([str(group_of_image) for group_of_image in groups])
    _, group = np.unique(group_names, return_inverse=True)
    with_it, without = scores[labels], scores[~labels]
    group_with, group_without = group[labels], group[~labels]
    if min(len(np.unique(group_with)), len(np.unique(group_without))) < 2:
        return None

    beaten = share_below(with_it, without)
    beating = 1 - share_below(without, with_it)
    area = float(beaten.mean())

    groups_count = int(group.max()) + 1
    spread_with = _group_sums(beaten - area, group_with, groups_count)
    spread_without = _group_sums(beating - area, group_without, groups_count)

    m, n = len(with_it), len(without)
    kinds_with, kinds_without = len(np.unique(group_with)), len(np.unique(group_without))
    variance = float(
        kinds_with / (kinds_with - 1) * np.square(spread_with).sum() / m**2
        + kinds_without / (kinds_without - 1) * np.square(spread_without).sum() / n**2
        + 2 * groups_count / (groups_count - 1) * (spread_with * spread_without).sum() / (m * n)
    )

    half = _Z_95 * max(variance, 0.0) ** 0.5
    return Recognition(area, max(area - half, 0.0), min(area + half, 1.0), m, n)


def share_below(values: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each value the share of `others` below it, ties counted half."""
    ordered = np.sort(others)
    left = np.searchsorted(ordered, values, "left")
    right = np.searchsorted(ordered, values, "right")
    return np.asarray((left + right) / (2 * len(ordered)), np.float64)


def _group_sums(values: NDArray[np.float64], group: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(group, weights=values, minlength=count), np.float64)


def retrieval(image_embeddings: Tensor, text_embeddings: Tensor, matches: Tensor) -> dict[str, float]:
    """Recall at 1, 5 and 10 and median rank of the best match, from image to text and from text to image.

    image_embeddings [N, D], text_embeddings [T, D], both of unit length; matches [N, T] bool: the text belongs to the
    image (equal texts are one text, so an image may share its text with others). Rank 1 is best; ties count against.
    """
    scores = image_embeddings @ text_embeddings.T
    directions = (("image_to_text", scores, matches), ("text_to_image", scores.T, matches.T))

    figures: dict[str, float] = {}
    for direction, table, right in directions:
        best = table.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
        ranks = 1 + ((table >= best) & ~right).sum(1)
        for k in (1, 5, 10):
            figures[f"{direction}_recall_at_{k}"] = round(float((ranks <= k).float().mean()), 4)
        figures[f"{direction}_median_rank"] = float(ranks.float().median())

    return figures
