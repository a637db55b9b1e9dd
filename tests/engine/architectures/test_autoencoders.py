"""Sparse autoencoders: the latents are those of an encoder written by hand, a layer like any other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from service.domain.autoencoders import AutoencoderSpec
from service.domain.methods import Pooling
from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.networks import autoencoder as encoders
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import choose_layers, list_layers
from service.engine.probing.regions import Spot, find_regions, region_of
from service.errors import (
    InvalidInput,
    UnknownLayer,
)
from tests.engine.autoencoder_files import (
    LATENTS,
    LAYOUTS,
    SIDE,
    Numbers,
    relu,
    target_of,
    with_autoencoder,
    write_autoencoder,
)
from tests.engine.onnx_files import export
from tests.engine.probing.test_layouts import timm_resnet, timm_swin, timm_vit
from tests.engine.toys import ArrayImages, hooks_left

CPU = torch.device("cpu")

Places = Callable[[Tensor], Tensor]
"""A layer's output -> [B, P, U]."""


def of_maps(output: Tensor) -> Tensor:
    return output.flatten(2).transpose(1, 2)


def of_maps_with_units_last(output: Tensor) -> Tensor:
    return output.flatten(1, 2)


def of_class_token(output: Tensor) -> Tensor:
    return output[:, :1]


def of_patches(output: Tensor) -> Tensor:
    return output


def of_features(output: Tensor) -> Tensor:
    return output[:, None]


def vit_without_class_token(height: int, width: int) -> nn.Module:
    return timm.models.vision_transformer.VisionTransformer(
        img_size=(height, width), patch_size=16, embed_dim=8, depth=2, num_heads=2, class_token=False, global_pool="avg"
    )


KINDS: dict[str, tuple[Callable[[int, int], nn.Module], str, Places]] = {
    "convolution": (timm_resnet, "layer4.0", of_maps),
    "class token": (timm_vit, "blocks.1", of_class_token),
    "patches": (vit_without_class_token, "blocks.1", of_patches),
    "units last": (timm_swin, "layers.1", of_maps_with_units_last),
    "features": (timm_resnet, "fc", of_features),
}


def activations(target: Target, images: Tensor, layers: list[str], pooling: Pooling = "avg") -> dict[str, Tensor]:
    with torch.inference_mode(), pooled_layers(target, layers, pooling) as forward:
        return dict(forward(images))


def output_of(network: nn.Module, layer: str, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *call: seen.append(call[2].clone()))
    with torch.inference_mode():
        network(images)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.proves("autoencoder", "on a layer: {}")
def test_latents_are_those_of_an_encoder_written_by_hand(kind: str, pooling: Pooling, tmp_path: Path) -> None:
    build, layer, places = KINDS[kind]
    torch.manual_seed(3)
    network = build(SIDE, SIDE)
    target = target_of(network)
    images = torch.randn(3, 3, SIDE, SIDE)
    rows = places(output_of(network.eval(), layer, images))
    numbers = Numbers.drawn(rows.shape[2], LATENTS)
    path = write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], numbers)

    target = with_autoencoder(target, path, layer)
    found = activations(target, images, [layer, f"{layer}.latents"], pooling)

    encode = LAYOUTS["SAELens topk"].encode(numbers)
    latents = torch.stack([encode(of_image) for of_image in rows])
    expected = latents.mean(dim=1) if pooling == "avg" else latents.amax(dim=1)
    torch.testing.assert_close(found[f"{layer}.latents"], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        found[f"{layer}.latents"].topk(2, dim=0).indices, expected.topk(2, dim=0).indices, rtol=0, atol=0
    )
    torch.testing.assert_close(found[layer], activations(target_of(network), images, [layer], pooling)[layer])
    assert hooks_left(network) == 0


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.proves("autoencoder", "{}")
def test_every_layout_has_the_latents_of_its_library(name: str, tmp_path: Path) -> None:
    written = LAYOUTS[name]
    torch.manual_seed(3)
    network = timm_resnet(SIDE, SIDE).eval()
    images = torch.randn(2, 3, SIDE, SIDE)
    rows = of_maps(output_of(network, "layer4.0", images))
    numbers = Numbers.drawn(rows.shape[2], LATENTS)
    suffix = ".pt" if name == "Mammo-SAE" or name.startswith("dictionary") else ".safetensors"
    path = write_autoencoder(tmp_path / "sae", written, numbers, name=f"sae{suffix}")

    target = with_autoencoder(target_of(network), path, "layer4.0", **written.given)

    encode = written.encode(numbers)
    expected = torch.stack([encode(of_image).mean(dim=0) for of_image in rows])
    found = activations(target, images, ["layer4.0.latents"])["layer4.0.latents"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert float((expected > 0).float().mean()) > 0
    assert target.warnings == ()
    assert target.autoencoder is not None
    assert (target.autoencoder.reading["described_by"] is None) == (written.configuration is None)


def test_many_places_are_encoded_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = Numbers.drawn(8, LATENTS)
    network = nn.Sequential(nn.Conv2d(3, 8, 1))
    target = with_autoencoder(target_of(network, 6), write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], numbers), "0")
    images = torch.randn(2, 3, 6, 6)
    for pooling in ("avg", "max"):
        monkeypatch.undo()
        whole = activations(target, images, ["0.latents"], pooling)
        monkeypatch.setattr(encoders, "_MOST_AT_ONCE", 5 * LATENTS)
        torch.testing.assert_close(activations(target, images, ["0.latents"], pooling), whole)


def test_how_many_images_are_shown_together_changes_no_bit(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1))
    target = with_autoencoder(
        target_of(network, 6), write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], Numbers.drawn(8, 40)), "0"
    )
    images = torch.randn(5, 3, 6, 6)
    together = activations(target, images, ["0.latents"])["0.latents"]
    alone = [activations(target, image[None], ["0.latents"])["0.latents"] for image in images]
    assert torch.equal(together, torch.cat(alone))


def test_latents_are_listed_and_meant_by_name_by_all_and_by_patterns_but_not_by_stages(tmp_path: Path) -> None:
    network = timm_resnet(SIDE, SIDE)
    path = write_autoencoder(tmp_path, LAYOUTS["SAELens standard"], Numbers.drawn(16, LATENTS))
    target = with_autoencoder(replace(target_of(network), main_layers=("layer3.0", "layer4.0")), path, "layer4.0")
    listed = {layer.name: layer for layer in list_layers(target)}
    names = list(listed)
    latents = listed["layer4.0.latents"]
    assert names[names.index("layer4.0") + 1] == "layer4.0.latents"
    assert (latents.units, latents.kind, latents.shape) == (LATENTS, "SparseEncoder", (LATENTS, 2, 2))
    assert latents.multiply_adds == listed["layer4.0"].multiply_adds + 4 * 16 * LATENTS
    assert listed["layer4.0"].share < latents.share <= 1
    assert (latents.is_main, latents.ends_stage) == (True, False)
    assert target.main_layers == ("layer3.0", "layer4.0", "layer4.0.latents")
    assert choose_layers(target, ["layer4.*"]) == ("layer4.0",)
    assert choose_layers(target, ["**.latents"]) == ("layer4.0.latents",)
    assert "layer4.0.latents" not in choose_layers(target, ["@stages"])
    with pytest.raises(UnknownLayer, match=r"layer4\.0\.latent'"):
        activations(target, torch.zeros(1, 3, SIDE, SIDE), ["layer4.0.latent"])


def test_the_region_of_a_latent_is_where_it_is_active(tmp_path: Path) -> None:
    numbers = Numbers.drawn(3, 4)
    network = nn.Sequential(nn.Identity())
    target = with_autoencoder(
        target_of(network, 4), write_autoencoder(tmp_path, LAYOUTS["SAELens standard"], numbers), "0"
    )
    image = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = relu(numbers)(image.flatten(1).T).T.reshape(4, 4, 4)
    spots = [Spot("0.latents", unit, 0) for unit in (0, 2)]
    found = find_regions(target, ArrayImages([image.numpy()]), spots, device=CPU)
    assert found == {spot: region_of(expected[spot.unit]) for spot in spots}


def test_a_network_with_a_layer_of_that_name_is_refused(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential()
            self.block.add_module("latents", nn.Conv2d(3, 16, 1))

        def forward(self, images: Tensor) -> Tensor:
            output: Tensor = self.block(images)
            return output

    path = write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], Numbers.drawn(16, LATENTS))
    with pytest.raises(InvalidInput, match=r"has a layer 'block\.latents' itself"):
        with_autoencoder(target_of(Named()), path, "block")


def test_a_convolution_that_would_be_folded_stays_for_its_latents(tmp_path: Path) -> None:
    from service.engine.networks.efficientnet import LITE0, EfficientNet

    torch.manual_seed(2)
    save_file(EfficientNet(LITE0).state_dict(), tmp_path / "lite.safetensors")
    numbers = Numbers.drawn(1280, LATENTS)
    path = write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], numbers)
    spec = TargetSpec(
        tmp_path / "lite.safetensors", "efficientnet-lite0", autoencoder=AutoencoderSpec("_conv_head", str(path))
    )
    images = torch.randn(1, 3, SIDE, SIDE)
    plain = activations(open_target(spec, CPU), images, ["_conv_head.latents"])
    folded = activations(open_target(spec, CPU, keep_layers=("_conv_head.latents",)), images, ["_conv_head.latents"])
    torch.testing.assert_close(folded, plain, rtol=1e-3, atol=1e-4)


def test_shuffling_leaves_nothing_that_the_autoencoder_learned(tmp_path: Path) -> None:
    torch.manual_seed(2)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "target.safetensors")
    path = write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], Numbers.drawn(96, LATENTS))
    spec = TargetSpec(
        tmp_path / "target.safetensors", "timm/test_resnet", autoencoder=AutoencoderSpec("layer4.0", str(path))
    )
    network, shuffled, again = (open_target(replace(spec, shuffled=seed), CPU).autoencoder for seed in (None, 1, 1))
    assert network is not None
    assert shuffled is not None
    assert again is not None
    assert not torch.equal(network.encoder.weight, shuffled.encoder.weight)
    assert torch.equal(network.encoder.weight.flatten().sort().values, shuffled.encoder.weight.flatten().sort().values)
    assert torch.equal(shuffled.encoder.weight, again.encoder.weight)


@pytest.mark.proves("autoencoder", "on a layer of an ONNX graph")
def test_an_onnx_graph_has_latents_too(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = timm.create_model("test_resnet").eval()
    graph = export(network, tmp_path / "net.onnx", size=(SIDE, SIDE))
    bare = open_target(TargetSpec(graph, "onnx"), CPU)
    layer = bare.main_layers[-1]
    images = torch.randn(2, 3, SIDE, SIDE)
    numbers = Numbers.drawn(96, LATENTS)
    path = write_autoencoder(tmp_path / "sae", LAYOUTS["SAELens topk"], numbers)
    target = open_target(TargetSpec(graph, "onnx", autoencoder=AutoencoderSpec(layer, str(path))), CPU)

    rows = of_maps(output_of(bare.module, layer, images))
    encode = LAYOUTS["SAELens topk"].encode(numbers)
    expected = torch.stack([encode(of_image).mean(dim=0) for of_image in rows])
    found = activations(target, images, [f"{layer}.latents"])[f"{layer}.latents"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
