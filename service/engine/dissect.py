"""The engine's one public entry: a target, a dissector, probe images, concepts and a method in; named neurons out.

Whoever names the same neurons more than once calls its two halves, `show_images` and `name_neurons`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.jobs import DissectionOptions, Progress, Stage
from service.domain.neurons import Dissection, LayerDissection
from service.domain.probes import ProbeItem
from service.engine.evidence.job import job_evidence
from service.engine.networks.protocols import Dissector, Target
from service.engine.probing.batches import OnUnreadable
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.probe import Probing, probe
from service.engine.probing.shards import gather_embeddings, shard_spans
from service.engine.scoring import check_enough_images, embed_concepts, score_layer
from service.ports import ProbeImages, ProgressListener


def dissect(
    target: Target,
    dissector: Dissector,
    images: ProbeImages,
    concept_set: ConceptSet,
    options: DissectionOptions,
    *,
    names: Mapping[int, str] | None = None,
    device: torch.device,
    batch_size: int = 8,
    shard_size: int = 256,
    on_unreadable: OnUnreadable = "fail",
    progress: ProgressListener,
) -> Dissection:
    """Name the units of the requested layers (None: the target's main layers) after the concepts, and judge the names.

    names: for each concept that names a finding of the probe set, the finding; without them nothing is said of
    agreement and of what the dissector can see.

    Each image is decoded once and shown once to each network; images_used says how many were shown, images_skipped
    which manifest rows could not be. The images are shown in shards and merged exactly as workers do it; the result
    depends on batch_size and shard_size only by what the networks themselves round differently in batches of different
    sizes, and by the last bits of the activations' mean and deviation.

    A dead unit, one with the same activation for every image, gets no concepts and no images, and is left out of
    soft-WPMI's prior term: its "most activating" images are the first of the probe set, whatever they show, and
    counting them would let the order of the manifest into every other unit's score. (The similarity functions
    themselves score all units they are given, as the original does.)

    progress is told of each batch and layer; what it raises (JobCancelled) ends the work, and no hook and no thread is
    left behind, however it ends. Raises InvalidInput, UnknownLayer, LayerWithoutTensor, TooFewImages,
    InvalidConceptSet, UnreadableImage, InvalidActivations; ValueError for a target that is not in eval mode.
    """
    with torch.inference_mode():
        texts = embed_concepts(dissector, concept_set.texts)
    probing = show_images(
        target,
        dissector,
        images,
        options,
        device=device,
        batch_size=batch_size,
        shard_size=shard_size,
        on_unreadable=on_unreadable,
        progress=progress,
    )
    return name_neurons(probing, images.items, texts, concept_set, options, names=names or {}, progress=progress)


def show_images(
    target: Target,
    dissector: Dissector,
    images: ProbeImages,
    options: DissectionOptions,
    *,
    device: torch.device,
    batch_size: int = 8,
    shard_size: int = 256,
    on_unreadable: OnUnreadable = "fail",
    progress: ProgressListener,
) -> Probing:
    """Show every image once to both networks. Raises what `dissect` raises, but for InvalidConceptSet."""
    if any(module.training for module in target.module.modules()):
        raise ValueError("the target must be in eval mode")
    total = len(images.items)
    check_enough_images(total, options.method)
    layers = target.main_layers if options.layers is None else options.layers
    probing = Probing()
    with torch.inference_mode(), pooled_layers(target, layers, options.method.pooling) as forward:
        progress(Progress(Stage.PROBE, 0, total))
        for span in shard_spans(total, shard_size):

            def tell(done: int, first: int = span.start) -> None:
                progress(Progress(Stage.PROBE, first + done, total))

            shard = probe(
                target,
                forward,
                dissector,
                images,
                options,
                span=span,
                device=device,
                batch_size=batch_size,
                on_unreadable=on_unreadable,
                progress=tell,
            )
            probing.merge(shard, span.start)
    check_enough_images(len(probing.used), options.method)
    return probing


def name_neurons(
    probing: Probing,
    items: Sequence[ProbeItem],
    texts: Tensor,
    concept_set: ConceptSet,
    options: DissectionOptions,
    *,
    names: Mapping[int, str],
    progress: ProgressListener,
) -> Dissection:
    """Name the neurons from what `show_images` left, and judge the names.

    items: the probe set's. texts: `embed_concepts` of the set. options: those of the probing, but for a method that
    keeps no more of it (the prior methods may stand in for each other) and less evidence. names: as for `dissect`.
    """
    named: list[LayerDissection] = []
    used = [items[index] for index in probing.used]

    def embeddings(positions: Tensor) -> Tensor:
        return gather_embeddings(probing.embeddings, positions)

    def tell() -> None:
        progress(Progress(Stage.SCORE, len(named), len(probing.layers)))

    tell()
    for layer, record in probing.layers.items():
        named.append(
            score_layer(layer, record, embeddings, texts, used, concept_set, options, names=names, between=tell)
        )
        tell()
    everything = all(record.full is not None for record in probing.layers.values())
    evidence = job_evidence(used, embeddings, texts, concept_set, options, names, every_activation=everything)
    skipped = tuple(items[index].row for index in probing.skipped)
    return Dissection(tuple(named), len(probing.used), skipped, evidence)
