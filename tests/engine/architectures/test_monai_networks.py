"""Networks of MONAI open by what their weights show, and pool as hooks written for them do."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.domain.input_contract import GivenInput
from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.architectures.monai_networks import NETWORKS
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import list_layers
from service.errors import InvalidCheckpoint, InvalidInput, UnknownArchitecture

nets: Any = import_module("monai.networks.nets")

CPU = torch.device("cpu")
SIDE = 64


def maps(output: Tensor) -> Tensor:
    return output.mean(dim=(2, 3))


def class_token(output: Tensor) -> Tensor:
    return output[:, 0]


def tokens(output: Tensor) -> Tensor:
    return output.mean(dim=1)


def densenet(**options: Any) -> Any:
    return nets.DenseNet121(2, 1, 3, init_features=8, growth_rate=4, block_config=(2, 2), **options)


def resnet(**options: Any) -> Any:
    options = {"spatial_dims": 2, "n_input_channels": 1, "num_classes": 3, "widen_factor": 0.125, **options}
    return nets.resnet10(**options)


def vit(**options: Any) -> Any:
    options = {
        "in_channels": 1, "img_size": (SIDE, SIDE), "patch_size": 16, "hidden_size": 24, "mlp_dim": 32, "num_layers": 2,
        "num_heads": 3, "classification": True, "spatial_dims": 2, **options,
    }  # fmt: skip
    return nets.ViT(**options)


def swin_unetr(**options: Any) -> Any:
    return nets.SwinUNETR(1, 2, spatial_dims=2, feature_size=12, depths=(1, 2, 1, 1), window_size=4, **options)


def unetr() -> Any:
    return nets.UNETR(
        3, 2, (SIDE, SIDE), feature_size=4, hidden_size=24, mlp_dim=32, num_heads=3, spatial_dims=2, qkv_bias=True
    )


def unet(**options: Any) -> Any:
    return nets.UNet(2, 1, 3, channels=(4, 8, 16), strides=(2, 2), **options)


def rows_last(output: Tensor) -> Tensor:
    return output.mean(dim=(1, 2))


BUILT: dict[str, tuple[Callable[[], Any], str, dict[str, Callable[[Any], Tensor]]]] = {
    "DenseNet121": (densenet, "DenseNet121", {"features.denseblock2": maps, "features.conv0": maps}),
    "ResNet": (resnet, "resnet10", {"layer2.0": maps, "layer4": maps, "fc": lambda output: output}),
    "ResNet with parameterless shortcuts": (lambda: resnet(shortcut_type="A"), "resnet10", {"layer3.0": maps}),
    "ResNet of another stem": (
        lambda: resnet(conv1_t_size=3, conv1_t_stride=2, bias_downsample=False),
        "resnet10/conv1_t_stride=2",
        {"layer1": maps},
    ),
    "SEResNet50": (
        lambda: nets.SEResNet50(spatial_dims=2, in_channels=1, num_classes=2), "SEResNet50", {"layer1": maps}
    ),
    "EfficientNetBN": (
        lambda: nets.EfficientNetBN("efficientnet-b1", pretrained=False, in_channels=1, num_classes=2),
        "EfficientNetBN",
        {"_blocks.1.2": maps},
    ),
    "ViT": (vit, "ViT/num_heads=3", {"blocks.1": class_token, "patch_embedding": tokens, "blocks.0.mlp": class_token}),
    "ViT without classes": (
        lambda: vit(classification=False, qkv_bias=True), "ViT/num_heads=3", {"norm": tokens}
    ),
    "ViT with a perceptron": (
        lambda: vit(proj_type="perceptron", post_activation="none"),
        "ViT/num_heads=3,patch_size=16,in_channels=1,img_size=64x64",
        {"blocks.1.attn": class_token},
    ),
    "SwinUNETR": (
        swin_unetr, "SwinUNETR",
        {"swinViT.layers1.0": maps, "swinViT.layers2.0.blocks.1": rows_last, "encoder1": maps, "out": maps},
    ),
    "SwinUNETR, second version": (lambda: swin_unetr(use_v2=True), "SwinUNETR", {"swinViT.layers1c.0": maps}),
    "UNETR": (unetr, "UNETR/num_heads=3", {"vit.blocks.3": tokens, "decoder5": maps}),
    "UNet": (unet, "UNet/strides=2x2", {"model.0": maps, "model.1.submodule": maps, "model": maps}),
    "UNet of residual units": (
        lambda: unet(num_res_units=2, norm="batch", kernel_size=5), "UNet/strides=2x2", {"model.1.submodule.0": maps}
    ),
    "AttentionUnet": (
        lambda: nets.AttentionUnet(2, 1, 2, (4, 8), (2, 2)), "AttentionUnet/channels=4x8,strides=2x2", {"model.0": maps}
    ),
    "BasicUNet": (
        lambda: nets.BasicUNet(2, 1, 2, (4, 4, 8, 8, 8, 4)), "BasicUNet/features=4x4x8x8x8x4", {"down_2": maps}
    ),
    "SegResNet": (
        lambda: nets.SegResNet(2, 8, 1, 3, blocks_down=(1, 2, 1), blocks_up=(1, 1)),
        "SegResNet",
        {"down_layers.1": maps},
    ),
    "FlexibleUNet": (
        lambda: nets.FlexibleUNet(1, 2, "resnet18", decoder_channels=(8, 8, 8, 8, 8)),
        "FlexibleUNet/backbone=resnet18,decoder_channels=8x8x8x8x8",
        {"encoder.layer1": maps},
    ),
    "HighResNet": (lambda: nets.HighResNet(2, 1, 2), "HighResNet", {"blocks.1": maps}),
    "VNet": (lambda: nets.VNet(2, 1, 2, dropout_dim=2), "VNet", {"down_tr32": maps}),
}  # fmt: skip


def saved(network: Any, folder: Path, wrapped: bool = False) -> Path:
    weights = network.state_dict()
    if wrapped:
        weights = {"state_dict": {f"net._orig_mod.{key}": value for key, value in weights.items()}, "epoch": 3}
    torch.save(weights, folder / "weights.pt")
    return folder / "weights.pt"


def opened(path: Path, architecture: str, **given: Any) -> Any:
    given_input = GivenInput(**{"height": SIDE, "width": SIDE, "mean": (0.0,), "std": (1.0,), **given})
    return open_target(TargetSpec(path, f"monai/{architecture}", input=given_input), CPU)


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.proves("architecture", "MONAI's {}")
def test_pooled_activations_equal_a_hand_written_hook(tmp_path: Path, name: str) -> None:
    build, architecture, pools = BUILT[name]
    torch.manual_seed(3)
    network = build().eval()
    target = opened(saved(network, tmp_path, wrapped=len(name) % 2 == 0), architecture)
    images = torch.randn(2, target.preprocessing.channels, SIDE, SIDE)
    listed = {layer.name for layer in list_layers(target)}
    assert pools.keys() <= listed

    with torch.inference_mode(), pooled_layers(target, list(pools), "avg") as forward:
        activations = dict(forward(images))

    outputs: dict[str, Any] = {}
    for layer in pools:
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: outputs.update({layer: output})
        )
    with torch.inference_mode():
        network(images)
    for layer, pool in pools.items():
        torch.testing.assert_close(activations[layer], pool(outputs[layer]), rtol=1e-5, atol=1e-5)


def test_every_network_that_may_be_named_is_one_of_monai() -> None:
    assert all(hasattr(nets, name) for name in NETWORKS)
    proven = {architecture.partition("/")[0] for _, architecture, _ in BUILT.values()}
    alike = ("DenseNet", "resnet", "SENet", "SERes")
    assert {name for name in NETWORKS if not name.startswith(alike)} <= proven


@pytest.mark.parametrize(
    ("build", "architecture"),
    [
        (lambda: nets.DenseNet169(2, 3, 2), "DenseNet169"),
        (lambda: nets.resnet34(spatial_dims=2, n_input_channels=3, num_classes=2), "resnet34"),
        (lambda: nets.SEResNext50(spatial_dims=2, in_channels=3, num_classes=2), "SEResNext50"),
    ],
)
def test_networks_of_the_usual_size_open(tmp_path: Path, build: Callable[[], Any], architecture: str) -> None:
    assert opened(saved(build(), tmp_path), architecture).preprocessing.channels == 3


def test_what_the_weights_do_not_show_is_said(tmp_path: Path) -> None:
    path = saved(resnet(), tmp_path)

    target: Any = open_target(TargetSpec(path, "monai/resnet10"), CPU)

    assumed, unsaid = target.input.warnings
    assert "conv1_t_stride 1, no_max_pool false" in assumed
    assert "monai/resnet10/conv1_t_stride=..." in assumed
    assert "height, width, mean, std" in unsaid
    both = opened(path, "resnet10/conv1_t_stride=1,no_max_pool=false")
    assert both.input.warnings == ()


def test_a_size_that_the_weights_show_is_the_input(tmp_path: Path) -> None:
    target: Any = open_target(TargetSpec(saved(vit(), tmp_path), "monai/ViT/num_heads=3"), CPU)
    entries = target.input.entries()
    assert (entries["height"], entries["width"]["value"]) == ({"value": SIDE, "origin": "library"}, SIDE)
    assert entries["channels"] == {"value": 1, "origin": "checkpoint"}


def test_a_foreign_head_is_left_out(tmp_path: Path) -> None:
    weights = {key: value for key, value in densenet().state_dict().items() if not key.startswith("class_layers")}
    torch.save(weights, tmp_path / "weights.pt")
    target = opened(tmp_path / "weights.pt", "DenseNet121")
    assert target.left_out == ("class_layers",)


def test_entries_that_old_releases_left_in_transformers_do_no_harm(tmp_path: Path) -> None:
    weights = vit().state_dict()
    stale = {f"blocks.0.cross_attn.{name}": torch.ones(24, 24) for name in ("to_q.weight", "out_proj.weight")}
    own = {key: value for key, value in weights.items() if "norm_cross_attn" not in key}
    torch.save(own | stale, tmp_path / "weights.pt")
    target = opened(tmp_path / "weights.pt", "ViT/num_heads=3")
    assert target.reading["unused"]["count"] == 2


@pytest.mark.parametrize(
    ("build", "architecture", "kind", "field", "words"),
    [
        (unet, "UNet", InvalidInput, "architecture", "monai/UNet/strides=2x2x2x2"),
        (lambda: unet(act="relu"), "UNet/strides=2x2", InvalidInput, "architecture", "monai/UNet/act=..."),
        (vit, "ViT", InvalidInput, "architecture", "num_heads, which its weights do not show"),
        (vit, "ViT/num_heads=7", InvalidInput, "architecture", "divisible by num_heads"),
        (vit, "ViT/heads=3", InvalidInput, "architecture", "num_heads"),
        (vit, "ViT/num_heads=3,num_heads=3", InvalidInput, "architecture", "twice"),
        (vit, "ViT/num_heads=1+1", InvalidInput, "architecture", "not a value"),
        (vit, "ViT/num_heads=999999", InvalidInput, "architecture", "up to 65536"),
        (densenet, "DenseNet121/pretrained=true", InvalidInput, "architecture", "'pretrained' that may be given"),
        (densenet, "DenseNet121/growth_rate=8", InvalidCheckpoint, "checkpoint", "own/<name>"),
        (densenet, "resnet50", InvalidCheckpoint, "checkpoint", "own/<name>"),
        (lambda: resnet(spatial_dims=3), "resnet10", InvalidCheckpoint, "checkpoint", "spatial_dims=2"),
        (lambda: vit(spatial_dims=3, img_size=32), "ViT/num_heads=3", InvalidCheckpoint, "checkpoint", "volumes"),
        (lambda: resnet(n_input_channels=2), "resnet10", InvalidCheckpoint, "checkpoint", "takes 2 channels"),
        (densenet, f"BasicUNet/features={'x'.join(['65536'] * 6)}", InvalidCheckpoint, "checkpoint", "times larger"),
        (densenet, "DenseNet", UnknownArchitecture, "architecture", "monai/DenseNet121"),
        (densenet, "VISTA3D", UnknownArchitecture, "architecture", "monai"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_names_a_way(
    tmp_path: Path, build: Callable[[], Any], architecture: str, kind: type[InvalidInput], field: str, words: str
) -> None:
    with pytest.raises(kind) as raised:
        opened(saved(build(), tmp_path), architecture)
    assert type(raised.value) is kind
    assert raised.value.field == field
    assert words in str(raised.value)


def test_the_remedy_for_arguments_works(tmp_path: Path) -> None:
    path = saved(nets.UNet(2, 1, 3, channels=(4, 8, 16, 16, 16), strides=(2, 2, 2, 2)), tmp_path)
    with pytest.raises(InvalidInput) as raised:
        opened(path, "UNet")
    remedy = str(raised.value.remedy)
    architecture = remedy.partition("monai/")[2].partition(";")[0]
    assert opened(path, architecture).module.strides == (2, 2, 2, 2)


def test_where_monai_is_not_installed_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(densenet(), tmp_path)
    monkeypatch.setitem(sys.modules, "monai.networks.nets", None)
    with pytest.raises(InvalidInput, match=r"mammo-clip-dissect-service\[monai\]") as raised:
        opened(path, "DenseNet121")
    assert raised.value.field == "architecture"
