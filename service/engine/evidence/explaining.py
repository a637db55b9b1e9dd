"""What a unit's label says of what the unit does: the figures that verdicts rest on."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from service.domain.evidence import LEAST_EXAMS, Evidence
from service.domain.verdicts import DECOYS_AHEAD, DirectionFigures
from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.background import Background
from service.engine.evidence.combinations import combine_concepts
from service.engine.evidence.decoys import best_decoys
from service.engine.evidence.directions import concept_correlations, explained_shares, held_out_fits
from service.engine.evidence.moments import FOLDS, Moments
from service.engine.evidence.rivals import rivals_of
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.evidence.watched_responses import with_partial_correlations
from service.engine.probing.activations import LayerActivations

_MOST_UNITS = 8192
_MOST_CORRELATIONS = 1 << 26
"""At once: half a gigabyte of them."""


def with_directions(
    evidence: Sequence[Evidence],
    labels: Sequence[int | None],
    units: Tensor,
    activations: LayerActivations | None,
    context: ScoringContext,
) -> list[Evidence]:
    """The evidence with the figures of each unit's direction.

    evidence, labels, units (int64 [u]): of the same units of the layer. activations: of the whole layer.
    Nothing is added for a unit without label, nor where activations were not kept or there are fewer than LEAST_EXAMS
    exams. Raises what `context.check_cancelled` raises.
    """
    if activations is None or context.exams.count < LEAST_EXAMS:
        return list(evidence)

    named = [place for place, label in enumerate(labels) if label is not None]
    completed = list(evidence)
    at_once = max(1, min(_MOST_UNITS, _MOST_CORRELATIONS // len(context.concept_embeddings)))
    for start in range(0, len(named), at_once):
        context.check_cancelled()
        places = named[start : start + at_once]
        of_places = torch.tensor([labels[place] for place in places])
        moments = context.moments_of(activations, units[places], context.background.folds, FOLDS)
        figures = direction_figures(moments, of_places, context.background, context.concept_embeddings, context.axes)
        responses = with_partial_correlations(
            [completed[place] for place in places], of_places, moments, context.concept_embeddings, context.exams.count
        )
        for place, of_unit, response in zip(places, figures, responses, strict=True):
            completed[place] = replace(response, direction=of_unit)
    return completed


def direction_figures(
    moments: Moments, labels: Tensor, background: Background, concept_embeddings: Tensor, axes: KeptAxes
) -> list[DirectionFigures]:
    """The figures of each of U units.

    labels: int64 [U], each one's concept. concept_embeddings: float [C, D]. axes: those that are kept for the job.
    """
    fits = held_out_fits(moments, axes)
    fit_p = background.null.p(fits)
    correlations = concept_correlations(moments, concept_embeddings)
    labels = labels.to(correlations.device)
    own = correlations.gather(1, labels[:, None]).squeeze(1)
    shares = explained_shares(own, fits)

    field = background.field
    rivals = rivals_of(correlations, labels, field, background.confusions)
    decoys = best_decoys(moments, concept_embeddings[field.eligible.to(concept_embeddings.device)], axes)
    best = correlations.masked_fill(~field.eligible, -torch.inf).amax(dim=1)
    competition = _Competition(decoys, best, fits)

    combinations = combine_concepts(moments, concept_embeddings, fits, background.seen)
    parts = [() if combination is None else combination.parts for combination in combinations]

    return [
        DirectionFigures(
            fit=float(fits[unit]),
            fit_p=float(fit_p[unit]),
            correlation=float(own[unit]),
            explained=float(shares[unit]),
            decoy_explained=competition.average(unit),
            rivals=rivals[unit].concepts,
            parts=parts[unit],
            decoy_p=competition.p(unit),
            decoys_ahead=competition.ahead(unit),
            rival_p=rivals[unit].next_p,
        )
        for unit in range(len(labels))
    ]


class _Competition:
    """The concepts that correlate best against the best decoys."""

    def __init__(self, decoys: Tensor, best: Tensor, fits: Tensor) -> None:
        """decoys: float32 [U, S], correlations of the best of each set.

        best, fits: float64 [U], the correlation of the best concept that has decoys (-infinity where none has), and of
        the unit's direction.
        """
        correlations = decoys.double()
        shares = explained_shares(correlations, fits[:, None].expand_as(correlations))
        wins = correlations >= best[:, None]

        order = correlations.argsort(dim=1, descending=True)[:, :DECOYS_AHEAD]
        self._average = shares.mean(dim=1).tolist()
        self._wins = wins.sum(dim=1).tolist()
        self._sets = correlations.shape[1]
        self._best = shares.gather(1, order).tolist()
        self._ahead = wins.gather(1, order).tolist()

    def average(self, unit: int) -> float:
        """What the best decoy of a set explains, on average over the sets."""
        return float(self._average[unit])

    def p(self, unit: int) -> float:
        """The concept's rank among the sets of decoys and itself, as a share."""
        return float((1 + self._wins[unit]) / (1 + self._sets))

    def ahead(self, unit: int) -> tuple[float, ...]:
        """The shares of the best decoys ahead of the concept."""
        best = zip(self._best[unit], self._ahead[unit], strict=True)
        return tuple(share for share, is_ahead in best if is_ahead)
