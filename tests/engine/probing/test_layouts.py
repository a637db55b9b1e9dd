"""Pooled activations of networks of every kind equal what a hook written for that network gives."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision.models
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.convnext import ConvNeXt
from timm.models.densenet import DenseNet
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import BasicBlock, ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig

from service.domain.methods import Pooling
from service.domain.preprocessing import Preprocessing
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import list_layers
from service.engine.probing.regions import Spot, find_regions
from service.errors import LayerWithoutTensor
from tests.engine.toys import ArrayImages

Pool = Callable[[Tensor], Tensor]


def channels_first(output: Tensor) -> Tensor:
    return output.mean(dim=(2, 3))


def channels_last(output: Tensor) -> Tensor:
    return output.mean(dim=(1, 2))


def class_token(output: Tensor) -> Tensor:
    return output[:, 0]


def tokens(output: Tensor) -> Tensor:
    return output.mean(dim=1)


def timm_swin(height: int, width: int) -> nn.Module:
    return SwinTransformer(
        img_size=(height, width), patch_size=4, window_size=4, embed_dim=8, depths=(1, 2), num_heads=(1, 2)
    )


def torchvision_swin(height: int, width: int) -> nn.Module:
    network: nn.Module = torchvision.models.SwinTransformer([4, 4], 8, [1, 2], [1, 2], [4, 4])
    return network


def timm_resnet(height: int, width: int) -> nn.Module:
    block: Any = BasicBlock
    return ResNet(block, (1, 1, 1, 1), channels=(8, 8, 16, 16))


def timm_vit(height: int, width: int) -> nn.Module:
    return VisionTransformer(img_size=(height, width), patch_size=16, embed_dim=8, depth=2, num_heads=2)


def torchvision_convnext(height: int, width: int) -> nn.Module:
    network: nn.Module = torchvision.models.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)])
    return network


def efficientnet(height: int, width: int) -> nn.Module:
    stages: Any = [["ds_r1_k3_s1_e1_c8"], ["ir_r2_k3_s2_e2_c12_se0.25"]]
    blocks: Any = decode_arch_def(stages)  # type: ignore[no-untyped-call]
    return EfficientNet(blocks, num_features=16)


NETWORKS: dict[str, tuple[Callable[[int, int], nn.Module], dict[str, Pool]]] = {
    "ResNet": (
        timm_resnet,
        {"layer2": channels_first, "layer4.0": channels_first, "maxpool": channels_first, "fc": lambda output: output},
    ),
    "DenseNet": (
        lambda *_: DenseNet(growth_rate=4, block_config=(2, 2)),
        {"features.denseblock2": channels_first, "features.norm5": channels_first},
    ),
    "EfficientNet": (efficientnet, {"blocks.1.1": channels_first, "blocks.1.0.se": channels_first}),
    "ViT": (timm_vit, {"blocks.1": class_token, "blocks.0.mlp": class_token, "patch_embed.proj": channels_first}),
    "ConvNeXt": (
        lambda *_: ConvNeXt(depths=(1, 1, 1, 1), dims=(4, 8, 8, 16)),
        {"stages.1": channels_first, "stages.1.blocks.0.norm": channels_last, "stages.2.downsample.0": channels_first},
    ),
    "torchvision's ConvNeXt": (
        torchvision_convnext,
        {"features.1.0": channels_first, "features.1.0.block.2": channels_last, "features.0": channels_first},
    ),
    "timm's Swin": (
        timm_swin,
        {"layers.0": channels_last, "layers.1.blocks.1": channels_last, "layers.1.blocks.0.mlp.act": tokens,
         "patch_embed": channels_last, "patch_embed.proj": channels_first},
    ),
    "torchvision's Swin": (
        torchvision_swin,
        {"features.1.0": channels_last, "features.3.1": channels_last, "features.0.0": channels_first,
         "features.0": channels_last, "features.3.1.attn": channels_last, "permute": channels_first},
    ),
}  # fmt: skip


def opened(network: nn.Module, height: int, width: int) -> Target:
    contract = Preprocessing(height=height, width=width, mean=(0.0,) * 3, std=(1.0,) * 3, resize="none")
    return Target(network.eval(), "any", contract, "0" * 64)


def pooled(target: Target, images: Tensor, layers: list[str], pooling: Pooling = "avg") -> dict[str, Tensor]:
    with torch.inference_mode(), pooled_layers(target, layers, pooling) as forward:
        return dict(forward(images))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 64)], ids=["square", "high"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.proves("architecture", "{}")
def test_pooled_activations_equal_a_hand_written_hook(name: str, height: int, width: int) -> None:
    build, pools = NETWORKS[name]
    torch.manual_seed(3)
    network = build(height, width)
    target = opened(network, height, width)
    images = torch.randn(3, 3, height, width)
    listed = {layer.name: layer for layer in list_layers(target)}
    assert pools.keys() <= listed.keys()

    activations = pooled(target, images, list(pools))

    outputs: dict[str, Tensor] = {}
    for layer in pools:
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: outputs.update({layer: output.clone()})
        )
    with torch.inference_mode():
        network(images)
    for layer, pool in pools.items():
        torch.testing.assert_close(activations[layer], pool(outputs[layer]), rtol=1e-5, atol=1e-5)
        assert listed[layer].units == activations[layer].shape[1]
        assert listed[layer].shape == outputs[layer].shape[1:]


@pytest.mark.parametrize("side", [16, 32])
def test_a_network_that_takes_one_size_has_its_librarys_word_where_sides_and_units_are_equal(
    side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps of as many rows and columns as there are units: no shape can tell one from the other."""
    network = SwinTransformer(img_size=4 * side, window_size=4, embed_dim=side, depths=(1, 1), num_heads=(1, 1))
    monkeypatch.delattr(SwinTransformer, "set_input_size")
    activations = pooled(opened(network, 4 * side, 4 * side), torch.randn(1, 3, 4 * side, 4 * side), ["layers.0"])
    output = network.layers[0](network.patch_embed(torch.zeros(1, 3, 4 * side, 4 * side)))
    assert output.shape == (1, side, side, side)
    assert activations["layers.0"].shape == (1, side)


class Together(nn.Module):
    """Its layer returns what `wrap` makes of the images' map, with its units where `last` puts them."""

    def __init__(self, wrap: Callable[[Tensor], Any], *, last: bool) -> None:
        super().__init__()
        self.layer = _Wrapping(wrap, last=last)

    def forward(self, images: Tensor) -> Tensor:
        self.layer(images)
        return images


class _Wrapping(nn.Module):
    def __init__(self, wrap: Callable[[Tensor], Any], *, last: bool) -> None:
        super().__init__()
        self.wrap = wrap
        self.last = last

    def forward(self, images: Tensor) -> Any:
        return self.wrap(images.permute(0, 2, 3, 1) if self.last else images)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("height", "width"), [(3, 3), (4, 4), (4, 3)])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda output: output,
        lambda output: (output, None),
        lambda output: [(output,), output + 1],
        lambda output: {"0": output, "pool": output + 1},
        lambda output: {"hidden_states": (output + 1,), "last_hidden_state": output},
    ],
    ids=["tensor", "tuple", "nested", "dict", "last hidden state"],
)
def test_the_axis_of_the_units_does_not_follow_the_size(
    wrap: Callable[[Tensor], Any], height: int, width: int, last: bool
) -> None:
    target = opened(Together(wrap, last=last), height, width)
    images = torch.randn(2, 3, height, width)
    torch.testing.assert_close(pooled(target, images, ["layer"])["layer"], images.mean(dim=(2, 3)))
    torch.testing.assert_close(pooled(target, images, ["layer"], "max")["layer"], images.amax(dim=(2, 3)))
    assert [(layer.units, layer.name) for layer in list_layers(target)] == [(3, "layer")]


class OneSize(nn.Module):
    """Its layer's output tells nothing: three axes of one length, and another size is refused."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape
        self.layer = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape[2:] == (4, 4)
        output: Tensor = self.layer(images.new_zeros(len(images), *self.shape))
        return output


def test_where_nothing_says_which_axis_holds_the_units_the_layer_is_not_listed_and_refused() -> None:
    target = opened(OneSize(6, 6, 6), 4, 4)
    assert list_layers(target) == ()
    with pytest.raises(LayerWithoutTensor, match="nothing says which axis holds the units"):
        pooled(target, torch.zeros(2, 3, 4, 4), ["layer"])
    assert [layer.units for layer in list_layers(opened(OneSize(6, 2, 2), 4, 4))] == [6]
    assert [layer.units for layer in list_layers(opened(OneSize(2, 2, 6), 4, 4))] == [6]
    assert list_layers(opened(OneSize(3, 5, 6), 4, 4)) == ()


class Numbered(nn.Module):
    """Units beside positions in one row: [B, U, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Flatten(2)
        self.rows = nn.Flatten(2)

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.rows(self.layer(images).transpose(1, 2))
        return output


def test_rows_of_positions_are_read_by_how_they_follow_the_size() -> None:
    target = opened(Numbered(), 4, 2)
    images = torch.randn(2, 3, 4, 2)
    activations = pooled(target, images, ["layer", "rows"])
    torch.testing.assert_close(activations["layer"], images.mean(dim=(2, 3)))
    torch.testing.assert_close(activations["rows"], images.mean(dim=(2, 3)))


def test_a_pass_of_shapes_leaves_nothing_behind_in_the_network() -> None:
    network: Any = timm_swin(64, 64).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = network(images)
        list_layers(opened(network, 64, 64))
        torch.testing.assert_close(network(images), before, rtol=0, atol=0)
    assert type(network.layers[0].blocks[0].attn.relative_position_bias_table) is nn.Parameter


def test_regions_of_channels_last_maps_are_where_the_units_are_active() -> None:
    image = ArrayImages([torch.zeros(3, 4, 4).numpy()])
    image._arrays[0][1, 3, 1] = 1.0
    target = opened(Together(lambda output: output, last=True), 4, 4)
    spot = Spot("layer", 1, 0)
    assert find_regions(target, image, [spot], device=torch.device("cpu"))[spot] == (0.25, 0.75, 0.25, 0.25)
