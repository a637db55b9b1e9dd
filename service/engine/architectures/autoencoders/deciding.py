"""What an autoencoder's encoder does, from its configuration, from what was given, and from the entries of its file.

A configuration counts; what it leaves open may be given; what nobody says follows from the entries, with a warning
where other encoders have the same ones.
"""

from dataclasses import dataclass

from service.domain.autoencoder_folders import FIELD
from service.domain.autoencoders import Activation, AutoencoderSpec
from service.engine.architectures.autoencoders.configs import Encoding
from service.engine.architectures.autoencoders.entries import MAMMO_SAE, Entries
from service.errors import InvalidCheckpoint, InvalidInput


@dataclass(frozen=True, slots=True)
class Decided:
    """What the encoder does."""

    activation: Activation

    k: int | None
    """Only of `topk`."""

    subtracts: bool
    """Whether the bias of the input is subtracted."""

    warnings: tuple[str, ...]


def decide(spec: AutoencoderSpec, said: Encoding, entries: Entries) -> Decided:
    """Raises InvalidInput where what was given contradicts the file, or lacks; InvalidCheckpoint."""
    activation, about_activation = _activation(spec, said, entries)
    subtracts, about_bias = _subtracts(spec, said, entries)
    warnings = tuple(filter(None, (about_activation, about_bias, _about_place(spec, said))))
    return Decided(activation, _k(spec, said, entries, activation), subtracts, warnings)


def _about_place(spec: AutoencoderSpec, said: Encoding) -> str | None:
    """The published one has a layer beside its own that fits as well, and gives other numbers."""
    if said.layout != MAMMO_SAE or spec.layer.rpartition(".")[2] not in {"_bn1", "_conv_head"}:
        return None
    return (
        f"The published Mammo-SAE was trained on what follows the last activation, image_encoder._swish; it is on "
        f"{spec.layer}, in front of it, which has as many units and gives other numbers."
    )


def _activation(spec: AutoencoderSpec, said: Encoding, entries: Entries) -> tuple[Activation, str | None]:
    if said.activation is not None:
        if spec.activation not in {None, said.activation}:
            raise _contradicted("activation", spec.activation, said.activation)
        return said.activation, None
    if spec.activation is not None:
        return spec.activation, None
    if spec.k is not None:
        return "topk", None

    if entries.k is None:
        return ("relu" if entries.threshold is None else "jumprelu"), None
    if entries.threshold is None:
        return "topk", None
    return "topk", (
        "The autoencoder's file has both k and a threshold, and does not say which of them makes its latents: the "
        f"{entries.k} largest at each place are kept. Where the threshold does (BatchTopK), register it with the "
        "activation jumprelu; where k does, with topk."
    )


def _k(spec: AutoencoderSpec, said: Encoding, entries: Entries, activation: Activation) -> int | None:
    if activation != "topk":
        if spec.k is not None:
            raise _contradicted("k", spec.k, f"{activation}, which has no k")
        return None

    in_file = said.k if said.k is not None else entries.k
    if entries.k not in {None, in_file}:
        raise InvalidCheckpoint(
            f"The configuration beside the autoencoder says k {said.k}, and its weights say {entries.k}.",
            field=FIELD,
            remedy="Give the weights and the configuration of one autoencoder.",
        )
    if in_file is not None and spec.k not in {None, in_file}:
        raise _contradicted("k", spec.k, in_file)

    k = in_file if in_file is not None else spec.k
    latents = len(entries.weight)
    if k is None:
        raise InvalidInput(
            "Nothing in the autoencoder's file or beside it says how many latents a place keeps.",
            field="autoencoder.k",
            remedy="Give k as in its training.",
        )
    if not 1 <= k <= latents:
        raise InvalidInput(
            f"A place cannot keep {k} of {latents} latents.",
            field="autoencoder.k",
            value=k,
            remedy=f"Give a k of 1 to {latents}, as in its training.",
        )
    return k


def _subtracts(spec: AutoencoderSpec, said: Encoding, entries: Entries) -> tuple[bool, str | None]:
    if said.pre_bias is not None:
        if spec.pre_bias not in {None, said.pre_bias}:
            what = "that it is subtracted" if said.pre_bias else "that it is not subtracted"
            raise _contradicted("pre_bias", spec.pre_bias, what)
        if said.pre_bias and entries.pre_bias is None:
            raise InvalidCheckpoint(
                "The autoencoder has no bias of its input (b_dec), which its configuration says is subtracted.",
                field=FIELD,
                remedy="Give the whole file that its library wrote.",
            )
        return said.pre_bias, None

    if entries.pre_bias is None:
        if spec.pre_bias:
            raise InvalidInput(
                "The autoencoder's file has no bias of the input that could be subtracted.",
                field="autoencoder.pre_bias",
                value=spec.pre_bias,
                remedy="Leave pre_bias out, or save the bias as b_dec.",
            )
        return False, None
    if spec.pre_bias is not None:
        return spec.pre_bias, None
    if entries.always_subtracted:
        return True, None

    is_subtracted = entries.pre_bias_name != "decoder.bias"
    done, otherwise = ("subtracted", "false") if is_subtracted else ("not subtracted", "true")
    return is_subtracted, (
        f"Nothing says whether the autoencoder's '{entries.pre_bias_name}' is subtracted from what it reads: it is "
        f"{done}. Register it with pre_bias {otherwise} where that is wrong, and with "
        f"{'true' if is_subtracted else 'false'} where it is right."
    )


def _contradicted(name: str, given: object, said: object) -> InvalidInput:
    shown = str(given).lower()
    return InvalidInput(
        f"The autoencoder was given the {name} {shown}, but its file says {said}.",
        field=f"autoencoder.{name}",
        value=given,
        remedy=f"Leave {name} out: it is read from the file.",
    )
