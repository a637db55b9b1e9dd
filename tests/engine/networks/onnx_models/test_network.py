"""ONNX graphs against the torch networks that they were exported from."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from service.domain.input_contract import GivenInput
from service.domain.models import TargetSpec
from service.engine.architectures import architectures, open_target
from service.engine.networks.onnx_models.names import layer_names
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import list_layers
from service.engine.probing.tokens import tokens_of
from service.errors import InvalidInput
from tests.engine.onnx_files import conv_weights, export, write_graph
from tests.engine.toys import CONTRACT, hooks_left

CPU = torch.device("cpu")
SIZE = (64, 64)


def opened(path: Path, **spec: Any) -> Target:
    return open_target(TargetSpec(path, "onnx", **spec), CPU)


def warnings_of(target: Target) -> tuple[str, ...]:
    assert target.input is not None
    return target.input.warnings


def pooled(target: Target, layers: tuple[str, ...], images: Tensor) -> list[Tensor]:
    with torch.inference_mode(), pooled_layers(target, layers, "avg") as forward:
        return list(forward(images).values())


def small(name: str) -> nn.Module:
    torch.manual_seed(5)
    options: dict[str, Any] = {"img_size": SIZE} if name == "test_vit" else {}
    network: nn.Module = timm.create_model(name, **options)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "blocks", "kept"),
    [
        ("test_resnet", ("layer1.0", "layer2.0", "layer3.0", "layer4.0"), slice(None)),
        ("test_vit", tuple(f"blocks.{index}" for index in range(6)), slice(1, None, 2)),
        ("test_convnext", ("stages.0.blocks.0", "stages.3.blocks.1"), slice(None, None, 8)),
    ],
    ids=["resnet", "vit", "convnext"],
)
@pytest.mark.proves("architecture", "ONNX export: {}")
def test_pooled_activations_are_those_of_torch(tmp_path: Path, name: str, blocks: tuple[str, ...], kept: slice) -> None:
    network = small(name)
    ours = Target(network, "timm/" + name, CONTRACT, "0" * 64)
    theirs = opened(export(network, tmp_path / "network.onnx", size=SIZE))
    images = torch.randn(5, 3, *SIZE, generator=torch.Generator().manual_seed(1))

    layers = theirs.main_layers[kept]
    assert len(layers) == len(blocks)
    for by_torch, by_graph in zip(pooled(ours, blocks, images), pooled(theirs, layers, images), strict=True):
        torch.testing.assert_close(by_graph, by_torch, rtol=1e-5, atol=1e-5)
    assert hooks_left(theirs.module) == 0


def test_every_listed_layer_is_computed_as_it_is_listed(tmp_path: Path) -> None:
    target = opened(export(small("test_vit"), tmp_path / "network.onnx", size=SIZE))
    layers = list_layers(target)
    assert {"Conv", "LayerNormalization", "Gelu", "MatMul"} <= {layer.kind for layer in layers}
    outputs = pooled(target, tuple(layer.name for layer in layers), torch.randn(3, 3, *SIZE))
    assert [tuple(output.shape) for output in outputs] == [(3, layer.units) for layer in layers]
    units = {layer.units for layer in layers}
    assert units == {64, 192, 1000}, "no head of attention, no number of patches is taken for a number of units"


def test_a_network_without_class_token_is_pooled_over_its_patches(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network: Any = timm.create_model(
        "test_vit", img_size=SIZE, class_token=False, global_pool="avg", depth=1, reg_tokens=2
    ).eval()
    target = opened(export(network, tmp_path / "network.onnx", size=SIZE))
    images = torch.randn(2, 3, *SIZE)
    [by_graph] = pooled(target, target.main_layers[-1:], images)
    with torch.inference_mode():
        tokens = network.blocks(network.norm_pre(network._pos_embed(network.patch_embed(images))))
    tokens_read = tokens_of(target, target.main_layers)[target.main_layers[-1]]
    assert tokens_read is not None
    assert (tokens_read.has_class, tokens_read.registers) == (False, 2)
    torch.testing.assert_close(by_graph, tokens[:, 2:].mean(dim=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch_is_filled_up(tmp_path: Path, batch: int) -> None:
    fixed = write_graph(tmp_path / "fixed.onnx", image=(batch, 3, 8, 8))
    free = write_graph(tmp_path / "free.onnx")
    images = torch.randn(4, 3, 8, 8)
    target = opened(fixed)
    torch.testing.assert_close(pooled(target, ("mapped",), images), pooled(opened(free), ("mapped",), images))
    assert f"exported for {batch} images" in warnings_of(target)[-1]
    assert [(layer.name, layer.units) for layer in list_layers(target)] == [("mapped", 4), ("seen", 4)]


def test_channels_last_images_and_maps(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["images"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "kernel"], ["mapped"], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["mapped"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Relu", ["last"], ["seen"]),
    ]
    target = opened(write_graph(tmp_path / "a.onnx", nodes, image=("n", 8, 8, 3)))
    images = torch.randn(2, 3, 8, 8)
    mapped = nn.functional.conv2d(images, torch.from_numpy(conv_weights()), padding=1)
    [seen] = pooled(target, ("seen",), images)
    torch.testing.assert_close(seen, mapped.relu().mean((2, 3)), rtol=1e-5, atol=1e-5)


def test_grey_images_of_any_size(tmp_path: Path) -> None:
    weights = {"kernel": conv_weights(channels=1)}
    target = opened(write_graph(tmp_path / "a.onnx", image=("n", 1, "h", "w"), weights=weights))
    contract = target.preprocessing
    assert (contract.channels, contract.height, contract.width, len(contract.mean)) == (1, 224, 224, 1)
    assert "height, width, mean, std were not given" in warnings_of(target)[0]
    assert pooled(target, ("seen",), torch.randn(2, 1, 12, 20))[0].shape == (2, 4)
    with pytest.raises(InvalidInput, match="1 channels"):
        pooled(target, ("seen",), torch.randn(2, 3, 12, 20))


def test_another_size_than_the_graphs_is_refused(tmp_path: Path) -> None:
    target = opened(write_graph(tmp_path / "a.onnx"))
    assert (target.preprocessing.height, target.preprocessing.width) == (8, 8)
    with pytest.raises(InvalidInput, match="takes images of 8 x 8"):
        pooled(target, ("seen",), torch.zeros(1, 3, 9, 9))


def test_what_is_given_of_the_input_counts(tmp_path: Path) -> None:
    given = GivenInput(mean=(0.5,), std=(0.25,))
    target = opened(write_graph(tmp_path / "a.onnx"), input=given)
    assert (target.preprocessing.mean, target.preprocessing.height) == ((0.5,) * 3, 8)
    assert warnings_of(target) == ()
    free = write_graph(tmp_path / "b.onnx", image=("n", 3, "h", "w"))
    assert opened(free, input=GivenInput(height=16, width=12)).preprocessing.width == 12


@pytest.mark.parametrize(
    ("given", "field", "remedy"),
    [
        (GivenInput(height=9), "input.height", "Give height 8"),
        (GivenInput(channels=1), "input.channels", "Give channels 3"),
    ],
    ids=["height", "channels"],
)
def test_an_input_that_contradicts_the_graph(tmp_path: Path, given: GivenInput, field: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        opened(write_graph(tmp_path / "a.onnx"), input=given)
    assert refused.value.field == field
    assert remedy in str(refused.value.remedy)


def test_shapes_that_only_a_run_tells(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["mapped"], pads=[1, 1, 1, 1]),
        helper.make_node("FusedMatMul", ["mapped", "matrix"], ["product"], domain="com.microsoft"),
        helper.make_node("Relu", ["product"], ["seen"]),
    ]
    weights = {"kernel": conv_weights(units=8), "matrix": np.ones((8, 8), dtype=np.float32)}
    target = opened(write_graph(tmp_path / "a.onnx", nodes, weights=weights, domains=("com.microsoft",)))
    assert [(layer.name, layer.units) for layer in list_layers(target)] == [("mapped", 8), ("product", 8), ("seen", 8)]


def test_the_same_graph_twice_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx")
    images = torch.randn(4, 3, 8, 8)
    first, second = (pooled(opened(path), ("mapped", "seen"), images) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_shuffled_weights_leave_each_tensors_numbers_and_nothing_else(tmp_path: Path) -> None:
    path = write_graph(tmp_path / "a.onnx")
    images = torch.randn(2, 3, 8, 8)
    [plain], [null], [again], [other] = (
        pooled(opened(path, shuffled=seed), ("mapped",), images) for seed in (None, 1, 1, 2)
    )
    assert torch.equal(null, again)
    assert not torch.allclose(null, plain)
    assert not torch.allclose(null, other)


def test_statistics_are_not_shuffled(tmp_path: Path) -> None:
    variance = np.array([1.0, 4.0, 9.0, 16.0], np.float32)
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["mapped"]),
        helper.make_node("BatchNormalization", ["mapped", "scale", "bias", "mean", "variance"], ["seen"], epsilon=0.0),
    ]
    weights = {"kernel": conv_weights(), "scale": ones, "bias": zeros, "mean": zeros, "variance": variance}
    target = opened(write_graph(tmp_path / "a.onnx", nodes, weights=weights), shuffled=3)
    mapped, seen = pooled(target, ("mapped", "seen"), torch.randn(2, 3, 8, 8))
    torch.testing.assert_close(seen, mapped / torch.from_numpy(variance).sqrt(), rtol=1e-5, atol=1e-5)


def test_layer_names() -> None:
    names = layer_names(["/layer1/conv/Conv_output_0", "a[3]", "a.3", "forward", "x y", "model/Relu:0", "/", "a"])
    assert list(names.values()) == [
        "layer1.conv.Conv_output_0", "a.3", "a.3_2", "forward_", "x_y", "model.Relu:0", "tensor", "a"
    ]  # fmt: skip


def test_a_tensor_named_like_a_part_of_anothers_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["a.b"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a.b"], ["a"]),
    ]
    target = opened(write_graph(tmp_path / "a.onnx", nodes, outputs=("a",)))
    assert sorted(layer.name for layer in list_layers(target)) == ["a", "a.b"]
    assert [output.shape for output in pooled(target, ("a", "a.b"), torch.zeros(2, 3, 8, 8))] == [(2, 4), (2, 4)]


def test_half_precision(tmp_path: Path) -> None:
    weights = {"kernel": conv_weights().astype(np.float16)}
    target = opened(write_graph(tmp_path / "a.onnx", kind=TensorProto.FLOAT16, weights=weights, edit=_any_output))
    [seen] = pooled(target, ("seen",), torch.randn(2, 3, 8, 8))
    assert seen.dtype is torch.float32
    assert math.isfinite(float(seen.sum()))


def _any_output(model: Any) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def test_the_architecture_is_listed() -> None:
    assert "onnx" in architectures()
