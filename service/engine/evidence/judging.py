"""The evidence for a layer's labels: significance, watched concepts, stability, agreement, quality."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.evidence import LEVEL, Agreement, Evidence, LayerNull, Significance, Watched
from service.engine.evidence.agreement import ReadUnits, measure_agreement
from service.engine.evidence.exams import Exams, resample, split_in_halves
from service.engine.evidence.null import GroupNull, NullTable, null_table, standardise, summarise, tail_p
from service.engine.evidence.null_sets import NullSets, draw_null_sets
from service.engine.evidence.quality import layer_quality
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.evidence.stability import labels_of_resamples, stabilities
from service.engine.similarity.scorer import Ranking, Scorer

SETS, RESAMPLES, HALVES = 0, 1, 2
"""Seeds of what is drawn: the same for every layer and every job, so that jobs on one probe set can be paired."""


@dataclass(frozen=True, slots=True)
class LayerTop:
    """The live units' most activating images."""

    images: Tensor
    """int64 [U, n], among all used images."""
    rows: Tensor
    """The same as positions among the scorer's images, [U, n]."""
    read_units: ReadUnits | None
    """Reads all activations of some of the units; None where they were not kept."""


def null_sets(top_images: Tensor, context: ScoringContext) -> list[NullSets]:
    """The random image sets of a layer's null. top_images: int64 [U, K], those of its live units."""
    return draw_null_sets(context.exams, top_images, context.options.evidence.draws, SETS)


def judge_labels(
    ranking: Ranking, scorer: Scorer, groups: Sequence[NullSets], top: LayerTop, context: ScoringContext
) -> tuple[list[Evidence], LayerNull]:
    """The evidence of each live unit, quality left out, and the layer's null.

    ranking: of these units.
    groups: `null_sets`, its images as positions among the scorer's.
    Raises what `context.check_cancelled` raises.
    """
    concept_set = context.concept_set
    best = ranking.scores[:, 0].cpu()
    rows = top.rows[:, : context.options.method.top_k]
    responses = scorer.of_concepts(rows, ranking.prior, concept_set.watched).cpu()

    nulls = []
    for group in groups:
        context.check_cancelled()
        table = null_table(scorer, group.sets, ranking.prior, len(best), concept_set.watched)
        nulls.append(GroupNull(group.units, table))

    def draw_labels(draws: Tensor, k: int) -> Tensor:
        return labels_of_resamples(scorer, top.images, top.rows, context.exams, draws, k, context.check_cancelled)

    labels = ranking.indices[:, 0].cpu()
    evidence = against_nulls(nulls, best, responses, concept_set)
    return with_redrawn(evidence, labels, context.exams, draw_labels, top.read_units, context), summarise(nulls)


def with_quality(
    evidence: Sequence[Evidence], top_images: Tensor, embeddings: Callable[[Tensor], Tensor], units: Sequence[int]
) -> list[Evidence]:
    """The evidence with each unit's quality. top_images: int64 [U, n]. units: the live units' numbers."""
    completed = []
    for of_unit, quality in zip(evidence, layer_quality(top_images, embeddings), strict=True):
        twin = None if quality.duplicate_of is None else units[quality.duplicate_of]
        completed.append(replace(of_unit, quality=replace(quality, duplicate_of=twin)))
    return completed


def against_nulls(
    nulls: Sequence[GroupNull], best: Tensor, responses: Tensor, concept_set: ConceptSet
) -> list[Evidence]:
    """The significance of best scores [U] and of watched concepts' scores [U, W]; of these those with p <= LEVEL.

    nulls: each unit is in one of their groups.
    """
    evidence = [Evidence()] * len(best)
    for null in nulls:
        judged = _against_table(null.table, best[null.units], responses[null.units], concept_set)
        for unit, of_unit in zip(null.units.tolist(), judged, strict=True):
            evidence[unit] = of_unit
    return evidence


def _against_table(table: NullTable, best: Tensor, responses: Tensor, concept_set: ConceptSet) -> list[Evidence]:
    p = tail_p(best, table.best).tolist()
    z = standardise(best, table.best).tolist()

    watched_of_units: list[list[Watched]] = [[] for _ in best]
    for column, concept in enumerate(concept_set.watched):
        text = concept_set.concepts[concept].text
        scores, null = responses[:, column], table.watched[:, column]
        concept_p, concept_z = tail_p(scores, null), standardise(scores, null)
        for unit in (concept_p <= LEVEL).nonzero().squeeze(1).tolist():
            watched = Watched(concept, text, float(concept_p[unit]), float(concept_z[unit]))
            watched_of_units[unit].append(watched)

    return [
        Evidence(
            significance=Significance(unit_p, unit_z), watched=tuple(sorted(watched, key=lambda concept: concept.p))
        )
        for unit_p, unit_z, watched in zip(p, z, watched_of_units, strict=True)
    ]


DrawLabels = Callable[[Tensor, int], Tensor]
"""The label of each unit in each of B draws of the exams, int64 [U, B].

From how often each exam occurs in each draw, int64 [B, exams], and how many images a label rests on.
"""


def with_redrawn(
    evidence: Sequence[Evidence],
    labels: Tensor,
    exams: Exams,
    draw_labels: DrawLabels,
    read_units: ReadUnits | None,
    context: ScoringContext,
) -> list[Evidence]:
    """The evidence with what becomes of labels, int64 [U], when exams are drawn again and when they are halved.

    exams: those of the context, or the bundles that stand for them. read_units: see `LayerTop`.
    Raises what `context.check_cancelled` raises.
    """
    resampled = _with_stability(evidence, labels, exams, draw_labels, context)
    return _with_halves(resampled, labels, exams, draw_labels, read_units, context)


def _with_stability(
    evidence: Sequence[Evidence], labels: Tensor, exams: Exams, draw_labels: DrawLabels, context: ScoringContext
) -> list[Evidence]:
    options, concept_set = context.options, context.concept_set
    if options.evidence.resamples == 0:
        return list(evidence)

    draws = resample(exams, options.evidence.resamples, RESAMPLES)
    resampled = draw_labels(draws, options.method.top_k)
    categories = [concept.category for concept in concept_set.concepts]
    stabilities_of_units = stabilities(labels, resampled, concept_set.texts, categories)

    return [
        replace(of_unit, stability=stability, resampled=tuple(labels_of_unit))
        for of_unit, stability, labels_of_unit in zip(evidence, stabilities_of_units, resampled.tolist(), strict=True)
    ]


def _with_halves(
    evidence: list[Evidence],
    labels: Tensor,
    exams: Exams,
    draw_labels: DrawLabels,
    read_units: ReadUnits | None,
    context: ScoringContext,
) -> list[Evidence]:
    """Labels in halves of the exams, from half as many images; and agreement, each half measuring the other's."""
    options = context.options
    if options.evidence.halves == 0:
        return evidence

    splits = split_in_halves(exams, options.evidence.halves, HALVES)
    draws = torch.stack([~splits, splits], dim=1).flatten(0, 1).long()
    halves = draw_labels(draws, max(1, options.method.top_k // 2))

    agreements: Sequence[Agreement | None] = [None] * len(evidence)
    if read_units is not None and context.finding_of_concept:
        agreements = measure_agreement(
            read_units,
            in_second_half=splits[0][exams.of_image],
            labels=labels,
            labels_of_halves=(halves[:, 0], halves[:, 1]),
            finding_of_concept=context.finding_of_concept,
            findings=context.findings,
        )

    return [
        replace(of_unit, halves=tuple(labels_of_unit), agreement=agreement)
        for of_unit, labels_of_unit, agreement in zip(evidence, halves.tolist(), agreements, strict=True)
    ]
