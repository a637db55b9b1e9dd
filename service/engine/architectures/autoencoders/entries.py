"""The entries of an autoencoder's weights file: where it lies in the file, and what each of its names stands for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from service.domain.autoencoder_folders import FIELD
from service.domain.weights_reading import Listed, listed
from service.engine.networks.checkpoints import Checkpoint, WeightsSet
from service.errors import InvalidCheckpoint

Role = Literal["weight", "bias", "pre_bias", "threshold", "k", "decoder", "none"]

MAMMO_SAE = "Mammo-SAE"
DICTIONARY_LEARNING = "dictionary_learning"
PLAIN = "plain"

_ENCODERS = ("W_enc", "encoder.weight", "encoder._weight")
_BIASES = ("b_enc", "encoder.bias", "encoder._bias")
_LINEAR = frozenset(_ENCODERS[1:])
"""Weights as torch's linear layers have them: [S, D], where others have [D, S]."""

_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(_ENCODERS, "weight"),
    **dict.fromkeys(_BIASES, "bias"),
    **dict.fromkeys(("b_dec", "bias", "tied_bias", "pre_encoder_bias._bias_reference", "decoder.bias"), "pre_bias"),
    **dict.fromkeys(("threshold", "log_threshold"), "threshold"),
    "k": "k",
    **dict.fromkeys(("W_dec", "decoder.weight", "decoder._weight"), "decoder"),
    # What training keeps, and what only decoding uses.
    **dict.fromkeys(
        (
            "post_decoder_bias._bias_reference",
            "scaling_factor",
            "finetuning_scaling_factor",
            "group_sizes",
            "num_batches_not_active",
            "stats_last_nonzero",
        ),
        "none",
    ),
}

_OF_MAMMO_SAE = ("tied_bias", "pre_encoder_bias._bias_reference")
_OF_DICTIONARY_LEARNING = ("bias", "b_dec")
"""Biases of the input beside an `encoder.weight`, which its library subtracts in every encoder that has them."""

_SAVE_ONE = (
    "Save its encoder as one file of W_enc [numbers, latents], b_enc, and b_dec where that is subtracted, and register "
    "that."
)


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of one autoencoder, by what they stand for."""

    layout: str
    weight: Tensor
    """[S, D]."""
    bias: Tensor

    pre_bias: Tensor | None
    pre_bias_name: str | None
    """Its entry."""

    threshold: Tensor | None
    k: int | None

    decoder: Tensor | None
    """[S, D]."""

    unused: Listed

    @property
    def always_subtracted(self) -> bool:
        """Whether its layout has no encoder that does not subtract the bias of the input."""
        return self.layout != PLAIN


def find_entries(checkpoint: Checkpoint) -> Entries:
    """The one autoencoder in a file. Raises InvalidCheckpoint where there is none, are several, or what is unknown."""
    weights_set, prefix = _find_encoder(checkpoint)
    own = {name.removeprefix(prefix): value for name, value in weights_set.weights.items() if name.startswith(prefix)}
    others = [name for name in weights_set.weights if not name.startswith(prefix)]

    unknown = [name for name in own if name not in _ROLES]
    if unknown:
        raise _refused(
            f"The autoencoder has {len(unknown)} entries that are not known: {', '.join(unknown[:5])[:300]}. Who does "
            "not know them does not know its latents.",
            _SAVE_ONE,
        )

    own = {name: _of_one_component(name, value) for name, value in own.items()}
    by_role = _by_role(own)
    if "bias" not in by_role:
        raise _refused(
            f"The autoencoder has no bias of its latents: none of its entries is called {', '.join(_BIASES)}.",
            f"{_SAVE_ONE} An encoder without one has a b_enc of zeros.",
        )

    weight_name, pre_bias_name = by_role["weight"], by_role.get("pre_bias")
    layout = _layout(weight_name, pre_bias_name)
    return Entries(
        layout=layout,
        weight=_latents_first(own[weight_name], weight_name, is_latents_first=weight_name in _LINEAR),
        bias=own[by_role["bias"]],
        pre_bias=_entry(own, by_role, "pre_bias"),
        pre_bias_name=pre_bias_name,
        threshold=_threshold(own, by_role),
        k=_k(own, by_role, checkpoint),
        decoder=_decoder(own, by_role),
        unused=listed(others),
    )


def _layout(weight_name: str, pre_bias_name: str | None) -> str:
    if weight_name == "encoder._weight" or pre_bias_name in _OF_MAMMO_SAE:
        return MAMMO_SAE
    if weight_name == "encoder.weight" and pre_bias_name in _OF_DICTIONARY_LEARNING:
        return DICTIONARY_LEARNING
    return PLAIN


def _latents_first(matrix: Tensor, name: str, *, is_latents_first: bool) -> Tensor:
    if matrix.ndim != 2:
        raise _refused(f"The entry '{name}' has the shape {list(matrix.shape)} instead of two dimensions.", _SAVE_ONE)
    return matrix if is_latents_first else matrix.T


def _decoder(own: Mapping[str, Tensor], by_role: Mapping[Role, str]) -> Tensor | None:
    name = by_role.get("decoder")
    return None if name is None else _latents_first(own[name], name, is_latents_first=name == "W_dec")


def _find_encoder(checkpoint: Checkpoint) -> tuple[WeightsSet, str]:
    found: list[tuple[WeightsSet, str]] = []
    for weights_set in checkpoint.sets:
        for name in weights_set.weights:
            encoder = next((known for known in _ENCODERS if f".{name}".endswith(f".{known}")), None)
            if encoder is not None:
                found.append((weights_set, name.removesuffix(encoder)))

    if not found:
        raise _refused(
            f"The file has no encoder: none of its entries is called {', '.join(_ENCODERS[:-1])} or {_ENCODERS[-1]}.",
            _SAVE_ONE,
        )
    if len(found) > 1:
        names = ", ".join(f"'{prefix}' in {weights_set.name}" for weights_set, prefix in found[:5])
        raise _refused(f"The file has {len(found)} encoders: {names[:300]}.", "Save the one that is meant by itself.")

    # The likely set is the largest one, which may be another network's.
    weights_set, prefix = found[0]
    return checkpoint.fetch(weights_set), prefix


def _of_one_component(name: str, value: Tensor) -> Tensor:
    """Without the axis of the layers that it was trained on, of which there has to be one.

    Mammo-SAE's library has it, where it was told how many there are.
    """
    role = _ROLES[name]
    dimensions = {"weight": 2, "decoder": 2, "bias": 1, "pre_bias": 1}.get(role)
    if dimensions is None or value.ndim != dimensions + 1:
        return value
    if len(value) != 1:
        raise _refused(
            f"The autoencoder was trained on {len(value)} layers at once ('{name}' has the shape {list(value.shape)}).",
            "Save the part of the layer that is meant: {name: value[i:i + 1] for name, value in state_dict.items()}.",
        )
    return value[0]


def _by_role(own: Mapping[str, Tensor]) -> dict[Role, str]:
    """The entry for each role. Some libraries save one under several names; different ones leave it open which counts.

    Raises InvalidCheckpoint.
    """
    by_role: dict[Role, str] = {}
    for name, role in _ROLES.items():
        if name not in own or role == "none":
            continue
        first = by_role.setdefault(role, name)
        if first != name and not torch.equal(own[first], own[name]):
            raise _refused(
                f"The autoencoder has both '{first}' and '{name}', which differ, for one purpose.", _SAVE_ONE
            )
    return by_role


def _entry(own: Mapping[str, Tensor], by_role: Mapping[Role, str], role: Role) -> Tensor | None:
    return own[by_role[role]] if role in by_role else None


def _threshold(own: Mapping[str, Tensor], by_role: Mapping[Role, str]) -> Tensor | None:
    threshold = _entry(own, by_role, "threshold")
    if threshold is None:
        return None
    is_logarithm = by_role["threshold"] == "log_threshold" and threshold.is_floating_point()
    return threshold.float().exp() if is_logarithm else threshold


def _k(own: Mapping[str, Tensor], by_role: Mapping[Role, str], checkpoint: Checkpoint) -> int | None:
    k = _entry(own, by_role, "k")
    if k is None:
        beside = checkpoint.contents.get("k")
        return beside if type(beside) is int else None
    if k.numel() != 1 or k.is_complex() or not bool(k.isfinite().all()) or float(k) != int(k):
        raise _refused("The autoencoder's entry 'k' is not one whole number.", _SAVE_ONE)
    return int(k)


def _refused(detail: str, remedy: str) -> InvalidCheckpoint:
    return InvalidCheckpoint(detail, field=FIELD, remedy=remedy)
