"""From what a layer did to the names of its neurons."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.neurons import LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.probes import ProbeItem
from service.engine import similarity
from service.engine.probing import LayerRecord
from service.engine.similarity_blocks import WpmiParameters, best_concepts, columns_of_embeddings
from service.engine.top_k import RunningTopK
from service.errors import InvalidConceptSet, TooFewImages

SEED = 0
"""Of everything that is drawn at random, so that the same job gives the same scores."""

_RANK_REORDER_IMAGES = 40


def score_layer(
    layer: str,
    record: LayerRecord,
    embeddings: Callable[[Tensor], Tensor],
    texts: Tensor,
    shown: Callable[[int], ProbeItem],
    concepts: Sequence[str],
    options: DissectionOptions,
    *,
    between: Callable[[], None],
) -> LayerDissection:
    """Name the units of one layer.

    record: of all shards. embeddings: maps positions among the used images (int64 [n], ascending, CPU) to the
    dissector's embeddings, float32 [n, D]; soft_wpmi and wpmi ask only for images that are among some unit's top.
    texts: float32 [C, D], on the device that scores. shown: the probe item at a position among the used images.
    between: called between two blocks of concepts; may raise to stop.
    """
    with torch.inference_mode():
        ranked = _rank_concepts(record, embeddings, texts, options, between)
    return LayerDissection(layer, _neurons(record, ranked, shown, concepts, options))


def check_concepts(concepts: Sequence[str]) -> None:
    """Raise InvalidConceptSet when there are none, or one is empty or there twice."""
    if not concepts:
        raise InvalidConceptSet("There are no concepts.", field="concept_set")
    if any(not concept.strip() for concept in concepts):
        raise InvalidConceptSet("There is an empty concept.", field="concept_set")
    if len(set(concepts)) < len(concepts):
        twice = next(concept for i, concept in enumerate(concepts) if concept in concepts[:i])
        raise InvalidConceptSet(f"The concept '{twice}' is there twice.", field="concept_set", value=twice)


def check_enough_images(images: int, method: Method) -> None:
    """Raise TooFewImages: top-k images for soft_wpmi and wpmi; two of the top 5 % for rank_reorder; one for cosines."""
    top_k = method.top_k if method.similarity in {"soft_wpmi", "wpmi"} else 1
    needed = _RANK_REORDER_IMAGES if method.similarity == "rank_reorder" else top_k
    if images < needed:
        raise TooFewImages(
            f"There are {images} usable images, but {method.similarity} needs {needed}.",
            field="probe_set",
            value=images,
            remedy="Add images or lower top_k." if method.similarity in {"soft_wpmi", "wpmi"} else "Add images.",
        )


Ranked = dict[int, list[tuple[int, float]]]
"""For each live unit its best concepts (index, score), best first."""


def _rank_concepts(
    record: LayerRecord,
    embeddings: Callable[[Tensor], Tensor],
    texts: Tensor,
    options: DissectionOptions,
    between: Callable[[], None],
) -> Ranked:
    live = (~record.summary.dead).nonzero().squeeze(1)
    if len(live) == 0:
        return {}
    method = options.method
    if record.full is None:
        top_images = record.top.indices[live, : method.top_k].cpu()
        positions, rows = torch.unique(top_images, return_inverse=True)
        columns, rows = columns_of_embeddings(embeddings(positions), texts, rows.to(texts.device))
        indices, scores = best_concepts(
            columns, rows, _parameters(method), options.concepts_per_neuron, between=between
        )
    else:
        activations = record.full.matrix[:, live].to(texts.device)
        concept_scores = embeddings(torch.arange(len(activations))).to(texts.device) @ texts.t()
        every_score = _similarity_of_all(method, concept_scores, activations)
        ranking = RunningTopK(options.concepts_per_neuron)
        ranking.update(every_score.nan_to_num(nan=-torch.inf).t())
        indices, scores = ranking.indices, ranking.values
    return {
        unit: [(concept, score) for concept, score in zip(*row, strict=True) if score > -torch.inf]
        for unit, *row in zip(live.tolist(), indices.tolist(), scores.tolist(), strict=True)
    }


def _parameters(method: Method) -> WpmiParameters:
    if method.similarity == "wpmi":
        return WpmiParameters(temperature=method.temperature, lam=method.lam, p_start=1.0, p_end=1.0)
    return WpmiParameters(temperature=method.temperature, lam=method.lam)


def _similarity_of_all(method: Method, concept_scores: Tensor, activations: Tensor) -> Tensor:
    if method.similarity == "cosine":
        return similarity.cosine(concept_scores, activations)
    if method.similarity == "cosine_cubed":
        return similarity.cosine_cubed(concept_scores, activations)
    return similarity.rank_reorder(concept_scores, activations, generator=torch.Generator().manual_seed(SEED))


def _neurons(
    record: LayerRecord,
    ranked: Ranked,
    shown: Callable[[int], ProbeItem],
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
            _top_image(shown(position), activation)
            for position, activation in zip(positions[unit], activations[unit], strict=True)
        )
        names = tuple(RankedConcept(concept, concepts[concept], score) for concept, score in ranked[unit])
        neurons.append(Neuron(unit, dead=False, activation=summary, concepts=names, images=top_images))
    return tuple(neurons)


def _top_image(item: ProbeItem, activation: float) -> TopImage:
    return TopImage(item.image_id, item.row, activation, item.box)
