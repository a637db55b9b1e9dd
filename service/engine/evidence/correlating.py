"""The similarity `correlation`: units named after the concept whose cosine their activation follows most, and judged.

Pearson's correlation over all images, from moments in one stream; the null is `exchanged_exams`, what is drawn again
are `bundles` of exams.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.domain.evidence import Agreement, Evidence, LayerNull
from service.engine.evidence.agreement import ReadUnits, measure_agreement
from service.engine.evidence.bundles import BundledMoments, bundles_of
from service.engine.evidence.exams import Exams, resample, split_in_halves
from service.engine.evidence.exchanged_exams import ExchangedExams, NullImages, exchange_exams
from service.engine.evidence.judging import HALVES, RESAMPLES, SETS, against_null
from service.engine.evidence.moments import Moments
from service.engine.evidence.null import summarise
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.evidence.stability import stabilities
from service.engine.probing.activations import LayerActivations
from service.engine.top_k import RunningTopK

_MOST_UNITS = 1024
_MOST_PRODUCTS = 1 << 26
_DRAWS_SHARE = 4
"""Of the draws that a job asks for, a quarter for each group of units: beyond them p follows a fitted tail."""


@dataclass(frozen=True, slots=True)
class CorrelatedUnits:
    """Units by their correlations, and what speaks for their labels."""

    keys: Tensor
    """int64 [U, k], the concepts by their correlations: see `RunningTopK`."""
    evidence: list[Evidence]
    """Empty where labels are not tested; quality left out."""
    nulls: list[ExchangedExams]


def name_by_correlation(
    activations: LayerActivations, live: Tensor, context: ScoringContext
) -> tuple[RunningTopK, list[Evidence], LayerNull | None]:
    """The concepts of the live units by their correlations, the evidence of each (quality left out), and the null.

    Some units at a time, so memory does not grow with a layer's width; each time the images stream by once.
    Raises what `context.check_cancelled` raises.
    """
    bundles = bundles_of(context.exams)
    images = NullImages.draw(context.exams, context.read_embeddings, SETS) if context.tests_labels else None

    parts = []
    for units in _some_at_a_time(live, bundles.count, len(context.concept_embeddings)):
        context.check_cancelled()
        parts.append(_correlated(activations, units, bundles, images, context))

    ranking = RunningTopK(context.options.concepts_per_neuron, keys=torch.cat([part.keys for part in parts]))
    evidence = [of_unit for part in parts for of_unit in part.evidence]
    nulls = [null for part in parts for null in part.nulls]
    if not nulls:
        return ranking, [Evidence()] * len(live), None
    return ranking, evidence, summarise([null.table for null in nulls], [len(null.units) for null in nulls])


def _some_at_a_time(live: Tensor, bundles: int, concepts: int) -> Iterator[Tensor]:
    most = max(1, min(_MOST_UNITS, _MOST_PRODUCTS // (bundles * concepts)))
    yield from torch.split(live, most)


def _correlated(
    activations: LayerActivations, units: Tensor, bundles: Exams, images: NullImages | None, context: ScoringContext
) -> CorrelatedUnits:
    """images: those that the null is drawn on; None where labels are not tested."""
    blocks = ((embeddings, block[:, units]) for embeddings, block in context.blocks_of(activations))
    moments = Moments.of_layer(blocks, bundles.of_image, bundles.count)
    bundled = BundledMoments.of(moments, context.concept_embeddings)

    correlations = bundled.correlations(torch.ones(bundles.count, dtype=torch.int64))
    ranking = RunningTopK(context.options.concepts_per_neuron)
    ranking.update(correlations.t())
    if images is None:
        return CorrelatedUnits(ranking.keys, [], [])

    nulls = exchange_exams(
        images,
        images.read(activations, units),
        context.concept_embeddings,
        context.concept_set.watched,
        max(1, context.options.evidence.draws // _DRAWS_SHARE),
        SETS,
        context.check_cancelled,
    )
    labels = ranking.indices[:, 0]
    evidence = _with_significance(correlations, nulls, context)
    evidence = _with_stability(evidence, labels, bundled, bundles, context)
    evidence = _with_halves(evidence, labels, bundled, bundles, lambda of: activations.of_units(units[of]), context)
    return CorrelatedUnits(ranking.keys, evidence, nulls)


def _with_significance(
    correlations: Tensor, nulls: Sequence[ExchangedExams], context: ScoringContext
) -> list[Evidence]:
    best = correlations.amax(dim=1)
    responses = correlations[:, list(context.concept_set.watched)]

    evidence = [Evidence()] * len(best)
    for null in nulls:
        judged = against_null(null.table, best[null.units], responses[null.units], context.concept_set)
        for unit, of_unit in zip(null.units.tolist(), judged, strict=True):
            evidence[unit] = of_unit
    return evidence


def _labels_of(bundled: BundledMoments, draws: Tensor, context: ScoringContext) -> Tensor:
    """The label of each unit in each draw of the bundles, int64 [U, B]."""
    labels = []
    for weights in draws:
        context.check_cancelled()
        labels.append(bundled.correlations(weights).argmax(dim=1))
    return torch.stack(labels, dim=1)


def _with_stability(
    evidence: list[Evidence], labels: Tensor, bundled: BundledMoments, bundles: Exams, context: ScoringContext
) -> list[Evidence]:
    if context.options.evidence.resamples == 0:
        return evidence

    concept_set = context.concept_set
    resampled = _labels_of(bundled, resample(bundles, context.options.evidence.resamples, RESAMPLES), context)
    categories = [concept.category for concept in concept_set.concepts]
    stabilities_of_units = stabilities(labels, resampled, concept_set.texts, categories)
    return [
        replace(of_unit, stability=stability, resampled=tuple(labels_of_unit))
        for of_unit, stability, labels_of_unit in zip(evidence, stabilities_of_units, resampled.tolist(), strict=True)
    ]


def _with_halves(
    evidence: list[Evidence],
    labels: Tensor,
    bundled: BundledMoments,
    bundles: Exams,
    read_units: ReadUnits,
    context: ScoringContext,
) -> list[Evidence]:
    """Labels in halves of the exams; and agreement, each half measuring the other's."""
    if context.options.evidence.halves == 0:
        return evidence

    splits = split_in_halves(bundles, context.options.evidence.halves, HALVES)
    halves = _labels_of(bundled, torch.stack([~splits, splits], dim=1).flatten(0, 1).long(), context)

    agreements: Sequence[Agreement | None] = [None] * len(evidence)
    if context.finding_of_concept:
        agreements = measure_agreement(
            read_units,
            in_second_half=splits[0][bundles.of_image],
            labels=labels,
            labels_of_halves=(halves[:, 0], halves[:, 1]),
            finding_of_concept=context.finding_of_concept,
            findings=context.findings,
        )
    return [
        replace(of_unit, halves=tuple(labels_of_unit), agreement=agreement)
        for of_unit, labels_of_unit, agreement in zip(evidence, halves.tolist(), agreements, strict=True)
    ]
