"""What a unit's label says of what the unit does: the figures that verdicts rest on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.verdicts import DECOYS_AHEAD, DirectionFigures
from service.engine.evidence.decoys import best_decoys
from service.engine.evidence.directions import (
    Directions,
    FitNull,
    concept_correlations,
    directions_of,
    explained_shares,
    null_of_fits,
)
from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import FOLDS, Moments, folds_of_exams
from service.engine.evidence.rivals import Confusions, Field, confusions_of, rivals_of

_LEAST_QUANTILE = 0.95
"""Of the best correlations of units that follow nothing: a finding below it is not seen at all."""


@dataclass(frozen=True, slots=True)
class Background:
    """What the figures of all layers of a job share."""

    folds: Tensor
    """int64 [N], the fold of each image."""

    null: FitNull
    field: Field
    confusions: Confusions


Blocks = Callable[[], Iterable[Tensor]]
"""The embeddings [n, D] of all images, one block after the other, from the start at each call."""


def background_of(
    blocks: Blocks,
    exams: Exams,
    concept_set: ConceptSet,
    concept_embeddings: Tensor,
    finding_of_concept: Mapping[int, str],
    findings: Sequence[frozenset[str] | None],
) -> Background:
    """What all layers share, from two passes over the embeddings.

    concept_embeddings: float [C, D]. finding_of_concept: for each concept that names a finding, this. findings: of each
    image; None where nothing is known, and such an image has no part in what the dissector confuses.
    Concepts that no image of a breast can show (`mammographic` is False) have no decoys: they are such themselves.
    """
    folds = folds_of_exams(exams)
    null = null_of_fits(blocks, exams, folds, FOLDS, concept_embeddings)
    eligible = torch.tensor([concept.mammographic is not False for concept in concept_set.concepts])

    own = sorted(finding_of_concept)
    names = [finding_of_concept[concept] for concept in own]
    moments = _moments_of_findings(blocks, folds, names, findings)
    field = Field.of(moments, concept_embeddings, eligible, null.images)
    confusions: Confusions = {}
    if own:
        correlations = concept_correlations(moments, concept_embeddings)
        least = float(null.best.quantile(_LEAST_QUANTILE))
        confusions = confusions_of(correlations, torch.tensor(own, device=correlations.device), least, field)
    return Background(folds, null, field, confusions)


def _moments_of_findings(
    blocks: Blocks, folds: Tensor, names: Sequence[str], findings: Sequence[frozenset[str] | None]
) -> Moments:
    """Moments of units that are 1 where an image has the finding; of all images where none has known findings."""
    known = torch.tensor([of_image is not None for of_image in findings], dtype=torch.bool)
    if not bool(known.any()):
        known = torch.ones(len(folds), dtype=torch.bool)
    has = torch.tensor([[name in (of_image or ()) for name in names] for of_image in findings], dtype=torch.float32)
    has = has.view(len(folds), len(names))

    def parts() -> Iterable[tuple[Tensor, Tensor]]:
        start = 0
        for embeddings in blocks():
            rows = known[start : start + len(embeddings)].nonzero().squeeze(1)
            yield embeddings[rows.to(embeddings.device)], has[start + rows].to(embeddings.device)
            start += len(embeddings)

    return Moments.of_layer(parts(), folds[known], FOLDS)


def direction_figures(
    moments: Moments, labels: Tensor, background: Background, concept_embeddings: Tensor
) -> list[DirectionFigures]:
    """The figures of each unit, without combinations of concepts.

    moments: of U units. labels: int64 [U], each one's concept. concept_embeddings: float [C, D].
    """
    directions = directions_of(moments)
    correlations = concept_correlations(moments, concept_embeddings)
    labels = labels.to(correlations.device)
    own = correlations.gather(1, labels[:, None]).squeeze(1)
    shares = explained_shares(own, directions.fit)
    fit_p = background.null.p(directions.fit)

    field = background.field
    rivals = rivals_of(correlations, labels, field, background.confusions)
    decoys = best_decoys(moments, concept_embeddings[field.eligible.to(concept_embeddings.device)])
    best = correlations[:, field.eligible].amax(dim=1)
    competition = _Competition(decoys, best, directions)

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
    """The concepts that correlate best against the best decoys."""

    def __init__(self, decoys: Tensor, best: Tensor, directions: Directions) -> None:
        """decoys: float32 [U, S], correlations of the best of each set. best: float64 [U], of the best concept."""
        correlations = decoys.double()
        shares = explained_shares(correlations, directions.fit[:, None].expand_as(correlations))
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
