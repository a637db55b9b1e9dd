"""The engine's one public entry: a target, a dissector, probe images, concepts and a method in; named neurons out."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from service.domain.jobs import DissectionOptions, Progress, Stage
from service.domain.methods import Method
from service.domain.neurons import Dissection, LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.probes import ProbeItem
from service.engine import similarity
from service.engine.batches import OnUnreadable
from service.engine.hooks import pooled_layers
from service.engine.networks import Dissector, Target
from service.engine.probing import LayerRecord, Probing, probe
from service.engine.similarity_blocks import WpmiParameters, best_concepts, columns_of_embeddings
from service.engine.top_k import RunningTopK
from service.errors import InvalidConceptSet, TooFewImages
from service.ports import ProbeImages, ProgressListener

_RANK_REORDER_IMAGES = 40
_SEED = 0


def dissect(
    target: Target,
    dissector: Dissector,
    images: ProbeImages,
    concepts: Sequence[str],
    options: DissectionOptions,
    *,
    device: torch.device,
    batch_size: int = 8,
    on_unreadable: OnUnreadable = "fail",
    progress: ProgressListener,
) -> Dissection:
    """Name the units of the requested layers (None: the target's main layers) after the concepts.

    Each image is decoded once and shown once to each network; images_used says how many were shown, images_skipped
    which manifest rows could not be. The result does not depend on batch_size, except for what the networks
    themselves round differently in batches of different sizes.

    A dead unit, one with the same activation for every image, gets no concepts and no images, and is left out of
    soft-WPMI's prior term: its "most activating" images are the first of the probe set, whatever they show, and
    counting them would let the order of the manifest into every other unit's score. (The similarity functions
    themselves score all units they are given, as the original does.)

    progress is told of each batch and layer; what it raises (JobCancelled) ends the work, and no hook and no thread is
    left behind, however it ends. Raises InvalidInput, UnknownLayer, LayerWithoutTensor, TooFewImages,
    InvalidConceptSet, UnreadableImage, InvalidActivations; ValueError for a target that is not in eval mode.
    """
    if any(module.training for module in target.module.modules()):
        raise ValueError("the target must be in eval mode")
    _check_concepts(concepts)
    _check_enough_images(len(images.items), options.method)
    layers = target.main_layers if options.layers is None else options.layers
    with torch.inference_mode():
        with pooled_layers(target, layers, options.method.pooling) as forward:
            texts = dissector.embed_texts(concepts)
            probing = probe(
                target,
                forward,
                dissector,
                images,
                options.method,
                keep_top=max(options.method.top_k, options.images_per_neuron),
                device=device,
                batch_size=batch_size,
                on_unreadable=on_unreadable,
                progress=progress,
            )
        _check_enough_images(len(probing.used), options.method)
        return _score(probing, images.items, texts, concepts, options, progress)


def _score(
    probing: Probing,
    items: Sequence[ProbeItem],
    texts: Tensor,
    concepts: Sequence[str],
    options: DissectionOptions,
    progress: ProgressListener,
) -> Dissection:
    named: list[LayerDissection] = []

    def shown(position: int) -> ProbeItem:
        return items[probing.used[position]]

    def tell() -> None:
        progress(Progress(Stage.SCORE, len(named), len(probing.layers)))

    tell()
    for layer, record in probing.layers.items():
        ranked = _rank_concepts(record, probing.embeddings, texts, options, tell)
        named.append(LayerDissection(layer, _neurons(record, ranked, shown, concepts, options)))
        tell()
    return Dissection(tuple(named), len(probing.used), tuple(items[index].row for index in probing.skipped))


Ranked = dict[int, list[tuple[int, float]]]
"""For each live unit its best concepts (index, score), best first."""


def _rank_concepts(
    record: LayerRecord, embeddings: Tensor, texts: Tensor, options: DissectionOptions, between: Callable[[], None]
) -> Ranked:
    live = (~record.summary.dead).nonzero().squeeze(1)
    if len(live) == 0:
        return {}
    method = options.method
    if record.full is None:
        top_images = record.top.indices[live, : method.top_k].to(texts.device)
        columns, rows = columns_of_embeddings(embeddings, texts, top_images)
        indices, scores = best_concepts(
            columns, rows, _parameters(method), options.concepts_per_neuron, between=between
        )
    else:
        concept_scores = embeddings.to(texts.device) @ texts.t()
        activations = record.full.matrix[:, live].to(texts.device)
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
    # A fixed seed, so that the same job gives the same scores.
    return similarity.rank_reorder(concept_scores, activations, generator=torch.Generator().manual_seed(_SEED))


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


def _check_concepts(concepts: Sequence[str]) -> None:
    if not concepts:
        raise InvalidConceptSet("There are no concepts.", field="concept_set")
    if any(not concept.strip() for concept in concepts):
        raise InvalidConceptSet("There is an empty concept.", field="concept_set")
    if len(set(concepts)) < len(concepts):
        twice = next(concept for i, concept in enumerate(concepts) if concept in concepts[:i])
        raise InvalidConceptSet(f"The concept '{twice}' is there twice.", field="concept_set", value=twice)


def _check_enough_images(images: int, method: Method) -> None:
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
