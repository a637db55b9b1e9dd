"""Shards probed apart, stored and merged give what one pass gives."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method, Similarity
from service.domain.neurons import Dissection, Neuron
from service.engine.dissect import dissect
from service.engine.probing.activations import MOST_IN_MEMORY
from service.engine.probing.probe import ProbingPass
from service.engine.probing.shards import shard_spans
from tests.engine.probing.lookup_pass import (
    DEAD_UNIT,
    IMAGES,
    LAYERS,
    TEXTS,
    options_of,
    passing,
    probe_images,
    probe_span,
    scored,
    store,
)
from tests.engine.toys import ArrayImages, Conv, GreyDissector, grey_images, no_progress, target_of, words

SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)


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


def test_evidence_is_the_same_however_the_probe_set_is_cut(tmp_path: Path) -> None:
    options, images = options_of("soft_wpmi", EvidenceOptions(draws=200, resamples=6, halves=3)), probe_images({7})
    whole = in_one_pass(options, images)
    stored = from_storage(tmp_path, options, images, 16)
    assert without_moments(stored) == without_moments(replace(whole, evidence=None))
    evidence = [neuron.evidence for layer in whole.layers for neuron in layer.neurons if not neuron.dead]
    assert all(one and one.significance and one.stability and one.quality for one in evidence)
    assert {len(one.resampled) for one in evidence if one} == {6}
    assert {len(one.halves) for one in evidence if one} == {6}


def test_labels_are_the_same_whether_all_activations_are_kept_or_the_largest() -> None:
    options, images = options_of("contrast", EvidenceOptions(draws=200, resamples=6, halves=3)), probe_images({7})
    labels = []
    for most in (0, MOST_IN_MEMORY):
        dissection = dissect(passing(options, images, most_activations=most), words(TEXTS), progress=no_progress)
        labels.append([[neuron.concepts for neuron in layer.neurons] for layer in dissection.layers])
    assert labels[0] == labels[1]


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
