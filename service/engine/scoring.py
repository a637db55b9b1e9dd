"""From what a layer did to the names of its neurons."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from service.domain.evidence import Evidence, LayerNull
from service.domain.methods import CONTRASTS, PRIOR_METHODS, Method
from service.domain.neurons import LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.probes import ProbeItem
from service.engine import similarity
from service.engine.concept_texts import check_distinguishable
from service.engine.evidence.agreement import ReadUnits
from service.engine.evidence.correlating import name_by_correlation
from service.engine.evidence.explaining import with_directions
from service.engine.evidence.judging import LayerTop, judge_labels, null_sets, with_quality
from service.engine.evidence.null_sets import NullSets
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.networks.protocols import Dissector
from service.engine.probing.activations import LayerActivations
from service.engine.probing.probe import LayerRecord, kept_top
from service.engine.similarity.contrast_scorer import ContrastScorer
from service.engine.similarity.scorer import ConceptColumns, Scorer, best_concepts, columns_of_embeddings
from service.engine.similarity.streams import cosine_cubed_of_blocks, cosine_of_blocks
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer
from service.engine.top_k import RunningTopK
from service.errors import InvalidConceptSet, TooFewImages

SEED = 0
"""Of everything that is drawn at random, so that the same job gives the same scores."""

_RANK_REORDER_IMAGES = 40
_QUALITY_IMAGES = 100
_ENTRIES_AT_ONCE = 1 << 24


def score_layer(layer: str, record: LayerRecord, context: ScoringContext) -> LayerDissection:
    """Name the units of one layer and judge the names. record: of all shards.

    Raises what `context.check_cancelled` raises.
    """
    options = context.options
    live = (~record.summary.dead).nonzero().squeeze(1)
    with torch.inference_mode():
        top = record.most_activating(kept_top(options))
    if len(live) == 0:
        return LayerDissection(layer, _neurons(record, top, {}, {}, context))

    with torch.inference_mode():
        if options.method.similarity in PRIOR_METHODS:
            ranked, evidence, null = _by_top_images(record, top, live, context)
        elif options.method.similarity == "correlation":
            ranked, evidence, null = _by_correlation(record, live, context)
        else:
            ranked, evidence, null = _by_all_activations(record, live, context), [Evidence()] * len(live), None

        judged: dict[int, Evidence] = {}
        if options.evidence.asked_for:
            top_images = top.indices[live, : min(options.method.top_k, _QUALITY_IMAGES)].cpu()
            evidence = with_quality(evidence, top_images, context.read_embeddings, live.tolist())
            labels = [ranked[unit][0][0] if ranked[unit] else None for unit in live.tolist()]
            evidence = with_directions(evidence, labels, live, record.activations, context)
            judged = dict(zip(live.tolist(), evidence, strict=True))

    return LayerDissection(layer, _neurons(record, top, ranked, judged, context), null)


def _check_concepts(concepts: Sequence[str]) -> None:
    if not concepts:
        raise InvalidConceptSet("There are no concepts.", field="concept_set")
    if any(not concept.strip() for concept in concepts):
        raise InvalidConceptSet("A concept is empty.", field="concept_set")
    if len(set(concepts)) < len(concepts):
        twice = next(concept for i, concept in enumerate(concepts) if concept in concepts[:i])
        raise InvalidConceptSet(f"The concept '{twice}' is listed twice.", field="concept_set", value=twice)


def embed_concepts(dissector: Dissector, concepts: Sequence[str]) -> Tensor:
    """The concepts' embeddings, float32 [C, D], on the dissector's device.

    Raises InvalidConceptSet when there are none, when one is empty or a duplicate, when the dissector reads two of
    them as the same tokens, or an embedding is not finite.
    """
    _check_concepts(concepts)
    check_distinguishable(dissector, concepts)
    return embed_texts(dissector, concepts)


def embed_texts(dissector: Dissector, texts: Sequence[str]) -> Tensor:
    """Embeddings, float32 [T, D], on the dissector's device. Raises InvalidConceptSet where one is not finite."""
    embeddings = dissector.embed_texts(texts)
    finite = torch.isfinite(embeddings).all(dim=1)
    if not bool(finite.all()):
        worst = texts[int((~finite).nonzero()[0, 0])]
        raise InvalidConceptSet(
            f"The dissector's embedding of '{worst}' is not finite.",
            field="concept_set",
            value=worst,
            remedy="Check the dissector's weights.",
        )

    return embeddings


def check_enough_images(images: int, method: Method) -> None:
    """Raise TooFewImages: two of the top 5 % for rank_reorder; one for cosines; top-k images for all others."""
    if method.similarity in PRIOR_METHODS:
        needed = method.top_k
    elif method.similarity == "rank_reorder":
        needed = _RANK_REORDER_IMAGES
    else:
        needed = 1

    if images < needed:
        raise TooFewImages(
            f"There are {images} usable images, but {method.similarity} needs {needed}.",
            field="probe_set",
            value=images,
            remedy="Add images or lower top_k." if method.similarity in PRIOR_METHODS else "Add images.",
        )


Ranked = dict[int, list[tuple[int, float]]]
"""For each live unit its best concepts (index, score), best first."""


def _by_top_images(
    record: LayerRecord, most_activating: RunningTopK, live: Tensor, context: ScoringContext
) -> tuple[Ranked, list[Evidence], LayerNull | None]:
    concept_embeddings = context.concept_embeddings
    device = concept_embeddings.device
    top_k = context.options.method.top_k

    images = most_activating.indices[live].cpu()
    groups: list[NullSets] = []
    if context.tests_labels:
        groups = null_sets(images[:, :top_k], context)
    else:
        images = images[:, :top_k]

    positions = torch.unique(torch.cat([images.flatten(), *(group.sets.flatten() for group in groups)]))
    place = torch.zeros(int(positions[-1]) + 1, dtype=torch.int64)
    place[positions] = torch.arange(len(positions))

    rows = place[images].to(device)
    columns = columns_of_embeddings(context.read_embeddings(positions).to(device), concept_embeddings)
    scorer = _scorer(columns, context)
    best = best_concepts(
        scorer, rows[:, :top_k], context.options.concepts_per_neuron, check_cancelled=context.check_cancelled
    )
    ranked = _ranked(live, best.indices, best.scores)
    if not context.tests_labels:
        return ranked, [Evidence()] * len(live), None

    top = LayerTop(images, rows, _read_units(record.activations, live))
    placed = [NullSets(group.units, place[group.sets].to(device)) for group in groups]
    return ranked, *judge_labels(best, scorer, placed, top, context)


def _by_correlation(
    record: LayerRecord, live: Tensor, context: ScoringContext
) -> tuple[Ranked, list[Evidence], LayerNull | None]:
    if record.activations is None:
        raise ValueError("correlation needs all activations, and they were not kept")

    ranking, evidence, null = name_by_correlation(record.activations, live, context)
    return _ranked(live, ranking.indices, ranking.values), evidence, null


def _by_all_activations(record: LayerRecord, live: Tensor, context: ScoringContext) -> Ranked:
    options = context.options
    if record.activations is None:
        raise ValueError(f"{options.method.similarity} needs all activations, and they were not kept")

    match options.method.similarity:
        case "cosine":
            scores = cosine_of_blocks(_scored_blocks(record.activations, live, context))
        case "cosine_cubed":
            scores = _cosine_cubed(record.activations, live, context)
        case "rank_reorder":
            scores = _rank_reorder(record.activations, live, context)
        case _:
            raise ValueError(f"{options.method.similarity} has no function of all images")

    ranking = RunningTopK(options.concepts_per_neuron)
    ranking.update(scores.nan_to_num(nan=-torch.inf).t())
    return _ranked(live, ranking.indices, ranking.values)


def _ranked(live: Tensor, indices: Tensor, scores: Tensor) -> Ranked:
    ranked: Ranked = {}
    for unit, concepts, concept_scores in zip(live.tolist(), indices.tolist(), scores.tolist(), strict=True):
        best = zip(concepts, concept_scores, strict=True)
        ranked[unit] = [(concept, score) for concept, score in best if score > -torch.inf]
    return ranked


def _scorer(columns: ConceptColumns, context: ScoringContext) -> Scorer:
    method = context.options.method
    if method.similarity in CONTRASTS:
        return ContrastScorer(columns, context.spread, method.lam, scan=method.similarity == "contrast_scan")

    parameters = WpmiParameters(temperature=method.temperature, lam=method.lam)
    if method.similarity == "soft_wpmi":
        return WpmiScorer(columns, parameters)
    if method.similarity == "wpmi":
        return WpmiScorer(columns, replace(parameters, p_start=1.0, p_end=1.0))

    raise ValueError(f"{method.similarity} has no scorer")


def _read_units(activations: LayerActivations | None, live: Tensor) -> ReadUnits | None:
    """What reads live units by their positions among them; None where not all activations were kept."""
    return None if activations is None else lambda units: activations.of_units(live[units])


def _scored_blocks(
    activations: LayerActivations, live: Tensor, context: ScoringContext
) -> Iterator[tuple[Tensor, Tensor]]:
    """Concept scores and the live units' activations, on the device that scores."""
    concepts = context.concept_embeddings.t()
    for embeddings, block in context.blocks_of(activations):
        context.check_cancelled()
        yield embeddings.to(concepts.device) @ concepts, block[:, live].to(concepts.device)


def _cosine_cubed(activations: LayerActivations, live: Tensor, context: ScoringContext) -> Tensor:
    """float64 [live, C]."""
    concept_sums = torch.zeros((), dtype=torch.float64)
    unit_sums = torch.zeros((), dtype=torch.float64)
    for scores, block in _scored_blocks(activations, live, context):
        concept_sums = concept_sums.to(scores.device) + scores.double().sum(0)
        unit_sums = unit_sums.to(block.device) + block.double().sum(0)

    blocks = _scored_blocks(activations, live, context)
    return cosine_cubed_of_blocks(blocks, concept_sums / len(activations), unit_sums / len(activations))


def _rank_reorder(activations: LayerActivations, live: Tensor, context: ScoringContext) -> Tensor:
    """float32 [live, C]: all images of some units at a time, for each unit's images are put in order."""
    device = context.concept_embeddings.device
    images = context.read_embeddings(torch.arange(len(activations))).to(device)
    concept_scores = images @ context.concept_embeddings.t()
    generator = torch.Generator().manual_seed(SEED)

    scores = []
    for units in torch.split(live, max(1, _ENTRIES_AT_ONCE // len(activations))):
        context.check_cancelled()
        block = activations.of_units(units).to(device)
        scores.append(similarity.rank_reorder(concept_scores, block, generator=generator))
    return torch.cat(scores)


def _neurons(
    record: LayerRecord,
    most_activating: RunningTopK,
    ranked: Ranked,
    judged: Mapping[int, Evidence],
    context: ScoringContext,
) -> tuple[Neuron, ...]:
    count = context.options.images_per_neuron
    positions = most_activating.indices[:, :count].tolist()
    activations = most_activating.values[:, :count].tolist()
    concepts = context.concept_set.texts

    neurons = []
    for unit, summary in enumerate(record.summary.summaries()):
        if unit not in ranked:
            neurons.append(Neuron(unit, dead=True, activation=summary))
            continue

        top_images = tuple(
            _top_image(context.items[position], activation)
            for position, activation in zip(positions[unit], activations[unit], strict=True)
        )
        best_concepts_of_unit = tuple(
            RankedConcept(concept, concepts[concept], score) for concept, score in ranked[unit]
        )
        neurons.append(Neuron(unit, False, summary, best_concepts_of_unit, top_images, judged.get(unit)))

    return tuple(neurons)


def _top_image(item: ProbeItem, activation: float) -> TopImage:
    return TopImage(item.image_id, item.row, activation, item.box, frame=item.frame_number)
