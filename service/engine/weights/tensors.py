"""Tensors as weights files describe them, checked against what the file has before anything is made of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.engine.weights.faults import Damaged, Unsupported
from service.engine.weights.hashed_file import HashedFile, Place

MOST_DIMENSIONS = 64

_FARTHEST = 2**48
"""Elements: more than any file has, and few enough to be counted in bytes of any type."""
_ALWAYS = 256 << 20
_TIMES = 8
"""Bytes that tensors may take together, and how many times the bytes stored. Tied weights are a few tensors each."""

STORAGE_TYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
DTYPES = {
    **{str(dtype).removeprefix("torch."): dtype for dtype in STORAGE_TYPES.values()},
    **{
        name: getattr(torch, name)
        for name in (
            *("uint16", "uint32", "uint64", "complex32"),
            *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
        )
    },
}


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers that tensors of a file share."""

    key: str
    """The storage's name within the file."""

    size: int
    """In bytes."""

    dtype: torch.dtype | None
    """None where each tensor says its own."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that is still in its file."""

    storage: Storage
    dtype: torch.dtype

    offset: int
    """Where its first element is in the storage, in elements."""

    shape: tuple[int, ...]
    """Length of each dimension, in elements."""

    strides: tuple[int, ...]
    """Step along each dimension, in elements."""

    @property
    def size(self) -> int:
        """Bytes of a copy."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __post_init__(self) -> None:
        """Raises Damaged where the tensor reaches beyond its storage, or is larger than it."""
        numbers = (self.offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or len(self.shape) > MOST_DIMENSIONS:
            raise Damaged
        if not all(type(number) is int and 0 <= number < _FARTHEST for number in numbers):
            raise Damaged
        # Without its empty dimensions: whoever multiplies from the left must not reach the end of 64 bits either.
        if math.prod(max(1, length) for length in self.shape) >= _FARTHEST:
            raise Damaged

        elements = self.storage.size // self.dtype.itemsize
        count = math.prod(self.shape)
        steps = (stride * (length - 1) for length, stride in zip(self.shape, self.strides, strict=True))
        last = self.offset + sum(steps) if count else self.offset - 1

        # A tensor with a stride of 0 would fit into its storage and grow to its full size in the first copy of it.
        if count > elements or last >= elements:
            raise Damaged


@dataclass(frozen=True, slots=True)
class Contents:
    """What a weights file holds: plain values and StoredTensors, and where their storages lie, by key."""

    value: object
    places: Mapping[str, Place]


def load_tensors(
    file: HashedFile, places: Mapping[str, Place], tensors: Iterable[StoredTensor]
) -> tuple[str, dict[StoredTensor, Tensor]]:
    """The file's SHA-256, and the tensors themselves. Those of one storage share memory, as they did when saved.

    Raises Damaged where a storage is not in the file, Unsupported where a few numbers are shared by too many tensors,
    or Changed.
    """
    entries = list(tensors)
    wanted = list(dict.fromkeys(entries))
    keys = list(dict.fromkeys(tensor.storage.key for tensor in wanted))
    if any(tensor.storage.size > places[tensor.storage.key].size for tensor in wanted):
        raise Damaged
    _check_sharing(entries, stored=sum(places[key].size for key in keys))

    digest, contents = file.collect([places[key] for key in keys])
    storages = dict(zip(keys, contents, strict=True))
    truths = {
        key: storages[key] != 0  # whatever other bytes there are
        for key in {tensor.storage.key for tensor in wanted if tensor.dtype is torch.bool}
    }

    loaded = {}
    for tensor in wanted:
        numbers = truths if tensor.dtype is torch.bool else storages
        loaded[tensor] = _view(numbers[tensor.storage.key], tensor)
    return digest, loaded


def _check_sharing(tensors: Sequence[StoredTensor], stored: int) -> None:
    """Tensors that share a storage take no memory here, but each its own in the first copy of it."""
    needed = sum(tensor.size for tensor in tensors)
    if needed > _ALWAYS + _TIMES * stored:
        raise Unsupported(
            f"The weights file's tensors share their numbers so often that copies of them would take {needed:,} bytes, "
            f"more than {_TIMES} times the {stored:,} bytes that are stored.",
            "Save every weight once.",
        )


def _view(numbers: Tensor, tensor: StoredTensor) -> Tensor:
    if tensor.dtype is not torch.bool:
        whole = numbers.numel() // tensor.dtype.itemsize * tensor.dtype.itemsize
        numbers = numbers[:whole].view(tensor.dtype)

    return numbers.as_strided(tensor.shape, tensor.strides, tensor.offset)


def unsupported_tensor(name: str) -> Unsupported:
    """The fault of a tensor that is not a plain array of numbers."""
    return Unsupported(
        f"The weights file holds a tensor that is not a plain array of numbers ({name}).",
        "Turn sparse, quantized, nested and meta tensors into dense ones before saving.",
    )
