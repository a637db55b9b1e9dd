"""A sparse autoencoder on a layer of a target: what is given of it, what is stored, and how its file was read.

Its latents are the units of one more layer of the target, named after the layer that it reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, NotRequired, TypedDict, get_args

from service.domain.given_fields import Check, checked_fields, refuse_field
from service.domain.json_values import JsonObject, StoredJson
from service.domain.layers import canonical_layer, is_selector
from service.domain.weights_reading import Listed, first_names
from service.errors import InvalidInput
from service.files import ANYWHERE, DataRoots

Activation = Literal["relu", "topk", "jumprelu"]
"""What makes latents of the encoder's numbers: ReLU; the k largest after it; those above a threshold after it."""

Normalisation = Literal["none", "layer_norm", "constant_norm_rescale"]
"""What is done to a place's numbers before they are encoded, by the names that SAELens has for it."""

SUFFIX = ".latents"

_SUBJECT = "autoencoder"
_SHA256_DIGITS = 64


class AutoencoderPlace(TypedDict):
    """What is stored of a registered target's autoencoder (database and wire format)."""

    layer: str
    """The layer that it reads."""

    checkpoint: str
    """Path of its weights file. No part of the target's content."""

    sha256: str
    """Of that file."""

    described_by: NotRequired[str]
    """SHA-256 of the configuration beside the file, where there is one that describes it."""

    activation: NotRequired[Activation]
    k: NotRequired[int]
    pre_bias: NotRequired[bool]


class AutoencoderReading(TypedDict):
    """What an autoencoder's file was found to be (database and wire format)."""

    layer: str
    """The layer that it reads."""

    latents: int
    width: int
    """How many numbers it reads at a place: the units of its layer."""

    layout: str
    """Whose names its file has."""

    sha256: str
    described_by: str | None
    """See `AutoencoderPlace`."""

    activation: Activation

    k: int | None
    """How many latents a place keeps; only of `topk`."""

    pre_bias: str | None
    """The entry that is subtracted from what it reads; None where nothing is."""

    normalisation: Normalisation

    scaled: bool
    """Whether each latent is multiplied by the length of what it decodes to."""

    unused: Listed
    """Entries of the file that are not part of the autoencoder."""

    warnings: list[str]
    """What the file leaves open, and how it was decided."""


@dataclass(frozen=True, slots=True)
class AutoencoderSpec:
    """An autoencoder on a layer of a target, as a caller names it."""

    layer: str
    """In its dotted form."""

    checkpoint: str
    """Path of its weights file, or of the folder that holds one with its configuration."""

    sha256: str | None = None
    """The digest that the file must have (if known)."""

    described_by: str | None = None
    """The digest that the configuration beside the file must have (if known); empty where there must be none."""

    activation: Activation | None = None
    """For a file that does not say it."""
    k: int | None = None
    """For a file that does not say it."""
    pre_bias: bool | None = None
    """Whether the file's bias of the input is subtracted, for a file that does not say it."""

    roots: DataRoots = ANYWHERE
    """The folders that its files must lie in when they are opened."""

    def place(self, checkpoint: Path, sha256: str, described_by: str | None) -> AutoencoderPlace:
        """What is stored of it, once its file was found and digested."""
        place: AutoencoderPlace = {"layer": self.layer, "checkpoint": str(checkpoint), "sha256": sha256}
        if described_by is not None:
            place["described_by"] = described_by
        if self.activation is not None:
            place["activation"] = self.activation
        if self.k is not None:
            place["k"] = self.k
        if self.pre_bias is not None:
            place["pre_bias"] = self.pre_bias
        return place


def latents_of(layer: str) -> str:
    """The name of the layer whose units are the latents of an autoencoder on `layer`."""
    return f"{layer}{SUFFIX}"


def stored_autoencoder(place: AutoencoderPlace, roots: DataRoots = ANYWHERE) -> AutoencoderSpec:
    """What was registered."""
    return AutoencoderSpec(
        layer=place["layer"],
        checkpoint=place["checkpoint"],
        sha256=place["sha256"],
        described_by=place.get("described_by", ""),
        activation=place.get("activation"),
        k=place.get("k"),
        pre_bias=place.get("pre_bias"),
        roots=roots,
    )


def content_of_autoencoder(place: AutoencoderPlace) -> StoredJson:
    """What decides the latents: all but the place of the file."""
    return {name: value for name, value in place.items() if name != "checkpoint"}


def given_autoencoder(values: Mapping[str, object]) -> AutoencoderSpec:
    """Check what somebody gives, field by field. Raises InvalidInput, naming the first wrong field."""
    checked = checked_fields(_SUBJECT, values, _CHECKS)
    for name in ("layer", "checkpoint"):
        if name not in checked:
            raise InvalidInput(
                f"The autoencoder has no {name}.",
                field=f"autoencoder.{name}",
                remedy="Give the layer that it reads, and its weights file as checkpoint.",
            )

    if "k" in checked and checked.get("activation", "topk") != "topk":
        _refuse("k", checked["k"], "is only for the activation topk", "Give the activation topk, or leave k out.")
    return AutoencoderSpec(**checked)


def autoencoder_in_words(reading: AutoencoderReading) -> list[str]:
    """Sentences for a report."""
    how = {
        "relu": "ReLU",
        "topk": f"the {reading['k']} largest at each place, after ReLU",
        "jumprelu": "ReLU above a threshold",
    }
    sentences = [
        f"The units of {latents_of(reading['layer'])} are the {reading['latents']} latents of a sparse autoencoder "
        f"(SHA-256 {reading['sha256']}) that reads the {reading['width']} numbers of each place of {reading['layer']}. "
        f"Its file has the layout {reading['layout']}; its activation is {how[reading['activation']]}."
    ]
    if reading["normalisation"] != "none":
        sentences.append(f"What it reads is normalised first ({reading['normalisation']}).")
    if reading["pre_bias"] is not None:
        sentences.append(f"The entry '{reading['pre_bias']}' is subtracted from what it reads.")
    if reading["scaled"]:
        sentences.append("Each latent is multiplied by the length of what it decodes to.")
    unused = reading["unused"]
    if unused["count"]:
        sentences.append(f"{unused['count']} entries of its file are not part of it: {first_names(unused)}.")
    return sentences


def autoencoder_words(entry: object) -> list[str]:
    """The same for an entry of a stored manifest; none where there is no such entry."""
    if not isinstance(entry, Mapping):
        return []
    reading: Any = entry
    return autoencoder_in_words(reading)


def identity_of(reading: AutoencoderReading) -> JsonObject:
    """What of a reading decides the latents, for content keys."""
    return {name: value for name, value in reading.items() if name not in {"unused", "warnings"}}


def _layer(name: str, value: object) -> str:
    layer = canonical_layer(_text(name, value))
    if is_selector(layer):
        _refuse(name, value, "stands for several layers", "Name the one layer that the autoencoder reads.")
    return layer


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(name, value, "is not text", "Give a text.")
    return value


def _digest(name: str, value: object) -> str:
    text = _text(name, value).lower()
    if len(text) != _SHA256_DIGITS or set(text) - set("0123456789abcdef"):
        _refuse(name, value, "is not a SHA-256", "Give 64 hexadecimal digits, as sha256sum prints them.")
    return text


def _activation(name: str, value: object) -> str:
    words = get_args(Activation)
    if value not in words:
        _refuse(name, value, "is not known", f"Give {', '.join(words[:-1])} or {words[-1]}.")
    return str(value)


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _refuse(name, value, "is not a number of latents", "Give a whole number, 1 or more.")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        _refuse(name, value, "is neither true nor false", "Give true or false.")
    return value


def _refuse(name: str, value: object, what: str, remedy: str) -> NoReturn:
    refuse_field(_SUBJECT, name, value, what, remedy)


_CHECKS: Mapping[str, Check] = {
    "layer": _layer,
    "checkpoint": _text,
    "sha256": _digest,
    "activation": _activation,
    "k": _count,
    "pre_bias": _flag,
}
