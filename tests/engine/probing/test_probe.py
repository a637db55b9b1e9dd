"""The pass over a span of images, and the records that it leaves, merged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.engine.probing.activations import MOST_IN_MEMORY
from service.engine.probing.probe import kept_top, merge_records
from service.engine.probing.shards import shard_spans
from service.errors import InvalidInput, UnknownLayer
from tests.engine.probing.lookup_pass import CPU, IMAGES, options_of, passing, probe_images, probe_span, store
from tests.engine.toys import ArrayImages, Conv, Lookup, hooks_left, target_of


def test_progress_counts_the_spans_own_images() -> None:
    done: list[int] = []
    passing(options_of("soft_wpmi"), probe_images([21])).run(range(20, 29), done.append)
    assert done == [5, 9]


def test_a_target_in_training_mode_is_a_mistake() -> None:
    target = target_of(Conv((1,), (0,)), CPU, "blocks.1")
    target.module.train()
    with pytest.raises(ValueError, match="eval mode"):
        probe_span(options_of("soft_wpmi"), probe_images(), range(4), target=target)


def test_activations_are_too_many_by_the_whole_probe_set_and_not_by_the_span() -> None:
    target = target_of(Lookup({"wide": torch.zeros(1, 1_000_000)}), CPU, "layers.wide")
    images = ArrayImages([np.zeros((3, 2, 2), np.float32)] * 1200)
    with pytest.raises(InvalidInput, match=r"all 1200 images and 1000000 units: 4\.47 GiB, and 4 GiB may be kept"):
        probe_span(options_of("cosine"), images, range(2), target=target)
    assert hooks_left(target.module) == 0


def test_a_pass_over_a_layer_that_does_not_exist_leaves_no_hook() -> None:
    target = target_of(Lookup({"wide": torch.zeros(4, 3)}), CPU, "layers.wide")
    with pytest.raises(UnknownLayer):
        probe_span(replace(options_of("cosine"), layers=("layers.none",)), probe_images(), range(2), target=target)
    assert hooks_left(target.module) == 0


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


def test_there_is_no_record_of_no_shards() -> None:
    with pytest.raises(ValueError, match="no shard has the layer"):
        merge_records((), 8)
