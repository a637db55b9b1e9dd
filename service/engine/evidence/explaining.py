"""What a unit's label says of what the unit does: the figures that verdicts rest on."""

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.verdicts import DECOYS_AHEAD, DirectionFigures
from service.engine.evidence.decoys import BestDecoys, best_decoys
from service.engine.evidence.directions import (
    Directions,
    FitNull,
    concept_correlations,
    directions_of,
    explained_shares,
)
from service.engine.evidence.moments import Moments
from service.engine.evidence.rivals import rivals_of


def direction_figures(
    moments: Moments,
    labels: Tensor,
    null: FitNull,
    concept_set: ConceptSet,
    concept_embeddings: Tensor,
) -> list[DirectionFigures]:
    """The figures of each unit, without combinations of concepts.

    moments: of U units. labels: int64 [U], each one's concept. concept_embeddings: float [C, D].
    Concepts that no image of a breast can show (`mammographic` is False) are no rivals of a label.
    """
    directions = directions_of(moments)
    correlations = concept_correlations(moments, concept_embeddings)
    labels = labels.to(correlations.device)
    own = correlations.gather(1, labels[:, None]).squeeze(1)
    shares = explained_shares(own, directions.fit)
    fit_p = null.p(directions.fit)

    eligible = torch.tensor([concept.mammographic is not False for concept in concept_set.concepts])
    eligible = eligible.to(correlations.device)
    rivals = rivals_of(moments, concept_embeddings, correlations, labels, null.images, eligible)
    competition = _Competition(best_decoys(moments, concept_embeddings), own, directions, eligible)

    return [
        DirectionFigures(
            fit=float(directions.fit[unit]),
            fit_p=float(fit_p[unit]),
            correlation=float(own[unit]),
            explained=float(shares[unit]),
            decoy_explained=competition.average(unit),
            rivals=rivals[unit].concepts,
            decoy_p=competition.p(unit),
            decoys_ahead=competition.ahead(unit),
            rival_p=rivals[unit].next_p,
        )
        for unit in range(len(labels))
    ]


class _Competition:
    """The labels against the best decoys."""

    def __init__(self, decoys: BestDecoys, own: Tensor, directions: Directions, eligible: Tensor) -> None:
        """own: float64 [U], the labels' correlations. eligible: bool [C], whose decoys would have given a name."""
        correlations = decoys.correlations.double()
        shares = explained_shares(correlations, directions.fit[:, None].expand_as(correlations))
        wins = correlations >= own[:, None]

        order = correlations.argsort(dim=1, descending=True)[:, :DECOYS_AHEAD]
        counted = wins & eligible[decoys.concepts]
        self._average = shares.mean(dim=1).tolist()
        self._wins = wins.sum(dim=1).tolist()
        self._sets = correlations.shape[1]
        self._best = shares.gather(1, order).tolist()
        self._counted = counted.gather(1, order).tolist()

    def average(self, unit: int) -> float:
        """What the best decoy of a set explains, on average over the sets."""
        return float(self._average[unit])

    def p(self, unit: int) -> float:
        """The label's rank among the sets of decoys and itself, as a share."""
        return float((1 + self._wins[unit]) / (1 + self._sets))

    def ahead(self, unit: int) -> tuple[float, ...]:
        """The shares of the best decoys ahead of the label that would have given a name."""
        best = zip(self._best[unit], self._counted[unit], strict=True)
        return tuple(share for share, counted in best if counted)
