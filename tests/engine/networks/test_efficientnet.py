import json
from collections.abc import Callable, Sequence
from typing import Any

import efficientnet_pytorch
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from service.engine.networks.efficientnet import B2, B5, LITE0, EfficientNet, FixedPadConv
from service.engine.networks.folding import fold_norms
from tests.engine.published import GOLDEN, image_encoder_weights, images_of, recipe_weights

VARIANTS = {"b5": B5, "b2": B2}
CASES = {case["file"]: case for case in json.loads((GOLDEN / "B_manifest.json").read_text())["cases"]}
BLOCKS = {"b5": 39, "b2": 23}
TOLERANCE = 20
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda maps: maps.mean((2, 3)),
    "max": lambda maps: maps.amax((2, 3)),
}


def build(model: str, keep: Sequence[str] | None) -> EfficientNet:
    network = EfficientNet(VARIANTS[model])
    network.load_state_dict(image_encoder_weights(model))
    network.eval()
    if keep is not None:
        fold_norms(network, keep)
    return network.to(memory_format=torch.channels_last)


def pooled_outputs(network: EfficientNet, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    pooled: dict[str, Tensor] = {}

    def watch(name: str) -> None:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            pooled.update({f"{pool}/{name}": reduce(output) for pool, reduce in POOLS.items()})

        network.get_submodule(name).register_forward_hook(hook)

    for name in names:
        watch(name)
    with torch.inference_mode():
        pooled["features"] = network(images)
    return pooled


def relative_error(ours: Tensor, golden: np.ndarray[Any, Any]) -> float:
    return float(np.abs(ours.numpy() - golden).max() / np.abs(golden).max())


def check_against_golden(file: str, keep: Sequence[str] | None) -> None:
    case = CASES[file]
    model, noise = case["arch"], case["noise_fp32_vs_fp64"]
    images = images_of(case["image_labels"], case["height"], case["width"])
    with np.load(GOLDEN / file) as golden:
        names = [key.removeprefix("avg/") for key in golden.files if key.startswith("avg/")]
        assert len(names) == BLOCKS[model] + 3
        ours = pooled_outputs(build(model, keep), images, names)
        heads = recipe_weights(model, "image_projection.")
        classifier = recipe_weights(f"classifier_{model}_n4", "classifier.")
        ours["projection"] = functional.linear(ours["features"], *heads.values())
        ours["embedding"] = functional.normalize(ours["projection"], dim=1)
        ours["logits"] = functional.linear(ours["features"], *classifier.values())
        assert set(ours) == set(golden.files)
        for key in golden.files:
            allowed = noise[f"worst_{key[:3]}"] if "/" in key else noise[key]
            assert relative_error(ours[key], golden[key]) <= TOLERANCE * allowed, key


@pytest.mark.parametrize("file", CASES)
def test_the_folded_tower_agrees_with_the_original_at_every_layer(file: str) -> None:
    check_against_golden(file, keep=["_conv_head"])


@pytest.mark.parametrize("file", [file for file in CASES if "_odd_" in file])
def test_the_plain_tower_agrees_with_the_original_at_every_layer(file: str) -> None:
    check_against_golden(file, keep=None)


@pytest.mark.parametrize("model", VARIANTS)
def test_convolutions_pad_as_the_original_does(model: str) -> None:
    expected = json.loads((GOLDEN / "static_padding.json").read_text())[model]["rows"]
    network = EfficientNet(VARIANTS[model])
    for name, kernel, stride, padding in expected:
        convolution = network.get_submodule(name)
        assert isinstance(convolution, FixedPadConv)
        even = next(iter(convolution.padding))
        assert list(convolution.kernel_size) == kernel
        assert list(convolution.stride) == stride
        assert list(convolution.uneven or (even,) * 4) == padding, name


def test_the_public_twin_agrees() -> None:
    twin = efficientnet_pytorch.EfficientNet.from_name("efficientnet-b2").eval()
    network = EfficientNet(B2).eval()
    weights = {key: value for key, value in twin.state_dict().items() if not key.startswith("_fc.")}
    network.load_state_dict(weights)
    images = images_of(["twin/0"], 131, 97)
    with torch.inference_mode():
        ours, theirs = network(images), twin.extract_features(images).mean((2, 3))
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_folding_keeps_the_outputs_of_norms_blocks_and_the_layers_that_are_looked_at() -> None:
    torch.manual_seed(0)
    plain = EfficientNet(LITE0, classes=5).eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    folded = EfficientNet(LITE0, classes=5).eval()
    folded.load_state_dict(plain.state_dict())
    fold_norms(folded, keep=["_conv_stem", "_blocks.3._bn1", "_blocks.5._expand_conv"])
    names = ["_conv_stem", "_bn0", "_bn1", "_blocks.3._bn1", "_blocks.5._expand_conv", "_blocks.5._bn0"]
    names += [f"_blocks.{index}" for index in range(16)]
    images = torch.randn(2, 3, 64, 64)
    expected = pooled_outputs(plain, images, names)
    for name, value in pooled_outputs(folded, images, names).items():
        assert torch.allclose(value, expected[name], rtol=1e-3, atol=1e-4 * float(expected[name].abs().max())), name


def test_a_folded_convolution_is_no_layer_any_more() -> None:
    network = EfficientNet(LITE0).eval()
    fold_norms(network, keep=["_blocks.5._expand_conv"])
    names = dict(network.named_modules())
    assert "_blocks.5._expand_conv" in names
    assert "_blocks.5._project_conv" not in names
    assert "_conv_stem" not in names
    assert "_blocks.5._bn2" in names


def test_a_norm_that_is_looked_at_is_not_overwritten() -> None:
    network = EfficientNet(LITE0).eval()
    fold_norms(network, keep=["_blocks.5._bn1"])
    seen: list[Tensor] = []
    network.get_submodule("_blocks.5._bn1").register_forward_hook(lambda *call: seen.extend([call[2], call[2].clone()]))
    with torch.inference_mode():
        network(torch.randn(1, 3, 64, 64))
    assert torch.equal(seen[0], seen[1])
    assert float(seen[0].min()) < 0


def test_the_last_activation_is_a_layer() -> None:
    network = EfficientNet(B2).eval()
    seen: dict[str, Tensor] = {}
    for name in ("_bn1", "_swish"):
        network.get_submodule(name).register_forward_hook(lambda *call, name=name: seen.update({name: call[2].clone()}))
    with torch.inference_mode():
        features = network(torch.randn(1, 3, 64, 64))
    assert torch.equal(seen["_swish"], torch.nn.functional.silu(seen["_bn1"]))
    torch.testing.assert_close(features, seen["_swish"].mean(dim=(2, 3)))


def test_the_classifier_is_a_layer_beside_the_features() -> None:
    network = EfficientNet(LITE0, classes=7).eval()
    seen: list[Tensor] = []
    network.get_submodule("_fc").register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.inference_mode():
        assert network(torch.randn(2, 3, 64, 64)).shape == (2, 1280)
    assert seen[0].shape == (2, 7)


@pytest.mark.parametrize("blocks", [0, 8, 16])
def test_early_and_late_blocks_are_the_whole_network(blocks: int) -> None:
    torch.manual_seed(3)
    network = EfficientNet(LITE0).eval()
    images = torch.randn(2, 3, 64, 48)
    with torch.inference_mode():
        assert torch.equal(network.late(network.early(images, blocks), blocks), network(images))
