"""From what a layer did to the names of its neurons."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.evidence import Evidence, LayerNull
from service.domain.jobs import DissectionOptions
from service.domain.methods import CONTRASTS, PRIOR_METHODS, Method
from service.domain.neurons import LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.probes import ProbeItem
from service.engine import similarity
from service.engine.evidence.judging import LayerTop, ProbeFacts, judge, null_sets, refusal, with_quality
from service.engine.evidence.null_sets import NullSets
from service.engine.networks.protocols import Dissector
from service.engine.probing.probe import LayerRecord
from service.engine.similarity.contrast_scorer import ConceptSpread, ContrastScorer, spread_of_embeddings
from service.engine.similarity.scorer import ConceptColumns, Scorer, best_concepts, columns_of_embeddings
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer
from service.engine.top_k import RunningTopK
from service.errors import InvalidConceptSet, TooFewImages

SEED = 0
"""Of everything that is drawn at random, so that the same job gives the same scores."""

_RANK_REORDER_IMAGES = 40
_QUALITY_IMAGES = 100


def score_layer(
    layer: str,
    record: LayerRecord,
    embeddings: Callable[[Tensor], Tensor],
    texts: Tensor,
    items: Sequence[ProbeItem],
    concept_set: ConceptSet,
    options: DissectionOptions,
    *,
    names: Mapping[int, str],
    between: Callable[[], None],
) -> LayerDissection:
    """Name the units of one layer and judge the names.

    record: of all shards. embeddings: maps positions among the used images (int64 [n], ascending, CPU) to the
    dissector's embeddings, float32 [n, D]; without evidence soft_wpmi and wpmi ask only for images that are among some
    unit's top, the contrasts for all. texts: float32 [C, D], on the device that scores. items: the used images, in
    order. names: for each concept that names a finding of the probe set, the finding. between: called between two
    blocks of concepts and between two resamples; may raise to stop.
    """
    live = (~record.summary.dead).nonzero().squeeze(1)
    if len(live) == 0:
        return LayerDissection(layer, _neurons(record, {}, {}, items, concept_set.texts, options))
    with torch.inference_mode():
        if options.method.similarity in PRIOR_METHODS:
            facts = ProbeFacts.of(items, names)
            ranked, evidence, null = _by_top_images(
                record, live, embeddings, texts, concept_set, facts, options, between
            )
        else:
            ranked, null = _by_all_activations(record, live, embeddings, texts, options), None
            evidence = [Evidence()] * len(live)
        if options.evidence.draws:
            top_images = record.top.indices[live, : min(options.method.top_k, _QUALITY_IMAGES)].cpu()
            evidence = with_quality(evidence, top_images, embeddings, live.tolist())
    judged = dict(zip(live.tolist(), evidence, strict=True)) if options.evidence.draws else {}
    return LayerDissection(layer, _neurons(record, ranked, judged, items, concept_set.texts, options), null)


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

    Raises InvalidConceptSet when there are none, when one is empty or there twice or its embedding is not finite.
    """
    _check_concepts(concepts)
    texts = dissector.embed_texts(concepts)
    finite = torch.isfinite(texts).all(dim=1)
    if not bool(finite.all()):
        worst = concepts[int((~finite).nonzero()[0, 0])]
        raise InvalidConceptSet(
            f"The dissector's embedding of '{worst}' is not finite.",
            field="concept_set",
            value=worst,
            remedy="Check the dissector's weights.",
        )
    return texts


def check_enough_images(images: int, method: Method) -> None:
    """Raise TooFewImages: two of the top 5 % for rank_reorder; one for cosines; top-k images for all others."""
    top_k = method.top_k if method.similarity in PRIOR_METHODS else 1
    needed = _RANK_REORDER_IMAGES if method.similarity == "rank_reorder" else top_k
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
    record: LayerRecord,
    live: Tensor,
    embeddings: Callable[[Tensor], Tensor],
    texts: Tensor,
    concept_set: ConceptSet,
    facts: ProbeFacts,
    options: DissectionOptions,
    between: Callable[[], None],
) -> tuple[Ranked, list[Evidence], LayerNull | None]:
    top_k = options.method.top_k
    inferred = options.evidence.draws > 0 and refusal(facts.exams, options) is None
    images = record.top.indices[live].cpu()
    images = images if inferred else images[:, :top_k]
    groups = null_sets(images[:, :top_k], facts, options) if inferred else []
    positions = torch.unique(torch.cat([images.flatten(), *(group.sets.flatten() for group in groups)]))
    place = torch.zeros(int(positions[-1]) + 1, dtype=torch.int64)
    place[positions] = torch.arange(len(positions))
    rows = place[images].to(texts.device)
    columns = columns_of_embeddings(embeddings(positions).to(texts.device), texts)
    scorer = _scorer(columns, options.method, lambda: spread_of_embeddings(embeddings, record.top.seen, texts))
    best = best_concepts(scorer, rows[:, :top_k], options.concepts_per_neuron, between=between)
    ranked = _ranked(live, best.indices, best.scores)
    if not inferred:
        return ranked, [Evidence()] * len(live), None
    top = LayerTop(images, rows, None if record.full is None else record.full.matrix[:, live].cpu())
    placed = [NullSets(group.units, place[group.sets].to(texts.device)) for group in groups]
    return ranked, *judge(best, scorer, placed, top, concept_set, facts, options, between=between)


def _by_all_activations(
    record: LayerRecord,
    live: Tensor,
    embeddings: Callable[[Tensor], Tensor],
    texts: Tensor,
    options: DissectionOptions,
) -> Ranked:
    if record.full is None:
        raise ValueError(f"{options.method.similarity} needs all activations, and they were not kept")
    activations = record.full.matrix[:, live].to(texts.device)
    concept_scores = embeddings(torch.arange(len(activations))).to(texts.device) @ texts.t()
    ranking = RunningTopK(options.concepts_per_neuron)
    ranking.update(_similarity_of_all(options.method, concept_scores, activations).nan_to_num(nan=-torch.inf).t())
    return _ranked(live, ranking.indices, ranking.values)


def _ranked(live: Tensor, indices: Tensor, scores: Tensor) -> Ranked:
    return {
        unit: [(concept, score) for concept, score in zip(*row, strict=True) if score > -torch.inf]
        for unit, *row in zip(live.tolist(), indices.tolist(), scores.tolist(), strict=True)
    }


def _scorer(columns: ConceptColumns, method: Method, spread: Callable[[], ConceptSpread]) -> Scorer:
    if method.similarity in CONTRASTS:
        return ContrastScorer(columns, spread(), method.lam, scan=method.similarity == "contrast_scan")
    parameters = WpmiParameters(temperature=method.temperature, lam=method.lam)
    if method.similarity == "wpmi":
        parameters = replace(parameters, p_start=1.0, p_end=1.0)
    return WpmiScorer(columns, parameters)


def _similarity_of_all(method: Method, concept_scores: Tensor, activations: Tensor) -> Tensor:
    if method.similarity == "cosine":
        return similarity.cosine(concept_scores, activations)
    if method.similarity == "cosine_cubed":
        return similarity.cosine_cubed(concept_scores, activations)
    return similarity.rank_reorder(concept_scores, activations, generator=torch.Generator().manual_seed(SEED))


def _neurons(
    record: LayerRecord,
    ranked: Ranked,
    judged: Mapping[int, Evidence],
    items: Sequence[ProbeItem],
    concepts: Sequence[str],
    options: DissectionOptions,
) -> tuple[Neuron, ...]:
    count = options.images_per_neuron
    positions = record.top.indices[:, :count].tolist()
    activations = record.top.values[:, :count].tolist()
    neurons = []
    for unit, summary in enumerate(record.summary.summaries()):
        if unit not in ranked:
            neurons.append(Neuron(unit, dead=True, activation=summary))
            continue
        top_images = tuple(
            _top_image(items[position], activation)
            for position, activation in zip(positions[unit], activations[unit], strict=True)
        )
        names = tuple(RankedConcept(concept, concepts[concept], score) for concept, score in ranked[unit])
        neurons.append(Neuron(unit, False, summary, names, top_images, judged.get(unit)))
    return tuple(neurons)


def _top_image(item: ProbeItem, activation: float) -> TopImage:
    return TopImage(item.image_id, item.row, activation, item.box)
