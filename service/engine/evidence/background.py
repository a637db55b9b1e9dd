"""What the figures of all layers of a job share: folds, what fits by chance, and what the dissector confuses."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.engine.evidence.directions import FitNull, concept_correlations, null_of_fits
from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import FOLDS, Moments, folds_of_exams
from service.engine.evidence.rivals import Confusions, Field, confusions_of

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

    seen: Mapping[int, str]
    """Concepts that the dissector is known to see, with their texts: these alone are parts of combinations."""


Blocks = Callable[[], Iterable[Tensor]]
"""The embeddings [n, D] of all images, one block after the other, from the start at each call."""


def background_of(
    blocks: Blocks,
    exams: Exams,
    concept_set: ConceptSet,
    concept_embeddings: Tensor,
    finding_of_concept: Mapping[int, str],
    findings: Sequence[frozenset[str] | None],
    seen: Mapping[int, str],
) -> Background:
    """What all layers share, from two passes over the embeddings.

    concept_embeddings: float [C, D]. finding_of_concept: for each concept that names a finding, this. findings: of each
    image; None where nothing is known, and such an image has no part in what the dissector confuses.
    seen: the concepts that the dissector is known to see, with their texts.
    Concepts that no image of a breast can show (`mammographic` is False) have no decoys: they are such themselves.
    """
    folds = folds_of_exams(exams)
    null = null_of_fits(blocks(), exams, folds, FOLDS, concept_embeddings)
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
    return Background(folds, null, field, confusions, seen)


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
