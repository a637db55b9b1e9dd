"""Stored shards: what is in their files, what is read out of these, and files that are none."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from service.engine.probing.activations import MOST_IN_MEMORY
from service.engine.probing.shards import StoredShard, encode_shard, gather_embeddings, iterate_activations, shard_spans
from tests.engine.probing.lookup_pass import (
    DISSECTOR,
    IMAGES,
    LAYERS,
    activations,
    options_of,
    probe_images,
    probe_span,
    scored,
    store,
)
from tests.engine.toys import ArrayImages


@pytest.mark.parametrize(
    ("items", "shard_size", "spans"),
    [(0, 4, []), (4, 4, [range(4)]), (5, 2, [range(2), range(2, 4), range(4, 5)]), (2, 256, [range(2)])],
)
def test_spans_cover_the_items(items: int, shard_size: int, spans: list[range]) -> None:
    assert shard_spans(items, shard_size) == spans


@given(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6), data=st.data())
def test_embeddings_are_gathered_from_the_parts_that_matter(sizes: list[int], data: st.DataObject) -> None:
    total = sum(sizes)
    assume(total > 0)
    whole = torch.arange(2.0 * total).view(total, 2)
    positions = torch.tensor(sorted(data.draw(st.sets(st.integers(0, total - 1), min_size=1))))
    assert torch.equal(gather_embeddings(torch.split(whole, sizes), positions), whole[positions])


@pytest.mark.parametrize("positions", [[-1, 0], [0, 5]])
def test_embeddings_that_no_part_has_are_a_mistake(positions: list[int]) -> None:
    with pytest.raises(IndexError, match="of 5 images"):
        gather_embeddings([torch.zeros(2, 3), torch.zeros(3, 3)], torch.tensor(positions))


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
    assert torch.equal(stored[torch.tensor([0, 2])], torch.cat(probing.embeddings)[[0, 2]])
    for layer, record in probing.layers.items():
        again = stored.record(layer)
        assert again.summary.summaries() == record.summary.summaries()
        again_top, top = again.most_activating(8), record.most_activating(8)
        assert torch.equal(again_top.keys, top.keys)
        assert (again_top.k, again_top.seen) == (top.k, top.seen) == (8, 6)


def test_a_stored_shard_has_all_activations_where_they_were_kept(tmp_path: Path) -> None:
    probing = probe_span(options_of("soft_wpmi"), probe_images(), range(9))
    stored = store(tmp_path, probing)
    for layer, record in probing.layers.items():
        again = stored.record(layer)
        assert again.top is None
        assert again.activations is not None
        assert record.activations is not None
        assert torch.equal(again.activations.matrix(), record.activations.matrix())


def test_a_stored_shard_has_the_largest_alone_where_all_were_too_many(tmp_path: Path) -> None:
    stored = store(tmp_path, probe_span(options_of("soft_wpmi"), probe_images(), range(9), most_activations=0))
    assert [stored.record(layer).activations for layer in LAYERS] == [None, None]
    assert not stored.has_every_activation


def test_a_layer_that_was_not_watched_has_no_record(tmp_path: Path) -> None:
    stored = store(tmp_path, probe_span(options_of("soft_wpmi"), probe_images(), range(4)))
    with pytest.raises(ValueError, match="not in tuple"):
        stored.record("layers.none")


def test_a_shard_of_unreadable_images_is_stored_too(tmp_path: Path) -> None:
    stored = store(tmp_path, probe_span(options_of("soft_wpmi"), probe_images(range(4, 8)), range(4, 8)))
    assert (len(stored), stored.layers, stored.used, stored.skipped) == (0, (), [], [0, 1, 2, 3])


def test_a_shard_knows_the_files_that_were_shown(tmp_path: Path) -> None:
    probing = probe_span(options_of("soft_wpmi"), probe_images([1]), range(4))
    digests = ["00" * 31 + "01", "02" * 32, "ff" * 32, None]
    path = tmp_path / "shard.safetensors"
    path.write_bytes(encode_shard(probing, digests))
    assert StoredShard(path).digests == [digests[0], digests[2], None]


def test_a_shard_of_an_earlier_release_does_not_know_the_files(tmp_path: Path) -> None:
    probing = probe_span(options_of("soft_wpmi"), probe_images([1]), range(4))
    assert store(tmp_path, probing).digests == [None] * 3


def test_a_shard_of_which_nothing_was_shown_knows_no_files(tmp_path: Path) -> None:
    probing = probe_span(options_of("soft_wpmi"), probe_images(range(4)), range(4))
    path = tmp_path / "shard.safetensors"
    path.write_bytes(encode_shard(probing, ["00" * 32] * 4))
    assert StoredShard(path).digests == []


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


def test_a_shard_that_is_gone_is_told_from_one_that_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StoredShard(tmp_path / "shard.safetensors")
