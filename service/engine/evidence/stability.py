"""How much of a label is left when the exams are drawn again.

Labels are chosen anew in every resample, prior term included, from the images that were kept of each unit; no network
sees anything twice.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from service.domain.evidence import LabelStability
from service.engine.evidence.exams import Exams, sets_of_resample
from service.engine.similarity.scorer import Scorer, best_concepts

_COVERAGE = 0.9


def labels_of_resamples(
    scorer: Scorer,
    top: Tensor,
    rows: Tensor,
    exams: Exams,
    draws: Iterable[Tensor],
    k: int,
    check_cancelled: Callable[[], None],
) -> Tensor:
    """The best concept of every unit in every resample, int64 [U, B] on the CPU.

    top: int64 [U, n], each unit's most activating images among all.
    rows: the same images as positions among the scorer's.
    draws: for each resample how often each exam occurs, int64 [exams].
    k: images that a label rests on.
    check_cancelled: called between two resamples; may raise to stop.
    """
    labels = []
    for occurrences in draws:
        check_cancelled()
        chosen = sets_of_resample(top, rows, occurrences[exams.of_image], k)
        best = best_concepts(scorer, chosen, 1, check_cancelled=check_cancelled)
        labels.append(best.indices[:, 0].cpu())
    return torch.stack(labels, dim=1) if labels else torch.empty(len(top), 0, dtype=torch.int64)


def stabilities(
    labels: Tensor, resampled: Tensor, concepts: Sequence[str], categories: Sequence[str | None]
) -> list[LabelStability]:
    """Of labels int64 [U].

    resampled: int64 [U, B], B > 0, see `labels_of_resamples`.
    concepts, categories: the text and the category of each concept.
    """
    kept = (resampled == labels[:, None]).double().mean(dim=1).tolist()
    return [
        LabelStability(share, _category_kept(label, redrawn, categories), _prediction_set(redrawn, concepts))
        for label, redrawn, share in zip(labels.tolist(), resampled, kept, strict=True)
    ]


def _category_kept(label: int, resampled: Tensor, categories: Sequence[str | None]) -> float | None:
    category = categories[label]
    if category is None:
        return None

    labels: list[int] = resampled.tolist()
    return sum(categories[concept] == category for concept in labels) / len(labels)


def _prediction_set(resampled: Tensor, concepts: Sequence[str]) -> tuple[str, ...]:
    labels, counts = torch.unique(resampled, return_counts=True)
    order = counts.argsort(descending=True, stable=True)
    before = counts[order].cumsum(0) - counts[order]
    needed = order[before < _COVERAGE * len(resampled)]
    return tuple(concepts[label] for label in labels[needed].tolist())
