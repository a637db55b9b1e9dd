"""Rivals of a label: concepts that it does not beat beyond what the choice of exams alone would do.

Two concepts' correlations with one activation are compared as correlations that share a variable (Steiger, Tests for
Comparing Elements of a Correlation Matrix, Psychological Bulletin 1980, formulae 2 and 3). Exams count and not images:
see `FitNull.images`.

A dissector may take one finding for another, however clear a unit is. Where the findings of images are known, the
findings themselves are such units: a concept that a finding is called by, and not by its own, has the own as a rival.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.special import erfc

from service.engine.evidence.moments import Moments

LEAST_LEAD = 0.7
"""In deviations of the difference: a concept less far behind the label is a rival. Chosen on series of phantoms."""

_TAIL = 0.5
"""How often the concept behind is the right one, against the normal tail: measured on the same series, see
docs/label-accuracy.md. A label was the best of hundreds, and most of what is near it is not what a unit follows."""

Confusions = Mapping[int, tuple[int, ...]]
"""For a concept those concepts of findings that the dissector takes for it."""

_UNITS_AT_ONCE = 1024
_LEAST_DEVIATION = 1e-9


@dataclass(frozen=True, slots=True)
class Rivals:
    """The concepts that a unit's label does not beat."""

    concepts: tuple[int, ...]
    """The nearest first."""

    next_p: float
    """That the nearest of the others, which the label beats, is the better one all the same."""


@dataclass(frozen=True, slots=True)
class Field:
    """The concepts that may be rivals, and how they lie over the images."""

    between: Tensor
    """float64 [C, C], correlations of the concepts' cosines, within folds."""

    eligible: Tensor
    """bool [C], what an image can show; of the other concepts those are rivals that are ahead of the label."""

    images: float
    """How many there are."""

    independent: float
    """How many independent images are worth as much where activations are alike in an exam."""

    @classmethod
    def of(cls, moments: Moments, concept_embeddings: Tensor, eligible: Tensor, independent: float) -> "Field":
        """From moments of any units. concept_embeddings: float [C, D]. eligible: bool [C]."""
        xx, _, _ = moments.within()
        texts = concept_embeddings.to(xx)
        between = texts @ xx @ texts.t()
        spread = between.diagonal().clamp_min(0).sqrt().clamp_min(_LEAST_DEVIATION)
        between.div_(spread[:, None]).div_(spread)  # in place: of 20,000 concepts it takes 3 GB
        images = float(moments.counts.sum())
        return cls(between, eligible.to(xx.device), images, min(independent, images))


def rivals_of(correlations: Tensor, labels: Tensor, field: Field, confusions: Confusions) -> list[Rivals]:
    """The rivals of each unit's label.

    correlations: float64 [U, C], `concept_correlations`. labels: int64 [U].
    Who is a rival, exams decide. How likely the nearest other concept is the better one is said as if images were
    independent: measured on planted units, with noise of which half is shared in exams too, that is honest.
    """
    rivals = []
    for start in range(0, len(labels), _UNITS_AT_ONCE):
        units = slice(start, start + _UNITS_AT_ONCE)
        own = labels[units]
        leads = _leads(correlations[units], own, field)

        near = leads < LEAST_LEAD
        for unit, label in enumerate(own.tolist()):
            near[unit, list(confusions.get(label, ()))] = True
        rivals += _of_leads(leads, near, (field.images / field.independent) ** 0.5)
    return rivals


def confusions_of(correlations: Tensor, own: Tensor, least: float, field: Field) -> Confusions:
    """Which concepts of findings the dissector takes for another concept.

    correlations: float64 [F, C] of the findings, 1 where an image has it, with the concepts. own: int64 [F], the
    concept that names each. least: the correlation that a finding must have with its best concept.
    """
    among = correlations.masked_fill(~field.eligible, -torch.inf)
    best = among.max(dim=1)
    leads = _leads(correlations, best.indices, field)

    confusions: dict[int, tuple[int, ...]] = {}
    for finding, concept in enumerate(own.tolist()):
        label = int(best.indices[finding])
        if label == concept or float(best.values[finding]) < least:
            continue
        ahead = (leads[finding] < LEAST_LEAD) & (correlations[finding] > correlations[finding, concept])
        for other in {label, *ahead.nonzero().squeeze(1).tolist()}:
            confusions[other] = (*confusions.get(other, ()), concept)
    return confusions


def _leads(correlations: Tensor, labels: Tensor, field: Field) -> Tensor:
    """How far each label is ahead of each concept, in deviations of the difference, if exams count: float64 [u, C].

    Infinite for the label itself, and for concepts that are not eligible unless they are ahead.
    """
    own = correlations.gather(1, labels[:, None])
    shared = field.between[labels]

    squares = own.square() + correlations.square()
    covariance = shared * (1 - squares) - 0.5 * own * correlations * (1 - squares - shared.square())
    variance = (1 - own.square()).square() + (1 - correlations.square()).square() - 2 * covariance
    deviation = (variance.clamp_min(0) / field.independent).sqrt().clamp_min(_LEAST_DEVIATION)

    leads = (own - correlations) / deviation
    leads = leads.masked_fill((leads >= 0) & ~field.eligible, torch.inf)
    return leads.scatter(1, labels[:, None], torch.inf)


def _of_leads(leads: Tensor, near: Tensor, scale: float) -> list[Rivals]:
    """near: bool [u, C], the rivals. scale: what makes leads those of independent images."""
    beyond = torch.where(near, torch.inf, leads).amin(dim=1)
    next_p = (_TAIL * 0.5 * erfc(scale * beyond / 2**0.5)).tolist()

    rivals = []
    for unit in range(len(leads)):
        concepts = near[unit].nonzero().squeeze(1)
        nearest_first = concepts[leads[unit, concepts].argsort(stable=True)]
        rivals.append(Rivals(tuple(nearest_first.tolist()), next_p[unit]))
    return rivals
