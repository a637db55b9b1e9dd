"""What networks are shown: what was given, what their library says, and what contradicts them."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import torchvision.models
from safetensors.torch import save_file
from torch import nn

from service.domain.input_contract import given_input
from service.domain.models import TargetSpec
from service.domain.preprocessing import Preprocessing
from service.engine.architectures import open_target
from service.engine.networks.efficientnet import LITE0, EfficientNet
from service.engine.networks.protocols import Target
from service.engine.probing.listing import list_layers
from service.errors import InvalidInput

CPU = torch.device("cpu")


def opened(folder: Path, network: nn.Module, architecture: str, values: dict[str, Any] | None) -> Target:
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "w.safetensors")
    given = None if values is None else given_input(values)
    target = open_target(TargetSpec(folder / "w.safetensors", architecture, input=given), CPU, keep_layers=[])
    contract = target.preprocessing
    with torch.inference_mode():
        target.module(torch.zeros(1, contract.channels, contract.height, contract.width))
    assert list_layers(target)
    return target


def test_nothing_given_is_what_it_was(tmp_path: Path) -> None:
    target = opened(tmp_path, timm.create_model("test_resnet"), "timm/test_resnet", None)
    assert target.preprocessing == Preprocessing(160, 160, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert target.input is not None
    assert target.input.origins["height"] == "library"
    assert len(target.input.warnings) == 1


def test_a_part_is_filled_from_timm(tmp_path: Path) -> None:
    target = opened(tmp_path, timm.create_model("test_resnet"), "timm/test_resnet", {"height": 96, "width": 64})
    assert target.preprocessing == Preprocessing(96, 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("size", [{"height": 96, "width": 64}, {"height": 192}])
@pytest.mark.parametrize("trained", [True, False])
def test_timm_s_transformers_are_built_for_the_size(tmp_path: Path, size: dict[str, int], trained: bool) -> None:
    """Whether the checkpoint was trained at that size or at timm's own, whose embeddings timm resamples."""
    asked = (size.get("height", 160), size.get("width", 160))
    options: dict[str, Any] = {"img_size": asked} if trained else {}
    network = timm.create_model("test_vit", **options)
    target = opened(tmp_path, network, "timm/test_vit", size)
    assert (target.preprocessing.height, target.preprocessing.width) == asked
    assert target.preprocessing.resize == "bicubic"


def test_open_clip_s_transformers_are_built_for_the_size(tmp_path: Path) -> None:
    network = open_clip.create_model("ViT-S-32-alt", load_weights=False, pretrained_text=False)
    target = opened(tmp_path, network, "open_clip/ViT-S-32-alt", {"height": 96, "width": 64, "resize": "area"})
    assert (target.preprocessing.height, target.preprocessing.width, target.preprocessing.resize) == (96, 64, "area")
    assert target.preprocessing.mean == open_clip.OPENAI_DATASET_MEAN


def test_torchvision_s_transforms_are_what_the_library_says(tmp_path: Path) -> None:
    network = torchvision.models.efficientnet_b3()
    target = opened(tmp_path, network, "torchvision/efficientnet_b3", {})
    assert (target.preprocessing.height, target.preprocessing.resize) == (300, "bicubic")
    assert target.input is not None
    assert target.input.origins["height"] == "library"
    unstated = opened(tmp_path, network, "torchvision/efficientnet_b3", None)
    assert (unstated.preprocessing.height, unstated.preprocessing.resize) == (224, "area")
    assert unstated.input is not None
    assert unstated.input.origins["height"] == "default"


def test_a_checkpoint_with_one_channel_is_shown_one_plane(tmp_path: Path) -> None:
    network = timm.create_model("test_resnet", in_chans=1)
    target = opened(tmp_path, network, "timm/test_resnet", {"mean": 0.3, "std": 0.2})
    assert target.preprocessing.channels == 1
    assert target.preprocessing.mean == (0.3,)


def test_a_published_contract_is_changed_in_part(tmp_path: Path) -> None:
    network = EfficientNet(LITE0)
    target = opened(tmp_path, network, "efficientnet-lite0", {"height": 96, "width": 64, "scale": "min_max"})
    assert target.input is not None
    assert target.input.origins["mean"] == "library"
    assert target.input.warnings == ()


@pytest.mark.parametrize(
    ("name", "values", "field", "remedy"),
    [
        ("test_resnet", {"channels": 1}, "input.channels", {"channels": 3}),
        ("test_vit", {"height": 100}, "input.height", {"height": 96}),
        ("test_vit", {"width": 161}, "input.width", {"width": 160}),
        ("test_convnext", {"height": 99}, "input.height", {"height": 100}),
    ],
)
def test_what_contradicts_the_network_is_refused_and_the_remedy_works(
    tmp_path: Path, name: str, values: dict[str, Any], field: str, remedy: dict[str, Any]
) -> None:
    network = timm.create_model(name)
    with pytest.raises(InvalidInput) as caught:
        opened(tmp_path, network, f"timm/{name}", values)
    assert caught.value.field == field
    assert str(next(iter(remedy.values()))) in str(caught.value.remedy)
    opened(tmp_path, network, f"timm/{name}", remedy)


def test_a_network_of_a_fixed_size_refuses_another(tmp_path: Path) -> None:
    network = torchvision.models.VisionTransformer(224, 32, 12, 12, 768, 3072)
    with pytest.raises(InvalidInput) as caught:
        opened(tmp_path, network, "torchvision/vit_b_32", {"height": 384, "width": 256})
    assert (caught.value.field, caught.value.value) == ("input", "384 x 256")
    opened(tmp_path, network, "torchvision/vit_b_32", {"height": 64, "width": 64})
