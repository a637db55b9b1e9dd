"""A dissected layer as bytes: canonical JSON, so that equal results have equal digests."""

import hashlib
import json
from dataclasses import asdict

from pydantic import TypeAdapter

from service.domain.evidence import drop_absent_evidence
from service.domain.neurons import LayerDissection, drop_absent_frames, drop_absent_places

_LAYER = TypeAdapter(LayerDissection)


def encode_layer(layer: LayerDissection) -> bytes:
    """Bytes that `decode_layer` turns into an equal layer; floats keep every bit."""
    fields = asdict(layer)
    for neuron in fields["neurons"]:
        drop_absent_frames(neuron["images"])
        drop_absent_places(neuron["images"])
        if neuron["evidence"] is not None:
            drop_absent_evidence(neuron["evidence"])
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def digest_of_layer(layer: LayerDissection) -> str:
    """SHA-256 (hex) of the layer's bytes."""
    return hashlib.sha256(encode_layer(layer)).hexdigest()


def decode_layer(data: bytes) -> LayerDissection:
    """The layer that was encoded. Raises ValueError for anything else."""
    return _LAYER.validate_json(data)
