"""Probe shards: parts of a probe set that are probed apart, stored, and merged to what one pass would have given.

A stored shard is a safetensors file that is read in parts: a layer's record, its activations block by block, or the
embeddings of a few images.
"""

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from service.engine.probing.activations import Blocks, LayerActivations, RunningSummary
from service.engine.probing.probe import LayerRecord, Probing
from service.engine.top_k import RunningTopK
from service.memory import is_out_of_memory


def shard_spans(items: int, shard_size: int) -> list[range]:
    """The probe items of each shard."""
    return [range(first, min(first + shard_size, items)) for first in range(0, items, shard_size)]


def gather_embeddings(parts: "Sequence[Tensor | StoredShard]", positions: Tensor) -> Tensor:
    """Rows of embeddings that lie in several parts, float32 [n, D]; only the parts that matter are read.

    positions: int64 [n], n > 0, ascending, on the CPU, counted over all parts' images in order.
    Raises IndexError for a position that no part has.
    """
    starts = list(accumulate((len(part) for part in parts), initial=0))
    if not 0 <= int(positions[0]) <= int(positions[-1]) < starts[-1]:
        raise IndexError(f"there are embeddings of {starts[-1]} images")
    # One search for all parts: a mask for each would cost parts x positions, and both grow with the probe set.
    cuts = torch.searchsorted(positions, torch.tensor(starts)).tolist()

    rows = []
    for part, first, begin, end in zip(parts, starts[:-1], cuts[:-1], cuts[1:], strict=True):
        if begin < end:
            rows.append(part[positions[begin:end] - first])
    return torch.cat(rows)


def encode_shard(probing: Probing, digests: Sequence[str | None] = ()) -> bytes:
    """The bytes of a stored shard; equal shards have equal bytes.

    digests: of each of the shard's probe items, the SHA-256 (hex) of its file; None where it could not be read.
    """
    facts = {
        "layers": list(probing.layers),
        "used": probing.used,
        "skipped": probing.skipped,
        "keep": [None if record.top is None else record.top.k for record in probing.layers.values()],
    }
    tensors = {"facts": torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)}
    if digests:
        tensors["digests"] = _as_bytes([digests[index] for index in probing.used])
    if probing.embeddings:
        tensors["embeddings"] = torch.cat(probing.embeddings)
    for index, record in enumerate(probing.layers.values()):
        tensors[f"{index}.summary"] = record.summary.state
        if record.top is not None:
            tensors[f"{index}.top"] = record.top.keys
        if record.activations is not None:
            tensors[f"{index}.full"] = record.activations.matrix()

    data: bytes = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    return data


class StoredShard:
    """A shard's file. Its length is the number of images used; indexing it with rows reads their embeddings."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError where the file is no shard, FileNotFoundError where there is none."""
        self._path = path
        try:
            facts = json.loads(bytes(self._tensor("facts").numpy()))
            self.layers: tuple[str, ...] = tuple(facts["layers"])
            self.used: list[int] = facts["used"]
            self.skipped: list[int] = facts["skipped"]
            self._keep: list[int | None] = facts["keep"]
        except FileNotFoundError:
            raise
        except Exception as error:  # safetensors has an error of its own for each kind of damage
            if is_out_of_memory(error):
                raise
            raise ValueError("the file is not a stored shard") from error

    def __len__(self) -> int:
        return len(self.used)

    def __getitem__(self, rows: Tensor) -> Tensor:
        # Mapped while it is read, and not longer: a map is of the whole file, and there may be thousands of shards.
        return self._tensor("embeddings")[rows]

    @property
    def digests(self) -> list[str | None]:
        """Of each image used, the SHA-256 (hex) of its file; None where that is not known."""
        with safe_open(self._path, "pt") as file:
            if "digests" not in file.keys():  # noqa: SIM118 - not a mapping
                return [None] * len(self)
            return _as_digests(file.get_tensor("digests"))

    @property
    def has_every_activation(self) -> bool:
        """Were all activations kept, and not only the largest?"""
        return self._has("0.full")

    @property
    def units(self) -> int:
        """How many there are in all layers; 0 where no image was used."""
        return sum(self._tensor(f"{index}.summary").shape[1] for index in range(len(self.layers)))

    def record(self, layer: str) -> LayerRecord:
        """What the layer did, on the CPU; all its activations are read where they are asked for.

        Raises ValueError where the shard does not have the layer.
        """
        index = self.layers.index(layer)
        keep = self._keep[index]
        top = None if keep is None else RunningTopK(keep, keys=self._tensor(f"{index}.top"), seen=len(self))
        return LayerRecord(
            top=top,
            summary=RunningSummary.restore(len(self), self._tensor(f"{index}.summary")),
            activations=LayerActivations([_StoredPart(self, index)]) if self._has(f"{index}.full") else None,
        )

    def _has(self, name: str) -> bool:
        with safe_open(self._path, "pt") as file:
            return name in file.keys()  # noqa: SIM118 - not a mapping

    def _tensor(self, name: str) -> Tensor:
        with safe_open(self._path, "pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor


class _StoredPart:
    """The activations of a layer in a stored shard, mapped while they are read: pages come in where they are used."""

    def __init__(self, shard: StoredShard, index: int) -> None:
        self._shard = shard
        self._index = index

    def __len__(self) -> int:
        return len(self._shard)

    def read(self) -> Tensor:
        """See `ActivationPart.read`."""
        return self._shard._tensor(f"{self._index}.full")


def activations_of(shards: Sequence[StoredShard], layer: str) -> LayerActivations:
    """A layer's activations of all images, in order. Raises ValueError where a shard with images has not kept them."""
    filled = [shard for shard in shards if shard.layers]
    if not all(shard.has_every_activation for shard in filled):
        raise ValueError(f"not all activations of {layer} were kept")
    return LayerActivations([_StoredPart(shard, shard.layers.index(layer)) for shard in filled])


def iterate_activations(shards: Sequence[StoredShard], layer: str) -> Blocks:
    """The embeddings and a layer's activations of all images, in order: see `LayerActivations.blocks`.

    Raises ValueError where a shard with images has not kept them.
    """
    return activations_of(shards, layer).with_embeddings(lambda positions: gather_embeddings(shards, positions))


_UNKNOWN = bytes(32)
"""In the place of a digest that is not known."""


def _as_bytes(digests: Sequence[str | None]) -> Tensor:
    """Digests as uint8 [n, 32]."""
    rows = [_UNKNOWN if digest is None else bytes.fromhex(digest) for digest in digests]
    if not rows:
        return torch.empty(0, len(_UNKNOWN), dtype=torch.uint8)
    return torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8).reshape(len(rows), -1)


def _as_digests(rows: Tensor) -> list[str | None]:
    contents = [bytes(row) for row in rows.numpy()]
    return [None if content == _UNKNOWN else content.hex() for content in contents]
