"""The similarity `correlation`: units named after the concept whose cosine their activation follows most, and judged.

Pearson's correlation over all images, from moments in one stream; the null is `exchanged_exams`, what is drawn again
are `bundles` of exams.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.evidence import Evidence, LayerNull
from service.engine.evidence.bundles import BundledMoments, bundles_of
from service.engine.evidence.exams import Exams
from service.engine.evidence.exchanged_exams import NullImages, exchange_exams
from service.engine.evidence.judging import SETS, against_nulls, with_redrawn
from service.engine.evidence.null import GroupNull, summarise
from service.engine.evidence.scoring_context import ScoringContext
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
    nulls: list[GroupNull]


def name_by_correlation(
    activations: LayerActivations, live: Tensor, context: ScoringContext
) -> tuple[RunningTopK, list[Evidence], LayerNull | None]:
    """The concepts of the live units by their correlations, the evidence of each (quality left out), and the null.

    Some units at a time, so memory does not grow with a layer's width; each time the images stream by once.
    Raises what `context.check_cancelled` raises.
    """
    bundles = bundles_of(context.exams)
    images = None
    if context.tests_labels:
        images = NullImages.draw(context.exams, context.read_embeddings, context.concept_embeddings, SETS)

    parts = []
    for units in _some_at_a_time(live, bundles.count, len(context.concept_embeddings)):
        context.check_cancelled()
        parts.append(_correlated(activations, units, bundles, images, context))

    ranking = RunningTopK(context.options.concepts_per_neuron, keys=torch.cat([part.keys for part in parts]))
    evidence = [of_unit for part in parts for of_unit in part.evidence]
    nulls = [null for part in parts for null in part.nulls]
    if not nulls:
        return ranking, [Evidence()] * len(live), None
    return ranking, evidence, summarise(nulls)


def _some_at_a_time(live: Tensor, bundles: int, concepts: int) -> Iterator[Tensor]:
    most = max(1, min(_MOST_UNITS, _MOST_PRODUCTS // (bundles * concepts)))
    yield from torch.split(live, most)


def _correlated(
    activations: LayerActivations, units: Tensor, bundles: Exams, images: NullImages | None, context: ScoringContext
) -> CorrelatedUnits:
    """images: those that the null is drawn on; None where labels are not tested."""
    moments = context.moments_of(activations, units, bundles.of_image, bundles.count)
    bundled = BundledMoments.of(moments, context.concept_embeddings)

    correlations = bundled.correlations(torch.ones(bundles.count, dtype=torch.int64))
    ranking = RunningTopK(context.options.concepts_per_neuron)
    ranking.update(correlations.t())
    if images is None:
        return CorrelatedUnits(ranking.keys, [], [])

    nulls = exchange_exams(
        images,
        images.read(activations, units),
        context.concept_set.watched,
        max(1, context.options.evidence.draws // _DRAWS_SHARE),
        SETS,
        context.check_cancelled,
    )

    def draw_labels(draws: Tensor, _images: int) -> Tensor:
        labels = []
        for weights in draws:
            context.check_cancelled()
            labels.append(bundled.correlations(weights).argmax(dim=1))
        return torch.stack(labels, dim=1)

    evidence = with_redrawn(
        against_nulls(
            nulls, correlations.amax(dim=1), correlations[:, list(context.concept_set.watched)], context.concept_set
        ),
        ranking.indices[:, 0],
        bundles,
        draw_labels,
        lambda of: activations.of_units(units[of]),
        context,
    )
    return CorrelatedUnits(ranking.keys, evidence, nulls)
