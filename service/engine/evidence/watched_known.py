"""Which watched concepts the images are known to show, and whether the dissector sees them."""

from collections.abc import Sequence

import torch

from service.domain.evidence import Qualification
from service.domain.watching import KnownByColumn, known_by_columns
from service.engine.evidence.qualification import qualify
from service.engine.evidence.scoring_context import ScoringContext


def qualify_watched(context: ScoringContext, qualifications: Sequence[Qualification]) -> tuple[Qualification, ...]:
    """The watched concepts that a finding names, or that columns of the manifest know, in the order of the set.

    qualifications: of the concepts that findings name.
    """
    watched = set(context.concept_set.watched)
    by_finding = [known for known in qualifications if known.concept in watched]
    named = {known.concept for known in by_finding}

    by_column: list[Qualification] = []
    for known in known_by_columns(context.concept_set, context.items):
        if known.concept not in named:
            by_column += _qualified_by_column(context, known)
    return tuple(sorted([*by_finding, *by_column], key=lambda known: known.concept))


def _qualified_by_column(context: ScoringContext, known: KnownByColumn) -> tuple[Qualification, ...]:
    told = [position for position, shows in enumerate(known.shown) if shows is not None]
    positions = torch.tensor(told)
    return qualify(
        context.read_embeddings(positions).to(context.concept_embeddings.device),
        context.concept_embeddings,
        context.concept_set.texts,
        {known.concept: known.words},
        [frozenset([known.words] if known.shown[position] else []) for position in told],
        context.exams.of_image[positions].tolist(),
    )
