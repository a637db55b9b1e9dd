"""The engine's one public entry: a probing pass, concepts and a method in; named neurons out.

Whoever names the same neurons more than once calls its two halves, `show_images` and `name_neurons`.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from service.domain.concepts import ConceptSet
from service.domain.jobs import SHARD_SIZE, DissectionOptions, Progress, Stage
from service.domain.neurons import Dissection, LayerDissection
from service.domain.probes import ProbeItem
from service.engine.evidence.job import job_evidence
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.probing.probe import Probing, ProbingPass
from service.engine.probing.shards import gather_embeddings, shard_spans
from service.engine.prompting import embed_concept_set
from service.engine.scoring import check_enough_images, score_layer
from service.ports import ProgressListener


def dissect(
    probing_pass: ProbingPass,
    concept_set: ConceptSet,
    *,
    finding_of_concept: Mapping[int, str] | None = None,
    independent: str | None = None,
    shard_size: int = SHARD_SIZE,
    progress: ProgressListener,
) -> Dissection:
    """Name the units of the pass's layers after the concepts, and judge the names.

    finding_of_concept: for each concept that findings of the probe set mean, these: one, or several `joined`. Without
    them nothing is said of agreement and of what the dissector can see.
    independent: what was chosen to count as independent: see `group_images`.

    Each image is decoded once and shown once to each network; images_used says how many were shown, images_skipped
    which manifest rows could not be. The images are shown in shards and merged exactly as workers do it; the result
    depends on the pass's batch size and shard_size only by what the networks themselves round differently in batches of
    different sizes, and by the last bits of the activations' mean and deviation.

    A dead unit, one with the same activation for every image, gets no concepts and no images, and is left out of
    soft-WPMI's prior term: its "most activating" images are the first of the probe set, whatever they show, and
    counting them would let the order of the manifest into every other unit's score. (The similarity functions
    themselves score all units they are given, as the original does.)

    progress is told of each batch and layer; what it raises (JobCancelled) ends the work, and no hook and no thread is
    left behind, however it ends. Raises InvalidInput, UnknownLayer, LayerWithoutTensor, TooFewImages,
    InvalidConceptSet, UnreadableImage, InvalidActivations; ValueError for a target that is not in eval mode.
    """
    with torch.inference_mode():
        prompts = probing_pass.options.method.prompts
        concept_embeddings = embed_concept_set(probing_pass.dissector, concept_set, prompts)

    probing = show_images(probing_pass, shard_size=shard_size, progress=progress)
    return name_neurons(
        probing,
        probing_pass.images.items,
        concept_embeddings,
        concept_set,
        probing_pass.options,
        finding_of_concept=finding_of_concept or {},
        independent=independent,
        progress=progress,
    )


def show_images(probing_pass: ProbingPass, *, shard_size: int = SHARD_SIZE, progress: ProgressListener) -> Probing:
    """Show every image once to both networks. Raises what `dissect` raises, but for InvalidConceptSet."""
    total = len(probing_pass.images.items)
    method = probing_pass.options.method
    check_enough_images(total, method)
    progress(Progress(Stage.PROBE, 0, total))

    probing = Probing()
    for span in shard_spans(total, shard_size):

        def report_shard(done: int, first: int = span.start) -> None:
            progress(Progress(Stage.PROBE, first + done, total))

        shard = probing_pass.run(span, report_shard)
        with torch.inference_mode():
            probing.merge(shard, span.start)

    check_enough_images(len(probing.used), method)
    return probing


def name_neurons(
    probing: Probing,
    items: Sequence[ProbeItem],
    concept_embeddings: Tensor,
    concept_set: ConceptSet,
    options: DissectionOptions,
    *,
    finding_of_concept: Mapping[int, str],
    independent: str | None = None,
    progress: ProgressListener,
) -> Dissection:
    """Name the neurons from what `show_images` left, and judge the names.

    items: the probe set's.
    concept_embeddings: `embed_concept_set` of the set.
    options: those of the probing, whose method and evidence may be others where all activations were kept. Where only
    the largest were, the prior methods may stand in for each other, with a top-k and evidence that ask for no more.
    finding_of_concept, independent: as for `dissect`.
    """
    layers: list[LayerDissection] = []

    def report_layers() -> None:
        progress(Progress(Stage.SCORE, len(layers), len(probing.layers)))

    context = ScoringContext(
        concept_set=concept_set,
        concept_embeddings=concept_embeddings,
        items=[items[index] for index in probing.used],
        read_embeddings=lambda positions: gather_embeddings(probing.embeddings, positions),
        options=options,
        finding_of_concept=finding_of_concept,
        check_cancelled=report_layers,
        independent=independent,
        every_activation=probing.has_every_activation,
    )

    report_layers()
    for layer, record in probing.layers.items():
        layers.append(score_layer(layer, record, context))
        report_layers()

    skipped = tuple(items[index].row for index in probing.skipped)
    evidence = job_evidence(context)
    return Dissection(tuple(layers), len(probing.used), skipped, evidence)
