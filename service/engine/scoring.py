"""From what a layer did to the names of its neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from service.domain.evidence import Evidence, LayerNull
from service.domain.methods import CONTRASTS, PRIOR_METHODS, Method
from service.domain.neurons import LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.probes import ProbeItem
from service.engine import similarity
from service.engine.concept_texts import check_distinguishable
from service.engine.evidence.judging import LayerTop, judge_labels, null_sets, with_quality
from service.engine.evidence.null_sets import NullSets
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.networks.protocols import Dissector
from service.engine.probing.probe import LayerRecord
from service.engine.similarity.contrast_scorer import ContrastScorer, spread_of_embeddings
from service.engine.similarity.scorer import ConceptColumns, Scorer, best_concepts, columns_of_embeddings
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer
from service.engine.top_k import RunningTopK
from service.errors import InvalidConceptSet, TooFewImages

SEED = 0
"""Of everything that is drawn at random, so that the same job gives the same scores."""

_RANK_REORDER_IMAGES = 40
_QUALITY_IMAGES = 100


def score_layer(layer: str, record: LayerRecord, context: ScoringContext) -> LayerDissection:
    """Name the units of one layer and judge the names. record: of all shards.

    Raises what `context.check_cancelled` raises.
    """
    live = (~record.summary.dead).nonzero().squeeze(1)
    if len(live) == 0:
        return LayerDissection(layer, _neurons(record, {}, {}, context))

    options = context.options
    with torch.inference_mode():
        if options.method.similarity in PRIOR_METHODS:
            ranked, evidence, null = _by_top_images(record, live, context)
        else:
            ranked, evidence, null = _by_all_activations(record, live, context), [Evidence()] * len(live), None

        judged: dict[int, Evidence] = {}
        if options.evidence.asked_for:
            top_images = record.top.indices[live, : min(options.method.top_k, _QUALITY_IMAGES)].cpu()
            evidence = with_quality(evidence, top_images, context.read_embeddings, live.tolist())
            judged = dict(zip(live.tolist(), evidence, strict=True))

    return LayerDissection(layer, _neurons(record, ranked, judged, context), null)


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
    record: LayerRecord, live: Tensor, context: ScoringContext
) -> tuple[Ranked, list[Evidence], LayerNull | None]:
    concept_embeddings = context.concept_embeddings
    device = concept_embeddings.device
    top_k = context.options.method.top_k

    images = record.top.indices[live].cpu()
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

    activations = None if record.full is None else record.full.matrix[:, live].cpu()
    top = LayerTop(images, rows, activations)
    placed = [NullSets(group.units, place[group.sets].to(device)) for group in groups]
    return ranked, *judge_labels(best, scorer, placed, top, context)


def _by_all_activations(record: LayerRecord, live: Tensor, context: ScoringContext) -> Ranked:
    options, concept_embeddings = context.options, context.concept_embeddings
    if record.full is None:
        raise ValueError(f"{options.method.similarity} needs all activations, and they were not kept")

    activations = record.full.matrix[:, live].to(concept_embeddings.device)
    images = context.read_embeddings(torch.arange(len(activations))).to(concept_embeddings.device)
    scores = _similarity_of_all(options.method, images @ concept_embeddings.t(), activations)

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
        spread = spread_of_embeddings(context.read_embeddings, len(context.items), context.concept_embeddings)
        return ContrastScorer(columns, spread, method.lam, scan=method.similarity == "contrast_scan")

    parameters = WpmiParameters(temperature=method.temperature, lam=method.lam)
    if method.similarity == "soft_wpmi":
        return WpmiScorer(columns, parameters)
    if method.similarity == "wpmi":
        return WpmiScorer(columns, replace(parameters, p_start=1.0, p_end=1.0))

    raise ValueError(f"{method.similarity} has no scorer")


def _similarity_of_all(method: Method, concept_scores: Tensor, activations: Tensor) -> Tensor:
    if method.similarity == "cosine":
        return similarity.cosine(concept_scores, activations)
    if method.similarity == "cosine_cubed":
        return similarity.cosine_cubed(concept_scores, activations)
    if method.similarity == "rank_reorder":
        return similarity.rank_reorder(concept_scores, activations, generator=torch.Generator().manual_seed(SEED))

    raise ValueError(f"{method.similarity} has no function of all images")


def _neurons(
    record: LayerRecord, ranked: Ranked, judged: Mapping[int, Evidence], context: ScoringContext
) -> tuple[Neuron, ...]:
    count = context.options.images_per_neuron
    positions = record.top.indices[:, :count].tolist()
    activations = record.top.values[:, :count].tolist()
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
