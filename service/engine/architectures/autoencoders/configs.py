"""What the configuration beside an autoencoder's weights says of it, in the words of the library that wrote it.

What it says that would change the latents and is not known here is refused by its name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from service.domain.autoencoder_folders import FIELD
from service.domain.autoencoders import Activation, Normalisation
from service.domain.json_values import JsonObject
from service.errors import InvalidCheckpoint

SAELENS = "SAELens"
SPARSIFY = "sparsify"
DICTIONARY_LEARNING = "dictionary_learning"

_SAVE_PLAIN = (
    "Save its encoder as one file of W_enc, b_enc, and b_dec where that is subtracted, in a folder of its own; "
    "and register that."
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a configuration says; None for what it leaves to the weights."""

    layout: str
    activation: Activation | None = None
    k: int | None = None

    pre_bias: bool | None = None
    """Whether the bias of the input is subtracted."""

    normalisation: Normalisation = "none"

    scaled: bool = False
    """Whether each latent is multiplied by the length of what it decodes to."""

    width: int | None = None
    latents: int | None = None


def encoding_of(configuration: JsonObject) -> Encoding:
    """What it says. Raises InvalidCheckpoint for one of another library, or of what is not known here."""
    trainer = configuration.get("trainer")
    if isinstance(trainer, dict):
        return _dictionary_learning(trainer)
    if "d_sae" in configuration or "architecture" in configuration:
        return _saelens(configuration)
    if "expansion_factor" in configuration or "num_latents" in configuration:
        return _sparsify(configuration)

    raise InvalidCheckpoint(
        "The configuration beside the autoencoder's weights is not one of SAELens, sparsify or dictionary_learning: "
        f"it has the entries {', '.join(sorted(map(str, configuration))[:10])[:300]}.",
        field=FIELD,
        remedy="Give the configuration that the library wrote; or put the weights in a folder of their own, and "
        "register that.",
    )


def _saelens(configuration: JsonObject) -> Encoding:
    _check_word(configuration, "reshape_activations", ("none",))
    architecture = configuration.get("architecture", "standard")
    activation: Activation
    k = None

    match architecture:
        case "standard":
            activation, k = _function_of(configuration)
        case "topk":
            activation, k = "topk", _whole(configuration, "k", _old_k(configuration))
        case "jumprelu":
            activation = "jumprelu"
        case _:
            remedy = _SAVE_PLAIN
            if "batchtopk" in str(architecture):
                remedy = "Save it for use, with sae.save_inference_model(folder): SAELens then writes it as jumprelu."
            raise _unknown("architecture", architecture, "standard, topk and jumprelu", remedy)

    return Encoding(
        layout=SAELENS,
        activation=activation,
        k=k,
        pre_bias=_flag(configuration, "apply_b_dec_to_input", otherwise=True),
        normalisation=_normalisation(configuration),
        scaled=_flag(configuration, "rescale_acts_by_decoder_norm", otherwise=False),
        width=_whole(configuration, "d_in", None),
        latents=_whole(configuration, "d_sae", None),
    )


def _function_of(configuration: JsonObject) -> tuple[Activation, int | None]:
    """The activation function of `standard`, which releases before 6 had beside the architecture."""
    name = "activation_fn_str" if "activation_fn_str" in configuration else "activation_fn"
    match configuration.get(name, "relu"):
        case "relu":
            return "relu", None
        case "topk":
            return "topk", _whole(configuration, "k", _old_k(configuration))
        case other:
            raise _unknown(name, other, "relu and topk", _SAVE_PLAIN)


def _old_k(configuration: JsonObject) -> object:
    arguments = configuration.get("activation_fn_kwargs")
    return arguments.get("k") if isinstance(arguments, dict) else None


def _normalisation(configuration: JsonObject) -> Normalisation:
    match configuration.get("normalize_activations", "none"):
        case "none" | False:
            return "none"
        case "layer_norm":
            return "layer_norm"
        case "constant_norm_rescale":
            return "constant_norm_rescale"
        case other:
            raise _unknown(
                "normalize_activations",
                other,
                "none, layer_norm and constant_norm_rescale",
                "Where it is a factor by which activations were scaled in training, fold it into the weights with "
                "sae.fold_activation_norm_scaling_factor(factor), and save it again.",
            )


def _sparsify(configuration: JsonObject) -> Encoding:
    _check_word(configuration, "activation", ("topk",))
    for name in ("skip_connection", "transcode", "signed"):
        if _flag(configuration, name, otherwise=False):
            raise _unknown(name, True, "autoencoders, which give back what they read", _SAVE_PLAIN)

    return Encoding(
        layout=SPARSIFY,
        activation="topk",
        k=_whole(configuration, "k", None),
        pre_bias=True,
        width=_whole(configuration, "d_in", None),
        latents=_whole(configuration, "num_latents", None) or None,
    )


def _dictionary_learning(trainer: JsonObject) -> Encoding:
    said = Encoding(
        DICTIONARY_LEARNING,
        width=_whole(trainer, "activation_dim", None),
        latents=_whole(trainer, "dict_size", None),
    )
    match trainer.get("dict_class"):
        case "AutoEncoder":
            return replace(said, activation="relu", pre_bias=True)
        case "AutoEncoderNew":
            return replace(said, activation="relu", pre_bias=False)
        case "AutoEncoderTopK":
            return replace(said, activation="topk", pre_bias=True, k=_whole(trainer, "k", None))
        case "BatchTopKSAE" | "MatryoshkaBatchTopKSAE":
            return replace(said, activation="jumprelu", pre_bias=True)
        case "JumpReluAutoEncoder":
            return replace(said, activation="jumprelu", pre_bias=False, scaled=True)
        case other:
            known = "AutoEncoder, AutoEncoderNew, AutoEncoderTopK, BatchTopKSAE, MatryoshkaBatchTopKSAE and "
            raise _unknown("dict_class", other, f"{known}JumpReluAutoEncoder", _SAVE_PLAIN)


def _check_word(configuration: JsonObject, name: str, known: Iterable[str]) -> None:
    words = tuple(known)
    value = configuration.get(name, words[0])
    if value not in words:
        raise _unknown(name, value, " and ".join(words), _SAVE_PLAIN)


def _flag(configuration: JsonObject, name: str, *, otherwise: bool) -> bool:
    value = configuration.get(name, otherwise)
    if not isinstance(value, bool):
        raise _unknown(name, value, "true and false", "Give the configuration that the library wrote.")
    return value


def _whole(configuration: JsonObject, name: str, otherwise: object) -> int | None:
    value = configuration.get(name, otherwise)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unknown(name, value, "whole numbers", "Give the configuration that the library wrote.")
    return value


def _unknown(name: str, value: object, known: str, remedy: str) -> InvalidCheckpoint:
    return InvalidCheckpoint(
        f"The configuration beside the autoencoder's weights has {name} {value!s:.80}; known are {known}.",
        field=FIELD,
        value=f"{name} {value!s:.80}",
        remedy=remedy,
    )
