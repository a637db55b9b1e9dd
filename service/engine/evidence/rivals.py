"""Rivals of a label: concepts that it does not beat beyond what the choice of exams alone would do.

Two concepts' correlations with one activation are compared as correlations that share a variable (Steiger, Tests for
Comparing Elements of a Correlation Matrix, Psychological Bulletin 1980, formulae 2 and 3). Exams count and not images:
see `FitNull.images`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.special import erfc

from service.engine.evidence.moments import Moments

LEAST_LEAD = 0.8
"""In deviations of the difference: a concept less far behind the label is a rival. Chosen on series of phantoms."""

_UNITS_AT_ONCE = 1024
_LEAST_DEVIATION = 1e-9


@dataclass(frozen=True, slots=True)
class Rivals:
    """The concepts that a unit's label does not beat."""

    concepts: tuple[int, ...]
    """The nearest first."""

    next_p: float
    """That the nearest of the others, which the label beats, is the better one all the same."""


def rivals_of(
    moments: Moments,
    concept_embeddings: Tensor,
    correlations: Tensor,
    labels: Tensor,
    images: float,
    eligible: Tensor,
) -> list[Rivals]:
    """The rivals of each unit's label.

    concept_embeddings: float [C, D]. correlations: float64 [U, C], `concept_correlations`. labels: int64 [U].
    images: how many independent ones there are. eligible: bool [C], which concepts may be rivals.
    """
    xx, _, _ = moments.within()
    texts = concept_embeddings.to(xx)
    between = texts @ xx @ texts.t()
    spread = between.diagonal().clamp_min(0).sqrt().clamp_min(_LEAST_DEVIATION)
    between = between / spread[:, None] / spread

    rivals = []
    for start in range(0, len(labels), _UNITS_AT_ONCE):
        units = slice(start, start + _UNITS_AT_ONCE)
        leads = _leads(correlations[units], labels[units], between, images)
        leads[:, ~eligible] = torch.inf
        leads.scatter_(1, labels[units, None], torch.inf)
        rivals += _of_leads(leads)
    return rivals


def _leads(correlations: Tensor, labels: Tensor, between: Tensor, images: float) -> Tensor:
    """How far each label is ahead of each concept, in deviations of the difference: float64 [u, C]."""
    own = correlations.gather(1, labels[:, None])
    shared = between[labels]

    squares = own.square() + correlations.square()
    covariance = shared * (1 - squares) - 0.5 * own * correlations * (1 - squares - shared.square())
    variance = (1 - own.square()).square() + (1 - correlations.square()).square() - 2 * covariance
    deviation = (variance.clamp_min(0) / images).sqrt().clamp_min(_LEAST_DEVIATION)
    return (own - correlations) / deviation


def _of_leads(leads: Tensor) -> list[Rivals]:
    near = leads < LEAST_LEAD
    beyond = torch.where(near, torch.inf, leads).amin(dim=1)
    next_p = (0.5 * erfc(beyond / 2**0.5)).tolist()

    rivals = []
    for unit in range(len(leads)):
        concepts = near[unit].nonzero().squeeze(1)
        nearest_first = concepts[leads[unit, concepts].argsort(stable=True)]
        rivals.append(Rivals(tuple(nearest_first.tolist()), next_p[unit]))
    return rivals
