"""The artifacts of an ablation: what a network returned for the images of a shard, as it is and with units held."""

import json
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from service.engine.ablation.holding import PlaceMeans
from service.engine.ablation.passes import ShardOutputs

_FACTS, _OUTPUTS = "facts", "outputs"


def encode_outputs(shard: ShardOutputs, digests: Sequence[str | None]) -> bytes:
    """The bytes of a shard's outputs; equal ones have equal bytes.

    digests: of each of the shard's probe items, the SHA-256 (hex) of its file; None where it could not be read.
    """
    facts = {
        "output_of": shard.output_of,
        "used": shard.used,
        "digests": [digests[index] for index in shard.used],
        "counts": {layer: means.count for layer, means in shard.means.items()},
    }
    tensors = {_FACTS: _as_tensor(facts), _OUTPUTS: shard.outputs.contiguous()}
    for layer, means in shard.means.items():
        if means.sums is not None:
            tensors[f"sums.{layer}"] = means.sums.contiguous()

    data: bytes = safetensors.torch.save(tensors)
    return data


class StoredOutputs:
    """A shard's outputs as they were stored; `outputs` are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError where there is none."""
        self._path = path
        with safe_open(path, "pt") as file:
            facts = json.loads(bytes(file.get_tensor(_FACTS).numpy()))
            self.output_of: str = facts["output_of"]
            """The layer that returns the outputs."""

            self.count: int = file.get_slice(_OUTPUTS).get_shape()[1]
            """How many outputs there are."""

            self.used: list[int] = facts["used"]
            """See `ShardOutputs`."""

            self.digests: list[str | None] = facts["digests"]
            """Of the images that were shown."""

            self.means = {
                layer: PlaceMeans(count, file.get_tensor(f"sums.{layer}") if count else None)
                for layer, count in facts["counts"].items()
            }

    @property
    def outputs(self) -> Tensor:
        """float32 [n, O]"""
        with safe_open(self._path, "pt") as file:
            outputs: Tensor = file.get_tensor(_OUTPUTS)
        return outputs


def encode_ablated(outputs: Sequence[Tensor]) -> bytes:
    """The bytes of a shard's outputs with units held: first all of them, then each by itself, [1 + E, n, O]."""
    data: bytes = safetensors.torch.save({_OUTPUTS: torch.stack(list(outputs))})
    return data


def read_ablated(path: Path, number: int) -> Tensor:
    """One of them, float32 [n, O]. number: 0 for all units at once, then the units by themselves."""
    with safe_open(path, "pt") as file:
        outputs: Tensor = file.get_slice(_OUTPUTS)[number]
    return outputs


def merged_means(shards: Sequence[StoredOutputs]) -> dict[str, PlaceMeans]:
    """The means of each layer over all shards."""
    merged: dict[str, PlaceMeans] = {}
    for shard in shards:
        for layer, means in shard.means.items():
            merged.setdefault(layer, PlaceMeans()).merge(means)
    return merged


def _as_tensor(facts: object) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)
