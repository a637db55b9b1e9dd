"""Which embeddings the scoring of a layer asks for."""

from pathlib import Path

import torch

from service.domain.neurons import ActivationSummary, Neuron
from service.engine.probing.activations import RunningSummary
from service.engine.probing.probe import LayerRecord, merge_records
from service.engine.probing.shards import shard_spans
from service.engine.scoring import score_layer
from service.engine.top_k import RunningTopK
from tests.engine.probing.lookup_pass import (
    DEAD_UNIT,
    IMAGES,
    Asked,
    context_of,
    options_of,
    probe_images,
    probe_span,
    store,
)


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
