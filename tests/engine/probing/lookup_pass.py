"""A pass whose target and dissector look up stored rows, so that not even the composition of batches can show."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method, Similarity
from service.domain.neurons import LayerDissection
from service.domain.probes import ProbeItem
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.networks.protocols import Target
from service.engine.probing.activations import MOST_IN_MEMORY
from service.engine.probing.probe import Probing, ProbingPass, kept_top, merge_records
from service.engine.probing.shards import StoredShard, encode_shard, gather_embeddings
from service.engine.scoring import score_layer
from tests.engine.toys import ArrayImages, Lookup, Stored, target_of, words

CPU = torch.device("cpu")
IMAGES, CONCEPTS = 60, 9
DEAD_UNIT = 2
NONE = EvidenceOptions(draws=0)
TEXTS = [str(text) for text in range(CONCEPTS)]
LAYERS = ("layers.wide", "layers.narrow")


def activations(units: int, seed: int) -> Tensor:
    """Of six levels only, so that most images tie with others; one unit is dead."""
    drawn = torch.randn(IMAGES, units, generator=torch.Generator().manual_seed(seed))
    drawn = (5 * drawn.sigmoid()).round() / 5 - 0.4
    drawn[:, DEAD_UNIT] = 0.3
    return drawn


TARGET = target_of(Lookup({"wide": activations(7, 1), "narrow": activations(3, 2)}), CPU, *LAYERS)
DISSECTOR = Stored(
    torch.rand(IMAGES, 5, generator=torch.Generator().manual_seed(3)),
    torch.rand(CONCEPTS, 5, generator=torch.Generator().manual_seed(4)),
)


def probe_images(broken: Collection[int] = ()) -> ArrayImages:
    """Images that say which row they are."""
    return ArrayImages([np.full((3, 2, 2), index, np.float32) for index in range(IMAGES)], sorted(broken))


def options_of(similarity: Similarity, evidence: EvidenceOptions = NONE) -> DissectionOptions:
    method = Method.of(similarity, top_k=6)
    return DissectionOptions(None, method, concepts_per_neuron=4, images_per_neuron=8, evidence=evidence)


def passing(
    options: DissectionOptions, images: ArrayImages, target: Target = TARGET, most_activations: int = MOST_IN_MEMORY
) -> ProbingPass:
    return ProbingPass(
        target,
        DISSECTOR,
        images,
        options,
        CPU,
        batch_size=4,
        on_unreadable="skip",
        most_activations=most_activations,
    )


def probe_span(
    options: DissectionOptions,
    images: ArrayImages,
    span: range,
    target: Target = TARGET,
    most_activations: int = MOST_IN_MEMORY,
) -> Probing:
    return passing(options, images, target, most_activations).run(span, lambda _done: None)


def context_of(
    options: DissectionOptions, read_embeddings: Callable[[Tensor], Tensor], items: Sequence[ProbeItem]
) -> ScoringContext:
    return ScoringContext(
        concept_set=words(TEXTS),
        concept_embeddings=DISSECTOR.embed_texts(TEXTS),
        items=items,
        read_embeddings=read_embeddings,
        options=options,
        finding_of_concept={},
        check_cancelled=lambda: None,
    )


def store(folder: Path, probing: Probing) -> StoredShard:
    path = folder / f"{len(list(folder.iterdir()))}.safetensors"
    path.write_bytes(encode_shard(probing))
    return StoredShard(path)


@dataclass
class Asked:
    """The embeddings of stored shards, and which of them were asked for."""

    shards: Sequence[StoredShard]
    positions: list[list[int]] = field(default_factory=list)

    def __call__(self, positions: Tensor) -> Tensor:
        self.positions.append(positions.tolist())
        return gather_embeddings(self.shards, positions)


def scored(
    layer: str, shards: Sequence[StoredShard], used: list[int], options: DissectionOptions, images: ArrayImages
) -> LayerDissection:
    record = merge_records((shard.record(layer) for shard in shards if shard.layers), kept_top(options))
    items = [images.items[index] for index in used]
    return score_layer(layer, record, context_of(options, Asked(shards), items))
