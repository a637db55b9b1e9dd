"""Small sparse autoencoders as the libraries write them, and the same encoders written by hand."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from service.domain.autoencoders import given_autoencoder
from service.domain.preprocessing import Preprocessing
from service.engine.architectures.autoencoders import add_autoencoder
from service.engine.networks.protocols import Target

Encode = Callable[[Tensor], Tensor]
"""float32 [P, D] -> [P, S]."""

K = 3
SIDE = 64
LATENTS = 20


@dataclass(frozen=True)
class Written:
    """A way to write an autoencoder, and what its encoder does."""

    entries: Callable[["Numbers"], Mapping[str, Tensor]]
    encode: Callable[["Numbers"], Encode]
    configuration: Mapping[str, Any] | None = None
    configuration_name: str = "cfg.json"
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Numbers:
    """Of an encoder of S latents on D numbers."""

    weight: Tensor
    """[S, D]."""
    bias: Tensor
    pre_bias: Tensor
    threshold: Tensor
    decoder: Tensor
    """[S, D]."""

    @classmethod
    def drawn(cls, width: int, latents: int, seed: int = 7) -> "Numbers":
        draw = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=draw)

        weight = normal(latents, width) / width**0.5
        return cls(
            weight, 0.2 * normal(latents), 0.2 * normal(width), normal(latents).abs() / 2, normal(latents, width)
        )


def relu(numbers: Numbers, *, subtract: bool = True) -> Encode:
    shift = numbers.pre_bias if subtract else torch.zeros(())
    return lambda rows: ((rows - shift) @ numbers.weight.T + numbers.bias).clamp_min(0)


def topk(numbers: Numbers, *, k: int = K) -> Encode:
    def encode(rows: Tensor) -> Tensor:
        latents = relu(numbers)(rows)
        least = latents.sort(dim=1, descending=True).values[:, k - 1 : k]
        return torch.where(latents >= least, latents, torch.zeros(()))

    return encode


def above(numbers: Numbers, threshold: Tensor, *, subtract: bool = True) -> Encode:
    def encode(rows: Tensor) -> Tensor:
        latents = relu(numbers, subtract=subtract)(rows)
        return torch.where(latents > threshold, latents, torch.zeros(()))

    return encode


def saelens(numbers: Numbers, **others: Tensor) -> dict[str, Tensor]:
    return {
        "W_enc": numbers.weight.T.contiguous(),
        "b_enc": numbers.bias,
        "W_dec": numbers.decoder,
        "b_dec": numbers.pre_bias,
        **others,
    }


def linear(numbers: Numbers, bias: str = "b_dec", **others: Tensor) -> dict[str, Tensor]:
    """As dictionary_learning names them."""
    return {
        "encoder.weight": numbers.weight,
        "encoder.bias": numbers.bias,
        "decoder.weight": numbers.decoder.T.contiguous(),
        bias: numbers.pre_bias,
        **others,
    }


def mammo_sae(numbers: Numbers) -> dict[str, Tensor]:
    """As the published Mammo-SAE has it: one place, whose axis comes first, and one bias under three names."""
    return {
        "tied_bias": numbers.pre_bias[None],
        "pre_encoder_bias._bias_reference": numbers.pre_bias[None].clone(),
        "encoder._weight": numbers.weight[None],
        "encoder._bias": numbers.bias[None],
        "decoder._weight": numbers.decoder.T[None].contiguous(),
        "post_decoder_bias._bias_reference": numbers.pre_bias[None].clone(),
    }


def cfg(architecture: str = "standard", **others: Any) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "dtype": "float32",
        "metadata": {"sae_lens_version": "6.0.0"},
        **others,
    }


def layer_normed(encode: Encode) -> Encode:
    def encode_normed(rows: Tensor) -> Tensor:
        centred = rows - rows.mean(dim=1, keepdim=True)
        return encode(centred / (centred.std(dim=1, keepdim=True) + 1e-5))

    return encode_normed


def rescaled(encode: Encode) -> Encode:
    def encode_rescaled(rows: Tensor) -> Tensor:
        lengths = rows.pow(2).sum(dim=1, keepdim=True).sqrt()
        return encode(torch.where(lengths > 0, rows * rows.shape[1] ** 0.5 / lengths, torch.zeros(())))

    return encode_rescaled


def trainer(dict_class: str, **others: Any) -> dict[str, Any]:
    return {"trainer": {"dict_class": dict_class, **others}, "buffer": {}}


def scaled_topk(numbers: Numbers) -> Encode:
    lengths = numbers.decoder.pow(2).sum(dim=1).sqrt()
    longer = Numbers(
        numbers.weight * lengths[:, None],
        numbers.bias * lengths,
        numbers.pre_bias,
        numbers.threshold,
        numbers.decoder,
    )
    return topk(longer)


def scaled_above(numbers: Numbers) -> Encode:
    lengths = numbers.decoder.pow(2).sum(dim=1).sqrt()
    return lambda rows: above(numbers, numbers.threshold, subtract=False)(rows) * lengths


LAYOUTS: dict[str, Written] = {
    "Mammo-SAE": Written(mammo_sae, relu),
    "SAELens standard": Written(saelens, relu, cfg()),
    "SAELens standard, b_dec not subtracted": Written(
        saelens, lambda n: relu(n, subtract=False), cfg(apply_b_dec_to_input=False)
    ),
    "SAELens topk": Written(saelens, topk, cfg("topk", k=K)),
    "SAELens topk of release 3": Written(
        saelens, topk, cfg(activation_fn_str="topk", activation_fn_kwargs={"k": K})
    ),
    "SAELens topk by decoder norm": Written(
        saelens, scaled_topk, cfg("topk", k=K, rescale_acts_by_decoder_norm=True)
    ),
    "SAELens jumprelu": Written(
        lambda n: saelens(n, threshold=n.threshold), lambda n: above(n, n.threshold), cfg("jumprelu")
    ),
    "SAELens jumprelu, log threshold": Written(
        lambda n: saelens(n, log_threshold=n.threshold.log()), lambda n: above(n, n.threshold), cfg("jumprelu")
    ),
    "SAELens layer norm": Written(saelens, lambda n: layer_normed(relu(n)), cfg(normalize_activations="layer_norm")),
    "SAELens constant norm": Written(
        saelens, lambda n: rescaled(relu(n)), cfg(normalize_activations="constant_norm_rescale")
    ),
    "sparsify": Written(
        lambda n: {
            "encoder.weight": n.weight, "encoder.bias": n.bias, "W_dec": n.decoder, "b_dec": n.pre_bias
        },
        topk,
        {"expansion_factor": 2, "k": K, "num_latents": 0, "multi_topk": False, "activation": "topk"},
    ),
    "dictionary_learning AutoEncoder": Written(lambda n: linear(n, "bias"), relu),
    "dictionary_learning AutoEncoderNew": Written(
        lambda n: linear(n, "decoder.bias"),
        lambda n: relu(n, subtract=False),
        trainer("AutoEncoderNew"),
        "config.json",
    ),
    "dictionary_learning AutoEncoderTopK": Written(
        lambda n: linear(n, k=torch.tensor(K, dtype=torch.int32), threshold=torch.tensor(0.3)),
        topk,
        trainer("AutoEncoderTopK", k=K),
        "config.json",
    ),
    "dictionary_learning BatchTopKSAE": Written(
        lambda n: linear(n, k=torch.tensor(K), threshold=torch.tensor(0.3)),
        lambda n: above(n, torch.tensor(0.3)),
        trainer("BatchTopKSAE", k=K),
        "config.json",
    ),
    "dictionary_learning JumpReluAutoEncoder": Written(
        lambda n: saelens(n, threshold=n.threshold), scaled_above, trainer("JumpReluAutoEncoder"), "config.json"
    ),
    "plain, ReLU": Written(
        lambda n: {"W_enc": n.weight.T.contiguous(), "b_enc": n.bias}, lambda n: relu(n, subtract=False)
    ),
    "plain, with k given": Written(saelens, topk, given={"k": K, "pre_bias": True}),
    "plain, threshold": Written(
        lambda n: saelens(n, threshold=n.threshold),
        lambda n: above(n, n.threshold, subtract=False),
        given={"pre_bias": False},
    ),
}  # fmt: skip


def write_autoencoder(folder: Path, written: Written, numbers: Numbers, *, name: str = "sae.safetensors") -> Path:
    """The file, with its configuration beside it."""
    folder.mkdir(exist_ok=True)
    entries = {key: value.contiguous() for key, value in written.entries(numbers).items()}
    if name.endswith(".safetensors"):
        save_file(entries, folder / name)
    else:
        torch.save(entries, folder / name)
    if written.configuration is not None:
        (folder / written.configuration_name).write_text(json.dumps(written.configuration))
    return folder / name


def target_of(network: nn.Module, side: int = SIDE) -> Target:
    contract = Preprocessing(height=side, width=side, mean=(0.0,) * 3, std=(1.0,) * 3, resize="none")
    return Target(network.eval(), "any", contract, "0" * 64)


def with_autoencoder(target: Target, path: Path, layer: str, **given: Any) -> Target:
    return add_autoencoder(
        target, given_autoencoder({"layer": layer, "checkpoint": str(path), **given}), torch.device("cpu")
    )
