"""Files of sparse autoencoders: what is unclear in them is said, and what does not fit is refused."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from service.domain.autoencoders import AutoencoderSpec, given_autoencoder
from service.engine.architectures.autoencoders import add_autoencoder
from service.errors import DigestMismatch, InvalidCheckpoint, InvalidInput, UnsafeCheckpoint
from tests.engine.autoencoder_files import (
    LATENTS,
    LAYOUTS,
    SIDE,
    K,
    Numbers,
    Written,
    mammo_sae,
    relu,
    saelens,
    target_of,
    with_autoencoder,
    write_autoencoder,
)
from tests.engine.probing.test_layouts import timm_resnet

CPU = torch.device("cpu")


def test_what_the_file_leaves_open_is_said(tmp_path: Path) -> None:
    numbers = Numbers.drawn(16, LATENTS)
    target = target_of(timm_resnet(SIDE, SIDE))
    bare = write_autoencoder(tmp_path / "bare", Written(saelens, relu), numbers)
    [warning] = with_autoencoder(target, bare, "layer4.0").warnings
    assert "'b_dec' is subtracted from what it reads: it is subtracted" in warning
    assert with_autoencoder(target, bare, "layer4.0", pre_bias=True).warnings == ()

    both = LAYOUTS["dictionary_learning BatchTopKSAE"]
    either = write_autoencoder(tmp_path / "either", replace(both, configuration=None), numbers)
    [warning] = with_autoencoder(target, either, "layer4.0").warnings
    assert "has both k and a threshold" in warning
    for activation in ("topk", "jumprelu"):
        chosen = with_autoencoder(target, either, "layer4.0", activation=activation)
        assert chosen.warnings == ()
        assert chosen.autoencoder is not None
        assert chosen.autoencoder.reading["activation"] == activation


def test_the_published_one_on_the_layer_beside_its_own_is_said(tmp_path: Path) -> None:
    path = write_autoencoder(tmp_path, LAYOUTS["Mammo-SAE"], Numbers.drawn(4, LATENTS), name="sae.pt")
    network = nn.Sequential()
    network.add_module("_bn1", nn.Conv2d(3, 4, 1))
    network.add_module("_swish", nn.SiLU())
    [warning] = with_autoencoder(target_of(network), path, "_bn1").warnings
    assert "image_encoder._swish" in warning
    assert with_autoencoder(target_of(network), path, "_swish").warnings == ()


def test_wrappings_and_foreign_entries(tmp_path: Path) -> None:
    numbers = Numbers.drawn(16, LATENTS)
    entries = {f"module.sae.{name}": value for name, value in LAYOUTS["Mammo-SAE"].entries(numbers).items()}
    torch.save({"epoch": 3, "state_dict": {**entries, "module.probe.weight": torch.ones(2)}}, tmp_path / "sae.pt")
    target = with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0")
    assert target.autoencoder is not None
    assert target.autoencoder.reading["unused"] == {"count": 1, "names": ["module.probe.weight"]}
    assert target.autoencoder.reading["layout"] == "Mammo-SAE"


def test_an_autoencoder_beside_the_larger_network_that_it_reads(tmp_path: Path) -> None:
    numbers = Numbers.drawn(16, LATENTS)
    torch.save({"model": {"weight": torch.ones(500, 500)}, "sae": mammo_sae(numbers)}, tmp_path / "both.pt")
    target = with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "both.pt", "layer4.0")
    assert target.autoencoder is not None
    assert torch.equal(target.autoencoder.encoder.weight, numbers.weight)


def test_k_may_be_a_plain_number_beside_the_weights(tmp_path: Path) -> None:
    torch.save({"k": K, **saelens(Numbers.drawn(16, LATENTS))}, tmp_path / "sae.pt")
    target = with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0", pre_bias=True)
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
        with_autoencoder(
            target_of(timm_resnet(SIDE, SIDE)), tmp_path / "sae.safetensors", **{"layer": "layer4.0", **given}
        )
    assert told in caught.value.detail
    assert caught.value.field == f"autoencoder.{field}"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        (b"[1]", "not a JSON object"),
        (b'{"hidden": 3}', "not one of SAELens, sparsify or dictionary_learning: it has the entries hidden"),
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
        with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), path, "layer4.0")
    assert told in caught.value.detail


def test_a_config_json_of_other_software_is_let_be(tmp_path: Path) -> None:
    path = write_autoencoder(tmp_path, LAYOUTS["Mammo-SAE"], Numbers.drawn(16, LATENTS), name="sae.pt")
    (tmp_path / "config.json").write_text('{"model_type": "vit", "architecture": "gated"}')
    target = with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), path, "layer4.0")
    assert target.autoencoder is not None
    assert target.autoencoder.reading["described_by"] is None


def test_an_autoencoder_of_several_layers_is_refused(tmp_path: Path) -> None:
    entries = {
        name: torch.cat([value, value]) for name, value in LAYOUTS["Mammo-SAE"].entries(Numbers.drawn(16, 4)).items()
    }
    torch.save(entries, tmp_path / "sae.pt")
    with pytest.raises(InvalidCheckpoint, match="trained on 2 layers at once"):
        with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0")
    torch.save({name: value[1:2] for name, value in entries.items()}, tmp_path / "sae.pt")  # as the remedy says
    assert with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0").autoencoder is not None


def test_a_file_that_runs_code_is_not_opened(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "sae.pt")
    with pytest.raises(UnsafeCheckpoint) as caught:
        with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "sae.pt", "layer4.0")
    assert caught.value.field == "autoencoder.checkpoint"
    with pytest.raises(InvalidCheckpoint, match="does not exist") as missing:
        with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "none.pt", "layer4.0")
    assert missing.value.field == "autoencoder.checkpoint"


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    numbers = Numbers.drawn(16, LATENTS)
    write_autoencoder(tmp_path / "sae", LAYOUTS["SAELens topk"], numbers, name="sae_weights.safetensors")
    target = with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "sae", "layer4.0")
    assert target.autoencoder is not None
    assert target.autoencoder.reading["layout"] == "SAELens"
    (tmp_path / "sae" / "sae_weights.safetensors").unlink()
    with pytest.raises(InvalidCheckpoint, match="The folder has none of sae_weights"):
        with_autoencoder(target_of(timm_resnet(SIDE, SIDE)), tmp_path / "sae", "layer4.0")


def test_the_digests_are_checked_when_it_is_opened(tmp_path: Path) -> None:
    path = write_autoencoder(tmp_path, LAYOUTS["SAELens topk"], Numbers.drawn(16, LATENTS))
    network = target_of(timm_resnet(SIDE, SIDE))
    target = with_autoencoder(network, path, "layer4.0")
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
