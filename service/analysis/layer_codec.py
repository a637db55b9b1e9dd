"""A dissected layer as bytes: canonical JSON, so that equal results have equal digests."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from service.domain.neurons import ActivationSummary, LayerDissection, Neuron, RankedConcept, TopImage
from service.domain.probes import Box


def encode_layer(layer: LayerDissection) -> bytes:
    """Bytes that `decode_layer` turns into an equal layer; floats keep every bit."""
    return json.dumps(asdict(layer), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of_layer(layer: LayerDissection) -> str:
    """SHA-256 (hex) of the layer's bytes."""
    return hashlib.sha256(encode_layer(layer)).hexdigest()


def decode_layer(data: bytes) -> LayerDissection:
    """The layer that was encoded."""
    stored = json.loads(data)
    return LayerDissection(stored["layer"], tuple(_neuron(**neuron) for neuron in stored["neurons"]))


def _neuron(
    activation: Mapping[str, float],
    concepts: list[Mapping[str, Any]],
    images: list[Mapping[str, Any]],
    **rest: Any,
) -> Neuron:
    return Neuron(
        activation=ActivationSummary(**activation),
        concepts=tuple(RankedConcept(**concept) for concept in concepts),
        images=tuple(_image(**image) for image in images),
        **rest,
    )


def _image(box: Mapping[str, int] | None, **rest: Any) -> TopImage:
    return TopImage(box=None if box is None else Box(**box), **rest)
