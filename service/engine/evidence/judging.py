"""The evidence for a layer's labels: significance, watched concepts, stability, agreement, quality."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.evidence import LEVEL, Agreement, Evidence, LayerNull, Significance, Watched
from service.engine.evidence.agreement import measure_agreement
from service.engine.evidence.exams import resample, split_in_halves
from service.engine.evidence.null import NullTable, null_table, standardise, summarise, tail_p
from service.engine.evidence.null_sets import NullSets, draw_null_sets
from service.engine.evidence.quality import layer_quality
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.evidence.stability import labels_of_resamples, stabilities
from service.engine.similarity.scorer import Ranking, Scorer

_SETS, _RESAMPLES, _HALVES = 0, 1, 2
"""Seeds of what is drawn: the same for every layer and every job, so that jobs on one probe set can be paired."""


@dataclass(frozen=True, slots=True)
class LayerTop:
    """The live units' most activating images among all used, int64 [U, n], and as positions among the scorer's, [U, n].

    activations: float32 [N, U] of all images where they were kept.
    """

    images: Tensor
    rows: Tensor
    activations: Tensor | None


def null_sets(top_images: Tensor, context: ScoringContext) -> list[NullSets]:
    """The random image sets of a layer's null. top_images: int64 [U, K], those of its live units."""
    return draw_null_sets(context.exams, top_images, context.options.evidence.draws, _SETS)


def judge(
    ranking: Ranking, scorer: Scorer, groups: Sequence[NullSets], top: LayerTop, context: ScoringContext
) -> tuple[list[Evidence], LayerNull]:
    """The evidence of each live unit, quality left out, and the layer's null.

    ranking: of these units. groups: `null_sets`, its images as positions among the scorer's. Raises what
    `context.check_cancelled` raises.
    """
    concept_set = context.concept_set
    best = ranking.scores[:, 0].cpu()
    rows = top.rows[:, : context.options.method.top_k]
    responses = scorer.of_concepts(rows, ranking.prior, concept_set.watched).cpu()

    evidence = [Evidence()] * len(best)
    tables = []
    for group in groups:
        context.check_cancelled()
        table = null_table(scorer, group.sets, ranking.prior, len(best), concept_set.watched)
        against_null = _against(table, best[group.units], responses[group.units], concept_set)
        for unit, judged in zip(group.units.tolist(), against_null, strict=True):
            evidence[unit] = judged
        tables.append(table)

    evidence = _with_stability(evidence, ranking, scorer, top, context)
    evidence = _with_halves(evidence, ranking, scorer, top, context)
    return evidence, summarise(tables, [len(group.units) for group in groups])


def with_quality(
    evidence: Sequence[Evidence], top_images: Tensor, embeddings: Callable[[Tensor], Tensor], units: Sequence[int]
) -> list[Evidence]:
    """The evidence with each unit's quality. top_images: int64 [U, n]. units: the live units' numbers."""
    found = []
    for one, quality in zip(evidence, layer_quality(top_images, embeddings), strict=True):
        twin = quality.duplicate_of
        found.append(replace(one, quality=replace(quality, duplicate_of=None if twin is None else units[twin])))
    return found


def _against(table: NullTable, best: Tensor, responses: Tensor, concept_set: ConceptSet) -> list[Evidence]:
    """Best scores [u] and watched concepts' scores [u, W] against a null; of the watched those with p <= LEVEL."""
    p, z = tail_p(best, table.best).tolist(), standardise(best, table.best).tolist()
    watched: list[list[Watched]] = [[] for _ in best]
    for column, concept in enumerate(concept_set.watched):
        scores, null = responses[:, column], table.watched[:, column]
        own_p, own_z = tail_p(scores, null), standardise(scores, null)
        for unit in (own_p <= LEVEL).nonzero().squeeze(1).tolist():
            text = concept_set.concepts[concept].text
            watched[unit].append(Watched(concept, text, float(own_p[unit]), float(own_z[unit])))
    return [
        Evidence(significance=Significance(*pair), watched=tuple(sorted(found, key=lambda one: one.p)))
        for pair, found in zip(zip(p, z, strict=True), watched, strict=True)
    ]


def _with_stability(
    evidence: list[Evidence], ranking: Ranking, scorer: Scorer, top: LayerTop, context: ScoringContext
) -> list[Evidence]:
    options, exams, concept_set = context.options, context.exams, context.concept_set
    if options.evidence.resamples == 0:
        return evidence

    draws = resample(exams, options.evidence.resamples, _RESAMPLES)
    resampled = labels_of_resamples(
        scorer, top.images, top.rows, exams, draws, options.method.top_k, context.check_cancelled
    )
    categories = [concept.category for concept in concept_set.concepts]
    found = stabilities(ranking.indices[:, 0].cpu(), resampled, concept_set.texts, categories)

    return [
        replace(one, stability=stability, resampled=tuple(labels))
        for one, stability, labels in zip(evidence, found, resampled.tolist(), strict=True)
    ]


def _with_halves(
    evidence: list[Evidence], ranking: Ranking, scorer: Scorer, top: LayerTop, context: ScoringContext
) -> list[Evidence]:
    """Labels in halves of the exams, from half as many images; and agreement, each half measuring the other's."""
    options, exams, names = context.options, context.exams, context.finding_of_concept
    if options.evidence.halves == 0:
        return evidence

    splits = split_in_halves(exams, options.evidence.halves, _HALVES)
    draws = torch.stack([~splits, splits], dim=1).flatten(0, 1).long()
    k = max(1, options.method.top_k // 2)
    labels = labels_of_resamples(scorer, top.images, top.rows, exams, draws, k, context.check_cancelled)

    agreements: Sequence[Agreement | None] = [None] * len(evidence)
    if top.activations is not None and names:
        second = splits[0][exams.of_image]
        own, chosen = ranking.indices[:, 0].cpu(), (labels[:, 0], labels[:, 1])
        agreements = measure_agreement(top.activations, second, own, chosen, names, context.findings)

    return [
        replace(one, halves=tuple(pair), agreement=agreement)
        for one, pair, agreement in zip(evidence, labels.tolist(), agreements, strict=True)
    ]
