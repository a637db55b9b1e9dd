"""The public entry: networks worked out by hand, the golden end-to-end run, and everything that can go wrong."""

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from service.domain.jobs import DissectionOptions, Progress, Stage
from service.domain.methods import Method
from service.domain.neurons import Dissection, Neuron
from service.engine.dissect import dissect
from service.engine.networks.protocols import Target
from service.engine.probing.probe import ProbingPass
from service.engine.similarity import cosine, soft_wpmi
from service.errors import (
    DissectError,
    InvalidActivations,
    InvalidConceptSet,
    InvalidInput,
    JobCancelled,
    LayerWithoutTensor,
    TooFewImages,
    UnknownLayer,
    UnreadableImage,
)
from service.ports import ProbeImages, ProgressListener
from tests.engine.toys import (
    OTHER_CONTRACT,
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
TEXTS = ("0.1", "0.8", "1.5")
GOLDEN = Path(__file__).parents[1] / "golden" / "E_mini_b2_N24_C40.npz"


def run(
    target: Target,
    images: ProbeImages,
    *,
    dissector: GreyDissector | None = None,
    concepts: Sequence[str] = TEXTS,
    layers: tuple[str, ...] | None = None,
    method: Method | None = None,
    shard_size: int = 256,
    progress: ProgressListener = no_progress,
    **fields: Any,
) -> Dissection:
    """fields: further ones of the probing pass."""
    device = next(target.module.parameters()).device
    probing_pass = ProbingPass(
        target=target,
        dissector=GreyDissector(device) if dissector is None else dissector,
        images=images,
        options=DissectionOptions(layers, method or Method(top_k=2), concepts_per_neuron=2, images_per_neuron=3),
        device=device,
        **fields,
    )
    return dissect(probing_pass, words(concepts), shard_size=shard_size, progress=progress)


# Unit 0 is the grey level, unit 1 its negative (dead after ReLU), unit 2 is 1 - grey level, after ReLU.
LEVELS = (0.1, 0.8, 1.5, 0.8)
WEIGHTS, BIASES = (1, -1, -1), (0, 0, 1)


def toy(device: torch.device = CPU) -> Target:
    return target_of(Conv(WEIGHTS, BIASES), device, "blocks[1]")


def test_a_toy_network_is_named_as_on_paper(device: torch.device) -> None:
    result = run(toy(device), grey_images(*LEVELS))
    [layer] = result.layers
    assert (layer.layer, result.images_used, result.images_skipped) == ("blocks[1]", 4, ())
    bright, dead, dark = layer.neurons
    # Unit 0 sees 0.1, 0.8, 1.5, 0.8: mean 0.8, deviations -0.7, 0, 0.7, 0, variance 0.98 / 4 = 0.245.
    assert bright.activation.mean == pytest.approx(0.8)
    assert bright.activation.std == pytest.approx(0.245**0.5)
    assert (bright.activation.minimum, bright.activation.maximum) == pytest.approx((0.1, 1.5))
    # Images 1 and 3 are equal: the lower index comes first.
    assert [(image.image_id, image.row) for image in bright.images] == [("image-2", 3), ("image-1", 2), ("image-3", 4)]
    assert [image.activation for image in bright.images] == pytest.approx([1.5, 0.8, 0.8])
    # Unit 2 sees 0.9, 0.2, 0, 0.2.
    assert [image.image_id for image in dark.images] == ["image-0", "image-1", "image-3"]
    # The bright unit's images share the bright text, the dark unit's the dark one.
    assert bright.concepts[0].text == "1.5"
    assert (dark.concepts[0].text, dark.concepts[0].concept) == ("0.1", 0)
    assert dead == Neuron(1, dead=True, activation=dead.activation)
    assert (dead.activation.mean, dead.activation.std) == (0, 0)


def test_scores_are_those_of_the_formula_over_live_units(device: torch.device) -> None:
    result = run(toy(device), grey_images(*LEVELS))
    dissector = GreyDissector(device)
    levels = torch.tensor(LEVELS, device=device)
    cosines = dissector._at(levels) @ dissector.embed_texts(TEXTS).t()
    live = torch.stack([levels, (1 - levels).relu()], dim=1)
    expected = soft_wpmi(cosines, live, top_k=2).sort(dim=1, descending=True)
    for row, unit in enumerate((0, 2)):
        ranked = result.layers[0].neurons[unit].concepts
        assert [concept.concept for concept in ranked] == expected.indices[row, :2].tolist()
        assert [concept.score for concept in ranked] == pytest.approx(expected.values[row, :2].tolist(), abs=1e-5)


def test_a_dead_unit_changes_no_other_unit() -> None:
    with_dead = run(toy(), grey_images(*LEVELS)).layers[0].neurons
    without = run(target_of(Conv((1, -1), (0, 1)), CPU, "blocks.1"), grey_images(*LEVELS)).layers[0].neurons
    assert [with_dead[0].concepts, with_dead[2].concepts] == [neuron.concepts for neuron in without]


def test_a_layer_of_dead_units_has_no_names() -> None:
    [layer] = run(target_of(Conv((0, 0), (1, 2)), CPU, "blocks.0"), grey_images(*LEVELS)).layers
    assert [(neuron.dead, neuron.concepts) for neuron in layer.neurons] == [(True, ()), (True, ())]


def test_the_batch_size_changes_nothing(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(3)
    images = grey_images(*torch.rand(17, generator=generator).round(decimals=1).tolist())  # with ties
    whole = run(toy(device), images, batch_size=17)
    for batch_size in (1, 4, 16):
        assert run(toy(device), images, batch_size=batch_size) == whole


def test_images_of_other_sizes_go_in_batches_of_their_own() -> None:
    sizes, levels = ((2, 2), (4, 2), (4, 2), (2, 2)), (0.125, 0.75, 1.5, 0.75)  # means of these are exact
    images = ArrayImages([np.full((3, *size), level, np.float32) for size, level in zip(sizes, levels, strict=True)])
    assert run(toy(), images) == run(toy(), grey_images(*levels))


def test_each_image_is_decoded_once_for_both_contracts() -> None:
    images = grey_images(*LEVELS)
    result = run(toy(), images, dissector=GreyDissector(CPU, OTHER_CONTRACT), concepts=("-0.4", "0.3", "1.0"))
    assert sorted(images.loaded) == [0, 1, 2, 3]
    # The dissector's images are darker by 0.5; so are the texts, and the target's activations are as before.
    same = run(toy(), grey_images(*LEVELS))
    assert result.layers[0].neurons[0].images == same.layers[0].neurons[0].images
    for neuron, other in zip(result.layers[0].neurons, same.layers[0].neurons, strict=True):
        assert [concept.concept for concept in neuron.concepts] == [concept.concept for concept in other.concepts]


def test_all_layers_are_probed_in_one_pass() -> None:
    passes: list[int] = []

    class Counting(Conv):
        def forward(self, images: Tensor) -> Tensor:
            if not isinstance(images, FakeTensor):
                passes.append(len(images))
            return super().forward(images)

    result = run(target_of(Counting(WEIGHTS, BIASES), CPU), grey_images(*LEVELS), layers=("blocks.1", "blocks[0]"))
    assert [layer.layer for layer in result.layers] == ["blocks.1", "blocks[0]"]
    assert passes == [4]


def test_wpmi_and_the_cosines_name_neurons_too() -> None:
    cosines = GreyDissector._at(torch.tensor(LEVELS)) @ GreyDissector(CPU).embed_texts(TEXTS).t()
    levels = torch.tensor(LEVELS)
    live = torch.stack([levels, (1 - levels).relu()], dim=1)
    bright = run(toy(), grey_images(*LEVELS), method=Method.of("cosine")).layers[0].neurons[0]
    expected = cosine(cosines, live)[0].sort(descending=True)
    assert [concept.concept for concept in bright.concepts] == expected.indices[:2].tolist()
    assert [concept.score for concept in bright.concepts] == pytest.approx(expected.values[:2].tolist())
    for method in (Method.of("wpmi", top_k=2), Method.of("cosine_cubed")):
        assert run(toy(), grey_images(*LEVELS), method=method).layers[0].neurons[0].concepts[0].text == "1.5"


def test_rank_reorder_is_repeatable_and_ranks_no_nan() -> None:
    generator = torch.Generator().manual_seed(4)
    images = grey_images(*(2 * torch.rand(60, generator=generator)).tolist())
    # At angle 4.0 every image's cosine is negative or small: the mean of the top images is negative, the score NaN.
    first, second = (
        run(toy(), images, method=Method.of("rank_reorder"), concepts=("1.5", "4.5")).layers[0].neurons
        for _ in range(2)
    )
    assert first == second
    assert [concept.text for concept in first[0].concepts] == ["1.5"]


def test_the_golden_run_from_its_activations_and_projections(device: torch.device) -> None:
    with np.load(GOLDEN) as arrays:
        golden = {name: torch.from_numpy(arrays[name]).to(device) for name in arrays.files}
    blocks = ("block0", "block11", "block22")
    probing_pass = ProbingPass(
        target=target_of(Lookup({block: golden[f"{block}/target"] for block in blocks}), device),
        dissector=Stored(golden["image_projection"], golden["text_projection"]),
        images=grey_images(*range(24)),
        options=DissectionOptions(tuple(f"layers.{block}" for block in blocks), Method(top_k=8)),
        device=device,
        batch_size=5,
    )
    result = dissect(probing_pass, words(str(text) for text in range(40)), progress=no_progress)
    for block, layer in zip(blocks, result.layers, strict=True):
        for unit, neuron in enumerate(layer.neurons):
            scores = [concept.score for concept in neuron.concepts]
            assert scores == pytest.approx(golden[f"{block}/top10_similarity"][unit].tolist(), abs=20 * 1e-5)
            if golden[f"{block}/order_safe"][unit] and golden[f"{block}/rank_safe"][unit]:
                ids = [concept.concept for concept in neuron.concepts]
                assert ids == golden[f"{block}/top10_ids"][unit].tolist()
            if golden[f"{block}/order_safe"][unit]:
                rows = [image.row - 1 for image in neuron.images]
                assert rows == golden[f"{block}/top5_images"][unit].tolist()


@pytest.mark.parametrize(("shard_size", "shown"), [(2, (2, 4)), (3, (3, 4)), (4, (3, 4))])
def test_progress_counts_images_and_layers(shard_size: int, shown: tuple[int, ...]) -> None:
    steps: list[Progress] = []
    run(toy(), grey_images(*LEVELS), batch_size=3, shard_size=shard_size, progress=steps.append)
    assert steps == [
        Progress(Stage.PROBE, 0, 4),
        *(Progress(Stage.PROBE, done, 4) for done in shown),
        Progress(Stage.SCORE, 0, 1),
        Progress(Stage.SCORE, 1, 1),
    ]


@pytest.mark.parametrize(
    "stop_at", [Progress(Stage.PROBE, 0, 4), Progress(Stage.PROBE, 2, 4), Progress(Stage.SCORE, 0, 1)]
)
def test_a_cancelled_job_stops_and_leaves_no_hook_and_no_thread(stop_at: Progress) -> None:
    def cancel(progress: Progress) -> None:
        if progress == stop_at:
            raise JobCancelled("Cancelled.")

    target, before = toy(), set(threading.enumerate())
    with pytest.raises(JobCancelled):
        run(target, grey_images(*LEVELS), batch_size=1, progress=cancel)
    assert hooks_left(target.module) == 0
    assert set(threading.enumerate()) <= before


def test_an_unreadable_image_fails_the_job_by_default_and_leaves_nothing() -> None:
    images = ArrayImages([np.full((3, 2, 2), level, np.float32) for level in LEVELS], broken=[1])
    target, before = toy(), set(threading.enumerate())
    with pytest.raises(UnreadableImage, match="row 2"):
        run(target, images, batch_size=1)
    assert hooks_left(target.module) == 0
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("broken", [[0], [1, 2], [4]])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_skipped_images_are_counted_and_leave_the_others_as_they_are(broken: list[int], batch_size: int) -> None:
    levels = (0.1, 0.8, 1.5, 0.8, 1.1)
    arrays = [np.full((3, 2, 2), level, np.float32) for level in levels]
    result = run(toy(), ArrayImages(arrays, broken), on_unreadable="skip", batch_size=batch_size)
    assert result.images_skipped == tuple(index + 1 for index in broken)
    assert result.images_used == 5 - len(broken)
    others = run(toy(), grey_images(*(level for i, level in enumerate(levels) if i not in broken)))
    for neuron, other in zip(result.layers[0].neurons, others.layers[0].neurons, strict=True):
        assert (neuron.concepts, neuron.activation) == (other.concepts, other.activation)
        assert [image.activation for image in neuron.images] == [image.activation for image in other.images]
        assert not {image.row - 1 for image in neuron.images} & set(broken)


def test_too_few_images_are_refused_before_the_work_and_after_skipping() -> None:
    images = grey_images(*LEVELS)
    with pytest.raises(TooFewImages, match="4 usable images, but soft_wpmi needs 5"):
        run(toy(), images, method=Method(top_k=5))
    assert images.loaded == []
    arrays = [np.full((3, 2, 2), level, np.float32) for level in LEVELS]
    with pytest.raises(TooFewImages, match="0 usable images, but soft_wpmi needs 2"):
        run(toy(), ArrayImages(arrays, broken=range(4)), on_unreadable="skip")
    with pytest.raises(TooFewImages, match="needs 40"):
        run(toy(), images, method=Method.of("rank_reorder"))


@pytest.mark.parametrize("level", [np.nan, np.inf])
def test_activations_that_are_no_numbers_are_refused_by_name(level: float) -> None:
    with pytest.raises(InvalidActivations) as caught:
        run(toy(), grey_images(0.1, 0.8, level, 0.3), layers=("blocks.0",), batch_size=2)
    assert "Layer 'blocks.0', unit 0" in caught.value.detail
    assert "manifest row 3" in caught.value.detail


def test_embeddings_that_are_no_numbers_are_refused_by_name() -> None:
    class Broken(GreyDissector):
        def embed_images(self, images: Tensor) -> Tensor:
            return torch.full((len(images), 2), torch.nan)

    with pytest.raises(InvalidActivations, match="dissector's embedding of manifest row 1"):
        run(toy(), grey_images(*LEVELS), dissector=Broken(CPU))


@pytest.mark.parametrize(
    ("concepts", "said"),
    [((), "no concepts"), (("0.1", " "), "empty"), (("0.1", "0.2", "0.1"), "'0.1' is listed twice")],
)
def test_bad_concepts_are_refused(concepts: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidConceptSet, match=said):
        run(toy(), grey_images(*LEVELS), concepts=concepts)


@pytest.mark.parametrize(
    ("layers", "error"), [(("blocks.7",), UnknownLayer), ((), InvalidInput), (("blocks",), LayerWithoutTensor)]
)
def test_layers_that_cannot_be_dissected_are_refused(layers: tuple[str, ...], error: type[DissectError]) -> None:
    target, images = toy(), grey_images(*LEVELS)
    with pytest.raises(error):
        run(target, images, layers=layers)
    assert hooks_left(target.module) == 0


def test_a_target_in_training_mode_is_a_mistake() -> None:
    target = toy()
    with pytest.raises(ValueError, match="eval mode"):
        run(dataclasses.replace(target, module=target.module.train()), grey_images(*LEVELS))
