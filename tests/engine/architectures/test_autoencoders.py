"""Sparse autoencoders: the latents are those of an encoder written by hand, and what is unclear is refused or said."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from service.domain.autoencoders import AutoencoderSpec, given_autoencoder
from service.domain.methods import Pooling
from service.domain.models import TargetSpec
from service.domain.preprocessing import Preprocessing
from service.engine.architectures import open_target
from service.engine.architectures.autoencoders import add_autoencoder
from service.engine.networks import autoencoder as encoders
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import choose_layers, list_layers
from service.engine.probing.regions import Spot, find_regions, region_of
from service.errors import (
    DigestMismatch,
    InvalidCheckpoint,
    InvalidInput,
    UnknownLayer,
    UnsafeCheckpoint,
)
from tests.engine.autoencoder_files import LAYOUTS, K, Numbers, Written, relu, saelens, write_autoencoder
from tests.engine.onnx_files import export
from tests.engine.probing.test_layouts import timm_resnet, timm_swin, timm_vit
from tests.engine.toys import ArrayImages, hooks_left

CPU = torch.device("cpu")
SIDE = 64
LATENTS = 20

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


def opened(network: nn.Module, side: int = SIDE) -> Target:
    contract = Preprocessing(height=side, width=side, mean=(0.0,) * 3, std=(1.0,) * 3, resize="none")
    return Target(network.eval(), "any", contract, "0" * 64)


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


def on(target: Target, path: Path, layer: str, **given: Any) -> Target:
    return add_autoencoder(target, given_autoencoder({"layer": layer, "checkpoint": str(path), **given}), CPU)


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.proves("autoencoder", "on a layer: {}")
def test_latents_are_those_of_an_encoder_written_by_hand(kind: str, pooling: Pooling, tmp_path: Path) -> None:
    build, layer, places = KINDS[kind]
    torch.manual_seed(3)
    network = build(SIDE, SIDE)
    target = opened(network)
    images = torch.randn(3, 3, SIDE, SIDE)
    rows = places(output_of(network.eval(), layer, images))
    numbers = Numbers.drawn(rows.shape[2], LATENTS)
    path = write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], numbers)

    target = on(target, path, layer)
    found = activations(target, images, [layer, f"{layer}.latents"], pooling)

    encode = LAYOUTS["SAELens topk"].encode(numbers)
    latents = torch.stack([encode(of_image) for of_image in rows])
    expected = latents.mean(dim=1) if pooling == "avg" else latents.amax(dim=1)
    torch.testing.assert_close(found[f"{layer}.latents"], expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        found[f"{layer}.latents"].topk(2, dim=0).indices, expected.topk(2, dim=0).indices, rtol=0, atol=0
    )
    torch.testing.assert_close(found[layer], activations(opened(network), images, [layer], pooling)[layer])
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

    target = on(opened(network), path, "layer4.0", **written.given)

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
    target = on(opened(network, 6), write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], numbers), "0")
    images = torch.randn(2, 3, 6, 6)
    for pooling in ("avg", "max"):
        monkeypatch.undo()
        whole = activations(target, images, ["0.latents"], pooling)
        monkeypatch.setattr(encoders, "_MOST_AT_ONCE", 5 * LATENTS)
        torch.testing.assert_close(activations(target, images, ["0.latents"], pooling), whole)


def test_how_many_images_are_shown_together_changes_no_bit(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1))
    target = on(opened(network, 6), write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], Numbers.drawn(8, 40)), "0")
    images = torch.randn(5, 3, 6, 6)
    together = activations(target, images, ["0.latents"])["0.latents"]
    alone = [activations(target, image[None], ["0.latents"])["0.latents"] for image in images]
    assert torch.equal(together, torch.cat(alone))


def test_latents_are_listed_and_meant_by_name_by_all_and_by_patterns_but_not_by_stages(tmp_path: Path) -> None:
    network = timm_resnet(SIDE, SIDE)
    path = write_autoencoder(tmp_path, LAYOUTS["SAELens standard"], Numbers.drawn(16, LATENTS))
    target = on(replace(opened(network), main_layers=("layer3.0", "layer4.0")), path, "layer4.0")
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
    target = on(opened(network, 4), write_autoencoder(tmp_path, LAYOUTS["SAELens standard"], numbers), "0")
    image = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = relu(numbers)(image.flatten(1).T).T.reshape(4, 4, 4)
    spots = [Spot("0.latents", unit, 0) for unit in (0, 2)]
    found = find_regions(target, ArrayImages([image.numpy()]), spots, device=CPU)
    assert found == {spot: region_of(expected[spot.unit]) for spot in spots}


def test_what_the_file_leaves_open_is_said(tmp_path: Path) -> None:
    numbers = Numbers.drawn(16, LATENTS)
    target = opened(timm_resnet(SIDE, SIDE))
    bare = write_autoencoder(tmp_path / "bare", Written(saelens, relu), numbers)
    [warning] = on(target, bare, "layer4.0").warnings
    assert "'b_dec' is subtracted from what it reads: it is subtracted" in warning
    assert on(target, bare, "layer4.0", pre_bias=True).warnings == ()

    both = LAYOUTS["dictionary_learning BatchTopKSAE"]
    either = write_autoencoder(tmp_path / "either", replace(both, configuration=None), numbers)
    [warning] = on(target, either, "layer4.0").warnings
    assert "has both k and a threshold" in warning
    for activation in ("topk", "jumprelu"):
        chosen = on(target, either, "layer4.0", activation=activation)
        assert chosen.warnings == ()
        assert chosen.autoencoder is not None
        assert chosen.autoencoder.reading["activation"] == activation


def test_the_published_one_on_the_layer_beside_its_own_is_said(tmp_path: Path) -> None:
    path = write_autoencoder(tmp_path, LAYOUTS["Mammo-SAE"], Numbers.drawn(4, LATENTS), name="sae.pt")
    network = nn.Sequential()
    network.add_module("_bn1", nn.Conv2d(3, 4, 1))
    network.add_module("_swish", nn.SiLU())
    [warning] = on(opened(network), path, "_bn1").warnings
    assert "image_encoder._swish" in warning
    assert on(opened(network), path, "_swish").warnings == ()


def test_wrappings_and_foreign_entries(tmp_path: Path) -> None:
    numbers = Numbers.drawn(16, LATENTS)
    entries = {f"module.sae.{name}": value for name, value in LAYOUTS["Mammo-SAE"].entries(numbers).items()}
    torch.save({"epoch": 3, "state_dict": {**entries, "module.probe.weight": torch.ones(2)}}, tmp_path / "sae.pt")
    target = on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0")
    assert target.autoencoder is not None
    assert target.autoencoder.reading["unused"] == {"count": 1, "names": ["module.probe.weight"]}
    assert target.autoencoder.reading["layout"] == "Mammo-SAE"


def test_k_may_be_a_plain_number_beside_the_weights(tmp_path: Path) -> None:
    torch.save({"k": K, **saelens(Numbers.drawn(16, LATENTS))}, tmp_path / "sae.pt")
    target = on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0", pre_bias=True)
    assert target.autoencoder is not None
    assert (target.autoencoder.reading["activation"], target.autoencoder.reading["k"]) == ("topk", K)


Change = Callable[[dict[str, Tensor]], object]


@pytest.mark.parametrize(
    ("change", "configuration", "given", "field", "told"),
    [
        (lambda e: None, None, {"layer": "layer9"}, "layer", "has no layer 'layer9'"),
        (lambda e: None, None, {"layer": "layer2"}, "layer", "reads 16 numbers at a place, but layer 'layer2' has 8"),
        (lambda e: e.pop("W_enc"), None, {}, "checkpoint", "no encoder: none of its entries is called W_enc"),
        (lambda e: e.pop("b_enc"), None, {}, "checkpoint", "no bias of its latents"),
        (lambda e: e.update(W_enc=e["W_enc"][0]), None, {}, "checkpoint", "'W_enc' has the shape [20]"),
        (lambda e: e.update(b_enc=e["b_enc"][:5]), None, {}, "checkpoint", "bias are [5] of float32 instead of [20]"),
        (lambda e: e.update(b_dec=torch.ones(4)), None, {}, "checkpoint", "'b_dec' are [4] of float32 instead of [16]"),
        (lambda e: e["W_enc"].fill_(float("nan")), None, {}, "checkpoint", "weights are not finite"),
        (lambda e: e["b_enc"].fill_(float("inf")), None, {}, "checkpoint", "bias are not finite"),
        (lambda e: e.update(W_enc=e["W_enc"].int()), None, {}, "checkpoint", "of int32 instead of"),
        (lambda e: e.update(b_gate=torch.ones(20)), None, {}, "checkpoint", "entries that are not known: b_gate"),
        (lambda e: e.update({"encoder.weight": torch.ones(20, 16)}), None, {}, "checkpoint", "2 encoders"),
        (lambda e: e.update({"bias": torch.ones(16)}), None, {}, "checkpoint", "both 'b_dec' and 'bias', which differ"),
        (lambda e: None, {"architecture": "gated"}, {}, "checkpoint", "has architecture gated; known are standard"),
        (lambda e: None, {"architecture": "matryoshka_batchtopk"}, {}, "checkpoint", "architecture matryoshka"),
        (lambda e: None, {"architecture": "jumprelu"}, {}, "checkpoint", "no entry 'threshold'"),
        (lambda e: None, {"activation_fn_str": "tanh-relu"}, {}, "checkpoint", "has activation_fn_str tanh-relu"),
        (
            lambda e: None,
            {"normalize_activations": "expected_average_only_in"},
            {},
            "checkpoint",
            "normalize_activations expected_average_only_in",
        ),
        (lambda e: None, {"reshape_activations": "hook_z"}, {}, "checkpoint", "has reshape_activations hook_z"),
        (lambda e: None, {"d_in": 5}, {}, "checkpoint", "says 5 numbers to read, but the weights have 16"),
        (lambda e: None, {"d_sae": 5}, {}, "checkpoint", "says 5 latents, but the weights have 20"),
        (lambda e: None, {"architecture": "topk"}, {}, "k", "says how many latents a place keeps"),
        (lambda e: None, {"architecture": "topk", "k": 21}, {}, "k", "cannot keep 21 of 20"),
        (lambda e: None, {"architecture": "topk", "k": 2}, {"k": 3}, "k", "given the k 3, but its file says 2"),
        (lambda e: e.update(k=torch.tensor(4)), {"architecture": "topk", "k": 2}, {}, "checkpoint", "says k 2"),
        (lambda e: None, {}, {"activation": "topk"}, "activation", "given the activation topk, but its file says relu"),
        (lambda e: None, {}, {"pre_bias": False}, "pre_bias", "given the pre_bias false, but its file says that it is"),
        (lambda e: None, {}, {"k": 3}, "k", "given the k 3, but its file says relu"),
        (lambda e: e.pop("b_dec"), {}, {}, "checkpoint", "no bias of its input (b_dec)"),
        (lambda e: e.pop("b_dec"), None, {"pre_bias": True}, "pre_bias", "no bias of the input"),
        (lambda e: None, {"apply_b_dec_to_input": "yes"}, {}, "checkpoint", "has apply_b_dec_to_input yes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_field(
    change: Change, configuration: Mapping[str, Any] | None, given: Mapping[str, Any], field: str, told: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    entries = saelens(Numbers.drawn(16, LATENTS))
    change(entries)
    save_file({name: value.contiguous() for name, value in entries.items()}, tmp_path / "sae.safetensors")
    if configuration is not None:
        (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "standard", **configuration}))
    with pytest.raises(InvalidInput) as caught:
        on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "sae.safetensors", **{"layer": "layer4.0", **given})
    assert told in caught.value.detail
    assert caught.value.field == f"autoencoder.{field}"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        (b"[1]", "no JSON object"),
        (b'{"hidden": 3}', "none of SAELens, sparsify or dictionary_learning: it has the entries hidden"),
        (b"{", "not valid JSON"),
        (b'{"trainer": {"dict_class": "GatedAutoEncoder"}}', "has dict_class GatedAutoEncoder"),
        (b'{"expansion_factor": 2, "activation": "groupmax"}', "has activation groupmax; known are topk"),
        (b'{"expansion_factor": 2, "k": 2, "transcode": true}', "has transcode True"),
        (b" " * ((1 << 20) + 1), "larger than 1 MB"),
    ],
)
def test_a_configuration_that_says_something_else_is_refused(configuration: bytes, told: str, tmp_path: Path) -> None:
    path = write_autoencoder(tmp_path, Written(saelens, relu), Numbers.drawn(16, LATENTS))
    (tmp_path / "cfg.json").write_bytes(configuration)
    with pytest.raises(InvalidInput) as caught:
        on(opened(timm_resnet(SIDE, SIDE)), path, "layer4.0")
    assert told in caught.value.detail


def test_a_config_json_of_other_software_is_let_be(tmp_path: Path) -> None:
    path = write_autoencoder(tmp_path, LAYOUTS["Mammo-SAE"], Numbers.drawn(16, LATENTS), name="sae.pt")
    (tmp_path / "config.json").write_text('{"model_type": "vit", "architecture": "gated"}')
    target = on(opened(timm_resnet(SIDE, SIDE)), path, "layer4.0")
    assert target.autoencoder is not None
    assert target.autoencoder.reading["described_by"] is None


def test_an_autoencoder_of_several_layers_is_refused(tmp_path: Path) -> None:
    entries = {
        name: torch.cat([value, value]) for name, value in LAYOUTS["Mammo-SAE"].entries(Numbers.drawn(16, 4)).items()
    }
    torch.save(entries, tmp_path / "sae.pt")
    with pytest.raises(InvalidCheckpoint, match="trained on 2 layers at once"):
        on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0")
    torch.save({name: value[1:2] for name, value in entries.items()}, tmp_path / "sae.pt")  # as the remedy says
    assert on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0").autoencoder is not None


def test_a_file_that_runs_code_is_not_opened(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "sae.pt")
    with pytest.raises(UnsafeCheckpoint) as caught:
        on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0")
    assert caught.value.field == "autoencoder.checkpoint"
    with pytest.raises(InvalidCheckpoint, match="does not exist") as missing:
        on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "none.pt", "layer4.0")
    assert missing.value.field == "autoencoder.checkpoint"


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    numbers = Numbers.drawn(16, LATENTS)
    write_autoencoder(tmp_path / "sae", LAYOUTS["SAELens topk"], numbers, name="sae_weights.safetensors")
    target = on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "sae", "layer4.0")
    assert target.autoencoder is not None
    assert target.autoencoder.reading["layout"] == "SAELens"
    (tmp_path / "sae" / "sae_weights.safetensors").unlink()
    with pytest.raises(InvalidCheckpoint, match="The folder has none of sae_weights"):
        on(opened(timm_resnet(SIDE, SIDE)), tmp_path / "sae", "layer4.0")


def test_the_digests_are_checked_when_it_is_opened(tmp_path: Path) -> None:
    path = write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], Numbers.drawn(16, LATENTS))
    network = opened(timm_resnet(SIDE, SIDE))
    target = on(network, path, "layer4.0")
    assert target.autoencoder is not None
    reading = target.autoencoder.reading
    pinned = AutoencoderSpec("layer4.0", str(path), reading["sha256"], reading["described_by"])
    assert add_autoencoder(network, pinned, CPU).autoencoder is not None

    for wrong in (
        replace(pinned, sha256="1" * 64),
        replace(pinned, described_by="1" * 64),
        replace(pinned, described_by=""),
    ):
        with pytest.raises(DigestMismatch) as caught:
            add_autoencoder(network, wrong, CPU)
        assert str(caught.value.field).startswith("autoencoder.")


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
        on(opened(Named()), path, "block")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"layer": "layer4"}, "autoencoder.checkpoint"),
        ({"checkpoint": "a.pt"}, "autoencoder.layer"),
        ({"layer": "layer4.*", "checkpoint": "a.pt"}, "autoencoder.layer"),
        ({"layer": "", "checkpoint": "a.pt"}, "autoencoder.layer"),
        ({"layer": "l", "checkpoint": "a.pt", "sha256": "12"}, "autoencoder.sha256"),
        ({"layer": "l", "checkpoint": "a.pt", "activation": "gelu"}, "autoencoder.activation"),
        ({"layer": "l", "checkpoint": "a.pt", "k": 0}, "autoencoder.k"),
        ({"layer": "l", "checkpoint": "a.pt", "k": 4, "activation": "relu"}, "autoencoder.k"),
        ({"layer": "l", "checkpoint": "a.pt", "pre_bias": "yes"}, "autoencoder.pre_bias"),
        ({"layer": "l", "checkpoint": "a.pt", "layers": "l"}, "autoencoder.layers"),
    ],
)
def test_what_is_given_is_checked(values: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        given_autoencoder(values)
    assert caught.value.field == field
    assert caught.value.remedy


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
    pytest.importorskip("onnxruntime")
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
