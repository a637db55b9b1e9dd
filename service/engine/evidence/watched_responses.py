"""What a unit's response to a watched concept says beyond the unit's label."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from scipy.stats import t as student
from torch import Tensor

from service.domain.evidence import Evidence, Watched
from service.engine.evidence.moments import Moments

_SAME = 1e-6
"""Two concepts whose correlation squared is nearer to 1 than this are one to the dissector."""


def with_partial_correlations(
    evidence: Sequence[Evidence], labels: Tensor, moments: Moments, concept_embeddings: Tensor, exams: int
) -> list[Evidence]:
    """The evidence of U units with the partial correlation of each watched response, and its p.

    labels: int64 [U], each unit's best concept. moments: of the same units' activations and the dissector's embeddings.
    concept_embeddings: [C, D]. exams: how many independent ones the moments are of.
    Raises ValueError where evidence, labels and moments are not of equally many units.
    """
    units = moments.aa.shape[1]
    if not len(evidence) == len(labels) == units:
        raise ValueError(f"there are {len(evidence)} pieces of evidence and {len(labels)} labels of {units} units")

    watched = sorted({response.concept for of_unit in evidence for response in of_unit.watched})
    if not watched:
        return list(evidence)

    partial = partial_correlations(moments, concept_embeddings, labels, torch.tensor(watched))
    p = p_of_partial(partial, exams)
    column = {concept: place for place, concept in enumerate(watched)}

    completed = []
    for of_unit, correlations, chances in zip(evidence, partial.tolist(), p.tolist(), strict=True):
        responses = tuple(_completed(response, correlations, chances, column) for response in of_unit.watched)
        completed.append(replace(of_unit, watched=responses))
    return completed


def partial_correlations(moments: Moments, concept_embeddings: Tensor, labels: Tensor, watched: Tensor) -> Tensor:
    """Correlation of each unit's activation with each watched concept's cosine, given its label's: float64 [U, W].

    r(a, w | l) = (r(a, w) - r(a, l) r(l, w)) / sqrt((1 - r(a, l)^2) (1 - r(l, w)^2)) (Fisher, Metron 3, 1924), of all
    images about the means of their folds. Where the label is the watched concept itself, nothing is given. Where the
    dissector takes the two for one, or an activation or a cosine is constant, it is 0.
    labels: int64 [U]. watched: int64 [W].
    """
    scatter, with_units, of_units = moments.within()
    texts = concept_embeddings.to(scatter)
    label_texts, watched_texts = texts[labels.to(texts.device)], texts[watched.to(texts.device)]

    label_deviation = ((label_texts @ scatter) * label_texts).sum(dim=1).clamp(min=0).sqrt()
    watched_deviation = ((watched_texts @ scatter) * watched_texts).sum(dim=1).clamp(min=0).sqrt()
    unit_deviation = of_units.clamp(min=0).sqrt()

    unit_watched = _ratio(with_units.t() @ watched_texts.t(), torch.outer(unit_deviation, watched_deviation))
    unit_label = _ratio((with_units.t() * label_texts).sum(dim=1), unit_deviation * label_deviation)[:, None]
    label_watched = _ratio(label_texts @ scatter @ watched_texts.t(), torch.outer(label_deviation, watched_deviation))

    beyond_label = 1 - label_watched.square()
    left = (1 - unit_label.square()).clamp(min=0) * beyond_label.clamp(min=0)
    partial = _ratio(unit_watched - unit_label * label_watched, left.sqrt()).clamp(-1, 1)
    partial[beyond_label < _SAME] = 0.0

    is_label = labels[:, None].to(watched.device) == watched[None]
    return torch.where(is_label.to(partial.device), unit_watched, partial)


def p_of_partial(partial: Tensor, exams: int) -> Tensor:
    """One-sided p of correlations given one concept: Student's t with exams - 3 degrees of freedom, float64.

    Exams count, not images: those of one exam are alike. With 3 exams or fewer nothing can be said, and p is 1.
    """
    freedom = exams - 3
    if freedom <= 0:
        return torch.ones_like(partial)

    statistic = partial * (freedom / (1 - partial.square()).clamp(min=torch.finfo(partial.dtype).tiny)).sqrt()
    return torch.from_numpy(student.sf(statistic.cpu().numpy(), freedom))


def _completed(
    response: Watched, correlations: Sequence[float], chances: Sequence[float], column: dict[int, int]
) -> Watched:
    place = column[response.concept]
    return replace(response, partial=correlations[place], partial_p=chances[place])


def _ratio(above: Tensor, below: Tensor) -> Tensor:
    """0 where there is nothing to divide by."""
    return torch.where(below > 0, above / below.clamp(min=torch.finfo(below.dtype).tiny), torch.zeros_like(above))
