"""Shards probed apart, stored and merged give what one pass gives, and a file that is no shard is refused."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method, Similarity
from service.domain.neurons import ActivationSummary, Dissection, LayerDissection, Neuron
from service.domain.probes import ProbeItem
from service.engine.dissect import dissect
from service.engine.evidence.scoring_context import ScoringContext
from service.engine.networks.protocols import Target
from service.engine.probing.activations import MOST_IN_MEMORY, RunningSummary
from service.engine.probing.probe import LayerRecord, Probing, ProbingPass, kept_top, merge_records
from service.engine.probing.shards import StoredShard, encode_shard, gather_embeddings, iterate_activations, shard_spans
from service.engine.scoring import score_layer
from service.engine.top_k import RunningTopK
from service.errors import InvalidInput, UnknownLayer
from tests.engine.toys import (
    ArrayImages,
    Conv,
    GreyDissector,
    Lookup,
    Stored,
    grey_images,
    hooks_left,
    no_progress,
    target_of,
    words,
)

CPU = torch.device("cpu")
IMAGES, CONCEPTS = 60, 9
DEAD_UNIT = 2
NONE = EvidenceOptions(draws=0)
TEXTS = [str(text) for text in range(CONCEPTS)]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)
LAYERS = ("layers.wide", "layers.narrow")


def activations(units: int, seed: int) -> Tensor:
    """Of eleven levels only, so that most images tie with others; one unit is dead."""
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
    """Images that look up stored rows, so that not even the composition of batches can show in the result."""
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


def from_storage(folder: Path, options: DissectionOptions, images: ArrayImages, shard_size: int) -> Dissection:
    """The dissection as workers make it: each shard on its own, through a file."""
    spans = shard_spans(IMAGES, shard_size)
    shards = [store(folder, probe_span(options, images, span)) for span in spans]
    used = [span[index] for span, shard in zip(spans, shards, strict=True) for index in shard.used]
    skipped = [span[index] for span, shard in zip(spans, shards, strict=True) for index in shard.skipped]
    return Dissection(
        tuple(scored(layer, shards, used, options, images) for layer in LAYERS),
        len(used),
        tuple(images.items[index].row for index in skipped),
    )


def scored(
    layer: str, shards: Sequence[StoredShard], used: list[int], options: DissectionOptions, images: ArrayImages
) -> LayerDissection:
    record = merge_records((shard.record(layer) for shard in shards if shard.layers), kept_top(options))
    items = [images.items[index] for index in used]
    return score_layer(layer, record, context_of(options, Asked(shards), items))


def in_one_pass(options: DissectionOptions, images: ArrayImages, shard_size: int = IMAGES) -> Dissection:
    return dissect(passing(options, images), words(TEXTS), shard_size=shard_size, progress=no_progress)


def without_moments(dissection: Dissection) -> Dissection:
    """Mean and deviation left out, which are sums in an order that follows the shards."""

    def bare(neuron: Neuron) -> Neuron:
        return replace(neuron, activation=replace(neuron.activation, mean=0.0, std=0.0))

    return replace(
        dissection,
        layers=tuple(replace(layer, neurons=tuple(map(bare, layer.neurons))) for layer in dissection.layers),
    )


def test_evidence_is_the_same_however_the_probe_set_is_cut(tmp_path: Path) -> None:
    options, images = options_of("soft_wpmi", EvidenceOptions(draws=200, resamples=6, halves=3)), probe_images({7})
    whole = in_one_pass(options, images)
    stored = from_storage(tmp_path, options, images, 16)
    assert without_moments(stored) == without_moments(replace(whole, evidence=None))
    evidence = [neuron.evidence for layer in whole.layers for neuron in layer.neurons if not neuron.dead]
    assert all(one and one.significance and one.stability and one.quality for one in evidence)
    assert {len(one.resampled) for one in evidence if one} == {6}
    assert {len(one.halves) for one in evidence if one} == {6}


def moments(dissection: Dissection) -> list[float]:
    return [
        number
        for layer in dissection.layers
        for neuron in layer.neurons
        for number in (neuron.activation.mean, neuron.activation.std)
    ]


@pytest.mark.parametrize("similarity", SIMILARITIES)
@settings(max_examples=15)
@given(shard_size=st.integers(1, IMAGES), broken=st.sets(st.integers(0, IMAGES - 1), max_size=IMAGES - 40))
def test_stored_shards_merge_to_what_one_pass_gives(similarity: Similarity, shard_size: int, broken: set[int]) -> None:
    options, images = options_of(similarity), probe_images(broken)
    whole = in_one_pass(options, images)
    assert whole.images_skipped == tuple(index + 1 for index in sorted(broken))
    assert all(layer.neurons[DEAD_UNIT].dead for layer in whole.layers)
    assert any(neuron.concepts for layer in whole.layers for neuron in layer.neurons)
    with tempfile.TemporaryDirectory() as folder:
        stored = from_storage(Path(folder), options, images, shard_size)
    here = in_one_pass(options, images, shard_size)
    assert without_moments(stored) == without_moments(here) == without_moments(whole)
    assert moments(stored) == moments(here), "the same shards in the same order give the same bits"
    assert moments(stored) == pytest.approx(moments(whole), rel=1e-12)


def test_a_network_gives_the_same_in_shards_that_its_batches_fill(device: torch.device) -> None:
    levels = torch.rand(23, generator=torch.Generator().manual_seed(5)).tolist()
    probing_pass = ProbingPass(
        target=target_of(Conv((1, -1, -1), (0, 0, 1)), device, "blocks.1"),
        dissector=GreyDissector(device),
        images=grey_images(*levels),
        options=DissectionOptions(None, Method(top_k=3)),
        device=device,
        batch_size=4,
    )
    results = [
        dissect(probing_pass, words(("0.1", "0.8", "1.5")), shard_size=shard_size, progress=no_progress)
        for shard_size in (4, 12, 24)
    ]
    assert without_moments(results[0]) == without_moments(results[1]) == without_moments(results[2])


@pytest.mark.parametrize("most_activations", [0, MOST_IN_MEMORY])
def test_a_shard_does_not_know_where_it_lies(most_activations: int) -> None:
    arrays = [np.full((3, 2, 2), index, np.float32) for index in (5, 6, 7, 8)]
    moved = ArrayImages([*arrays[:1], *arrays, *arrays], [4, 8])
    options = options_of("soft_wpmi")
    spans = (range(1, 5), range(5, 9))
    first, second = (probe_span(options, moved, span, most_activations=most_activations) for span in spans)
    assert encode_shard(first) == encode_shard(second)
    assert (first.used, first.skipped) == ([0, 1, 2], [3])


@pytest.mark.parametrize("most_activations", [0, MOST_IN_MEMORY])
def test_a_stored_shard_is_what_was_probed(tmp_path: Path, most_activations: int) -> None:
    probing = probe_span(options_of("soft_wpmi"), probe_images([3]), range(2, 9), most_activations=most_activations)
    stored = store(tmp_path, probing)
    assert (stored.layers, stored.used, stored.skipped) == (LAYERS, [0, 2, 3, 4, 5, 6], [1])
    for layer, record in probing.layers.items():
        again = stored.record(layer)
        again_top, top = again.most_activating(8), record.most_activating(8)
        assert torch.equal(again_top.indices, top.indices)
        assert torch.equal(again_top.values, top.values)
        assert (again_top.k, again_top.seen) == (top.k, top.seen) == (8, 6)
        assert again.summary.summaries() == record.summary.summaries()
        assert (again.activations is None) == (record.activations is None) == (most_activations == 0)
        if again.activations is not None and record.activations is not None:
            assert torch.equal(again.activations.matrix(), record.activations.matrix())
    assert torch.equal(stored[torch.tensor([0, 2])], torch.cat(probing.embeddings)[[0, 2]])
    with pytest.raises(ValueError, match="not in tuple"):
        stored.record("layers.none")


def test_a_shard_of_unreadable_images_is_stored_too(tmp_path: Path) -> None:
    stored = store(tmp_path, probe_span(options_of("soft_wpmi"), probe_images(range(4, 8)), range(4, 8)))
    assert (len(stored), stored.layers, stored.used, stored.skipped) == (0, (), [], [0, 1, 2, 3])


def test_labels_are_the_same_whether_all_activations_are_kept_or_the_largest(tmp_path: Path) -> None:
    options, images = options_of("contrast", EvidenceOptions(draws=200, resamples=6, halves=3)), probe_images({7})
    labels = []
    for most in (0, MOST_IN_MEMORY):
        dissection = dissect(passing(options, images, most_activations=most), words(TEXTS), progress=no_progress)
        labels.append([[neuron.concepts for neuron in layer.neurons] for layer in dissection.layers])
    assert labels[0] == labels[1]


def test_records_with_all_and_with_the_largest_activations_merge(tmp_path: Path) -> None:
    options, images = options_of("contrast"), probe_images()
    mixed = [
        store(tmp_path, probe_span(options, images, span, most_activations=most))
        for span, most in zip(shard_spans(IMAGES, 15), (0, MOST_IN_MEMORY, MOST_IN_MEMORY, 0), strict=True)
    ]
    record = merge_records((shard.record("layers.wide") for shard in mixed), kept_top(options))
    assert record.activations is None
    top = passing(options, images, most_activations=0).run(range(IMAGES), lambda _: None).layers["layers.wide"].top
    assert top is not None
    assert torch.equal(record.most_activating(8).keys, top.keys)


@pytest.mark.parametrize("shard_size", [1, 7, 60])
def test_activations_stream_with_the_embeddings_of_their_images(tmp_path: Path, shard_size: int) -> None:
    options, images = options_of("contrast"), probe_images({7, 30})
    shards = [store(tmp_path, probe_span(options, images, span)) for span in shard_spans(IMAGES, shard_size)]
    embeddings, streamed = map(torch.cat, zip(*iterate_activations(shards, "layers.wide"), strict=True))
    used = [index for index in range(IMAGES) if index not in {7, 30}]
    assert torch.equal(streamed, activations(7, 1)[used])
    assert torch.equal(embeddings, DISSECTOR._images[used])


def test_what_was_not_kept_cannot_stream(tmp_path: Path) -> None:
    shard = store(tmp_path, probe_span(options_of("contrast"), probe_images(), range(9), most_activations=0))
    with pytest.raises(ValueError, match=r"not all activations of layers\.wide were kept"):
        iterate_activations([shard], "layers.wide")


def test_merging_changes_no_file(tmp_path: Path) -> None:
    options, images = options_of("cosine"), probe_images()
    shards = [store(tmp_path, probe_span(options, images, span)) for span in shard_spans(IMAGES, 25)]
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in tmp_path.iterdir()}
    for _ in range(2):
        scored("layers.wide", shards, list(range(IMAGES)), options, images)
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in tmp_path.iterdir()} == before


def test_there_is_no_record_of_no_shards() -> None:
    with pytest.raises(ValueError, match="no shard has the layer"):
        merge_records((), 8)


def test_soft_wpmi_asks_for_the_top_images_of_live_units_alone(tmp_path: Path) -> None:
    options, images = options_of("soft_wpmi"), probe_images()
    shards = [store(tmp_path, probe_span(options, images, span)) for span in shard_spans(IMAGES, 16)]
    asked = Asked(shards)
    record = merge_records((shard.record("layers.wide") for shard in shards), 8)
    live = [unit for unit in range(7) if unit != DEAD_UNIT]
    expected = sorted(set(record.most_activating(8).indices[live, :6].flatten().tolist()))
    score_layer("layers.wide", record, context_of(options, asked, images.items))
    assert asked.positions == [expected]
    assert len(expected) < IMAGES


def test_a_layer_without_a_live_unit_asks_for_nothing() -> None:
    record = LayerRecord(RunningTopK(8), RunningSummary(), None)
    record.update(torch.ones(9, 2))
    asked = Asked([])
    context = context_of(options_of("soft_wpmi"), asked, probe_images().items[:9])
    layer = score_layer("layers.wide", record, context)
    still = ActivationSummary(1.0, 0.0, 1.0, 1.0)
    assert layer.neurons == (Neuron(0, dead=True, activation=still), Neuron(1, dead=True, activation=still))
    assert asked.positions == []


@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6), data=st.data())
def test_embeddings_are_gathered_from_the_parts_that_matter(sizes: list[int], data: st.DataObject) -> None:
    total = sum(sizes)
    if total == 0:
        return
    whole = torch.arange(2.0 * total).view(total, 2)
    positions = torch.tensor(sorted(data.draw(st.sets(st.integers(0, total - 1), min_size=1))))
    assert torch.equal(gather_embeddings(torch.split(whole, sizes), positions), whole[positions])


@pytest.mark.parametrize("positions", [[-1, 0], [0, 5]])
def test_embeddings_that_no_part_has_are_a_mistake(positions: list[int]) -> None:
    with pytest.raises(IndexError, match="of 5 images"):
        gather_embeddings([torch.zeros(2, 3), torch.zeros(3, 3)], torch.tensor(positions))


@pytest.mark.parametrize(
    ("items", "shard_size", "spans"),
    [(0, 4, []), (4, 4, [range(4)]), (5, 2, [range(2), range(2, 4), range(4, 5)]), (2, 256, [range(2)])],
)
def test_spans_cover_the_items(items: int, shard_size: int, spans: list[range]) -> None:
    assert shard_spans(items, shard_size) == spans


def test_progress_counts_the_shards_own_images() -> None:
    done: list[int] = []
    passing(options_of("soft_wpmi"), probe_images([21])).run(range(20, 29), done.append)
    assert done == [5, 9]


def facts(**fields: object) -> bytes:
    text = bytearray(json.dumps(fields).encode())
    data: bytes = safetensors.torch.save({"facts": torch.frombuffer(text, dtype=torch.uint8)})
    return data


@pytest.mark.parametrize("damage", ["nothing", "cut", "head", "noise", "other", "no-facts"])
def test_a_file_that_is_no_shard_is_refused(tmp_path: Path, damage: str) -> None:
    whole = encode_shard(probe_span(options_of("soft_wpmi"), probe_images(), range(8)))
    contents = {
        "nothing": b"",
        "cut": whole[:-1],
        "head": whole[:40],
        "noise": bytes(range(256)),
        "other": safetensors.torch.save({"weight": torch.zeros(2)}),
        "no-facts": facts(layers=[]),
    }
    path = tmp_path / "shard.safetensors"
    path.write_bytes(contents[damage])
    with pytest.raises(ValueError, match="not a stored shard"):
        StoredShard(path)


def test_a_shard_knows_the_files_that_were_shown(tmp_path: Path) -> None:
    probing = probe_span(options_of("soft_wpmi"), probe_images([1]), range(4))
    digests = ["00" * 31 + "01", "02" * 32, "ff" * 32, None]
    path = tmp_path / "shard.safetensors"
    path.write_bytes(encode_shard(probing, digests))
    assert StoredShard(path).digests == [digests[0], digests[2], None]
    assert store(tmp_path, probing).digests == [None] * 3, "as an earlier release stored it"
    nothing = probe_span(options_of("soft_wpmi"), probe_images(range(4)), range(4))
    path.write_bytes(encode_shard(nothing, digests))
    assert StoredShard(path).digests == []


def test_a_shard_that_is_gone_is_told_from_one_that_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StoredShard(tmp_path / "shard.safetensors")


def test_a_shard_of_a_target_in_training_mode_is_a_mistake() -> None:
    target = target_of(Conv((1,), (0,)), CPU, "blocks.1")
    target.module.train()
    with pytest.raises(ValueError, match="eval mode"):
        probe_span(options_of("soft_wpmi"), probe_images(), range(4), target=target)


def test_a_shard_that_fails_leaves_no_hook() -> None:
    target = target_of(Lookup({"wide": torch.zeros(1, 1_000_000)}), CPU, "layers.wide")
    images = ArrayImages([np.zeros((3, 2, 2), np.float32)] * 1200)
    # Of the whole probe set, not of the shard.
    with pytest.raises(InvalidInput, match=r"all 1200 images and 1000000 units: 4\.47 GiB, and 4 GiB may be kept"):
        probe_span(options_of("cosine"), images, range(2), target=target)
    with pytest.raises(UnknownLayer):
        probe_span(replace(options_of("cosine"), layers=("layers.none",)), images, range(2), target=target)
    assert hooks_left(target.module) == 0
