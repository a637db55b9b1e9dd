"""The published setup from files to named neurons, against what the original computes from the same weights."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.neurons import Dissection
from service.domain.preprocessing import Preprocessing
from service.domain.probes import ProbeItem
from service.engine.architectures import open_target
from service.engine.dissect import dissect
from service.engine.dissectors import open_dissector
from service.engine.networks.protocols import Dissector
from service.engine.probing.probe import ProbingPass
from service.engine.similarity import soft_wpmi
from tests.engine.published import GOLDEN, images_of, pretraining_file, recipe_weights, vocabulary
from tests.engine.toys import words

CPU = torch.device("cpu")
MANIFEST = json.loads((GOLDEN / "E_manifest.json").read_text())
LAYERS = tuple(MANIFEST["layers"])
TOLERANCE = 20
SIMILARITY_NOISE, COSINE_NOISE = 1e-5, 1e-6


class PreparedImages:
    """The golden images, which are normalised already."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.items = tuple(ProbeItem(f"image-{row}", Path(f"{row}.png"), row=row + 1) for row in range(len(images)))

    def load(self, index: int, contracts: Sequence[Preprocessing]) -> list[NDArray[np.float32]]:
        return [self.images[index].numpy() for _ in contracts]


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / "E_mini_b2_N24_C40.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, golden: dict[str, NDArray[Any]]) -> Any:
    """One dissection with b2 as dissector and as target, both opened from one published-layout file."""
    directory = tmp_path_factory.mktemp("dissector")
    config = {"kind": "mammo-clip", "checkpoint": "model.tar", "vocab": "vocab.txt"}
    (directory / "dissector.json").write_text(json.dumps(config))
    (directory / "vocab.txt").write_text(vocabulary())
    torch.save(pretraining_file("b2", recipe_weights("b2")), directory / "model.tar")
    dissector = open_dissector(DissectorSpec(directory), CPU)
    target = open_target(TargetSpec(directory / "model.tar", "mammo-clip/b2"), CPU, keep_layers=LAYERS)
    images = images_of(MANIFEST["image_labels"], MANIFEST["height"], MANIFEST["width"])
    inner = [
        row[1 : int(mask.sum()) - 1] for row, mask in zip(golden["input_ids"], golden["attention_mask"], strict=True)
    ]
    texts = [" ".join(f"w{token}" for token in row) for row in inner]
    method = Method.of("soft_wpmi", top_k=MANIFEST["top_k"], pooling=MANIFEST["pool_mode"])
    options = DissectionOptions(LAYERS, method, concepts_per_neuron=10, images_per_neuron=5)
    probing_pass = ProbingPass(target, dissector, PreparedImages(images), options, CPU)
    dissection = dissect(probing_pass, words(texts), progress=lambda _progress: None)
    return SimpleNamespace(dissector=dissector, images=images, texts=texts, dissection=dissection)


def clip_scores(dissector: Dissector, images: Tensor, texts: Sequence[str]) -> Tensor:
    return dissector.embed_images(images) @ dissector.embed_texts(texts).T


def block(layer: str) -> str:
    return f"block{layer.partition('[')[2].rstrip(']')}"


def test_the_dissector_scores_as_the_original(run: Any, golden: dict[str, NDArray[Any]]) -> None:
    scores = clip_scores(run.dissector, run.images, run.texts)
    assert np.abs(scores.numpy() - golden["clip_feats"]).max() <= TOLERANCE * COSINE_NOISE


def test_similarities_agree_with_the_original(run: Any, golden: dict[str, NDArray[Any]]) -> None:
    scores = clip_scores(run.dissector, run.images, run.texts)
    for layer in LAYERS:
        activations = torch.from_numpy(golden[f"{block(layer)}/target"])
        ours = soft_wpmi(scores, activations, top_k=MANIFEST["top_k"]).numpy()
        assert np.abs(ours - golden[f"{block(layer)}/similarity"]).max() <= TOLERANCE * SIMILARITY_NOISE, layer


def test_neurons_are_named_as_by_the_original(run: Any, golden: dict[str, NDArray[Any]]) -> None:
    dissection: Dissection = run.dissection
    assert [result.layer for result in dissection.layers] == list(LAYERS)
    for result in dissection.layers:
        expected = {name: golden[f"{block(result.layer)}/{name}"] for name in ("top10_ids", "top10_similarity")}
        order_safe, rank_safe = (golden[f"{block(result.layer)}/{name}"] for name in ("order_safe", "rank_safe"))
        assert len(result.neurons) == len(rank_safe)
        assert (rank_safe & order_safe).mean() > 0.5
        for neuron in result.neurons:
            assert not neuron.dead
            scores = np.array([concept.score for concept in neuron.concepts])
            if order_safe[neuron.unit]:
                difference = np.abs(scores - expected["top10_similarity"][neuron.unit]).max()
                assert difference <= TOLERANCE * SIMILARITY_NOISE, (result.layer, neuron.unit)
            if rank_safe[neuron.unit] and order_safe[neuron.unit]:
                found = [concept.concept for concept in neuron.concepts]
                assert found == expected["top10_ids"][neuron.unit].tolist(), (result.layer, neuron.unit)
                assert [concept.text for concept in neuron.concepts] == [run.texts[index] for index in found]


def test_the_strongest_images_and_their_activations_are_the_originals(
    run: Any, golden: dict[str, NDArray[Any]]
) -> None:
    for result in run.dissection.layers:
        target, top = golden[f"{block(result.layer)}/target"], golden[f"{block(result.layer)}/top5_images"]
        order_safe = golden[f"{block(result.layer)}/order_safe"]
        scale = np.abs(target).max()
        for neuron in result.neurons:
            rows = [image.row - 1 for image in neuron.images]
            if order_safe[neuron.unit]:
                assert rows == top[neuron.unit].tolist(), (result.layer, neuron.unit)
            activations = np.array([image.activation for image in neuron.images])
            assert np.abs(activations - target[rows, neuron.unit]).max() <= 2e-5 * scale
            assert abs(neuron.activation.mean - target[:, neuron.unit].mean()) <= 2e-5 * scale
