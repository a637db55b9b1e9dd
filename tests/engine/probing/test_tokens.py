"""What the libraries' networks say of their class tokens, and what is read of their layers."""

from collections.abc import Callable
from typing import Any

import open_clip.transformer
import pytest
import timm
import torch
import torchvision.models
from open_clip.timm_model import TimmModel
from timm.models.mlp_mixer import MlpMixer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from service.domain.preprocessing import Preprocessing
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import list_layers
from service.engine.probing.tokens import Tokens, tokens_of

SIDE = 32
CONTRACT = Preprocessing(height=SIDE, width=SIDE, mean=(0.0,) * 3, std=(1.0,) * 3, resize="none")
SMALL: dict[str, Any] = {"img_size": SIDE, "patch_size": 16, "embed_dim": 8, "depth": 2, "num_heads": 2}
CLASS, PATCHES = Tokens(has_class=True), Tokens(has_class=False)


def opened(network: nn.Module) -> Target:
    return Target(network.eval(), "any", CONTRACT, "0" * 64)


def vit(**options: Any) -> nn.Module:
    return VisionTransformer(**{**SMALL, **options})


def open_clip_vit() -> nn.Module:
    network: nn.Module = open_clip.transformer.VisionTransformer(
        image_size=SIDE, patch_size=16, width=8, layers=2, heads=2, mlp_ratio=2.0, output_dim=4
    )
    return network


def torchvision_vit() -> nn.Module:
    network: nn.Module = torchvision.models.VisionTransformer(
        image_size=SIDE, patch_size=16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=8
    )
    return network


def wrapped_vit() -> nn.Module:
    network: nn.Module = TimmModel("test_vit", embed_dim=4, image_size=160, pool="")
    return network


def shallow(name: str) -> nn.Module:
    """A network of timm without its weights."""
    with torch.device("meta"):
        return timm.create_model(name)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], dict[str, Tokens | None]]] = {
    "timm": (vit, {"blocks.1": CLASS, "norm": CLASS, "patch_embed": PATCHES, "patch_embed.norm": PATCHES}),
    "timm, registers": (lambda: vit(reg_tokens=2), {"blocks[1]": CLASS}),
    "open_clip": (open_clip_vit, {"transformer.resblocks.0": CLASS}),
    "open_clip around timm": (wrapped_vit, {"trunk.blocks.0": CLASS, "trunk.patch_embed": PATCHES}),
    "torchvision": (torchvision_vit, {"encoder.layers.encoder_layer_0": CLASS}),
    "SigLIP": (lambda: vit(class_token=False, global_pool="map"), {"blocks.1": PATCHES, "attn_pool.norm": PATCHES}),
    "gap": (lambda: vit(class_token=False, global_pool="avg"), {"blocks.1": PATCHES}),
    "gap, registers": (
        lambda: vit(class_token=False, reg_tokens=2, global_pool="avg"),
        {"blocks.1": Tokens(has_class=False, registers=2), "patch_embed": PATCHES},
    ),
    "mixer": (lambda: shallow("mixer_s32_224"), {"blocks.1": PATCHES}),
    "CoaT": (lambda: shallow("coat_tiny"), {"serial_blocks1.0": CLASS, "patch_embed1": PATCHES}),
    "CrossViT": (lambda: shallow("crossvit_tiny_240"), {"blocks.0.blocks.0.0": CLASS, "patch_embed.0": PATCHES}),
    "CaiT": (lambda: shallow("cait_xxs24_224"), {"blocks.1": PATCHES, "blocks_token_only.0": CLASS, "norm": CLASS}),
    "XCiT": (lambda: shallow("xcit_nano_12_p16_224"), {"blocks.1": PATCHES, "cls_attn_blocks.0": CLASS}),
    "VOLO": (lambda: shallow("volo_d1_224"), {"network.0.0": PATCHES, "post_network.1": CLASS}),
    "ConViT": (lambda: shallow("convit_tiny"), {"blocks.1": PATCHES, "blocks.9": PATCHES, "blocks.10": CLASS}),
    "TNT": (lambda: shallow("tnt_s_patch16_224"), {"blocks.1.proj": PATCHES, "blocks.1.mlp": CLASS, "norm": CLASS}),
    "no library": (lambda: nn.Sequential(nn.Linear(2, 2)), {"0": None}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_say_where_they_have_a_class_token(name: str) -> None:
    draw, expected = NETWORKS[name]
    assert tokens_of(opened(draw()), expected) == expected


def outputs_of(network: nn.Module, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """What the layer returns, [B, T, U], and what is made of it, [B, U]."""
    seen: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *call: seen.append(call[2].clone()))
    with torch.inference_mode(), pooled_layers(opened(network), [layer], "avg") as forward:
        pooled = forward(images)[layer]
    handle.remove()
    return seen[0], pooled


@pytest.mark.parametrize(
    ("draw", "layer"),
    [(vit, "blocks.1"), (open_clip_vit, "transformer.resblocks.1"), (torchvision_vit, "encoder.ln")],
    ids=["timm", "open_clip", "torchvision"],
)
def test_a_class_token_is_taken_as_it_is(draw: Callable[[], nn.Module], layer: str) -> None:
    output, pooled = outputs_of(draw(), layer, torch.randn(2, 3, SIDE, SIDE))
    assert output.shape == (2, 5, 8)
    assert torch.equal(pooled, output[:, 0])


@pytest.mark.parametrize(
    ("network", "first"),
    [
        (vit(class_token=False, global_pool="avg"), 0),
        (vit(class_token=False, global_pool="map"), 0),
        (vit(class_token=False, reg_tokens=1, global_pool="avg"), 1),
        (MlpMixer(img_size=SIDE, patch_size=16, num_blocks=2, embed_dim=8), 0),
    ],
    ids=["gap", "SigLIP", "registers", "mixer"],
)
def test_without_class_token_all_patches_count(network: nn.Module, first: int) -> None:
    images = torch.randn(2, 3, SIDE, SIDE)
    output, pooled = outputs_of(network, "blocks.1", images)
    assert output.shape == (2, 4 + first, 8)
    torch.testing.assert_close(pooled, output[:, first:].mean(dim=1))
    assert "blocks.1" in {layer.name for layer in list_layers(opened(network))}
