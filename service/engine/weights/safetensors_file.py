"""Safetensors files: a JSON header that says where each tensor lies, then the tensors' bytes."""

import json
import math
import struct
from typing import Any

import torch

from service.engine.weights.faults import Damaged, Unsupported
from service.engine.weights.hashed_file import HashedFile, Place
from service.engine.weights.tensors import MOST_DIMENSIONS, Contents, Storage, StoredTensor

_LENGTH = struct.Struct("<Q")
_LARGEST_HEADER = 16 << 20
_METADATA = "__metadata__"
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file that begins so may be one: the header, behind its length, is a JSON object."""
    return head[_LENGTH.size : _LENGTH.size + 1] == b"{"


def read_safetensors(file: HashedFile) -> Contents:
    """The file's tensors by name. Raises Damaged or Unsupported."""
    (length,) = _LENGTH.unpack(file.look(0, _LENGTH.size))
    if length > min(_LARGEST_HEADER, file.size - _LENGTH.size):
        raise Damaged

    begin = _LENGTH.size + length
    header = json.loads(file.look(_LENGTH.size, length))

    value: dict[str, StoredTensor] = {}
    places: dict[str, Place] = {}
    for name, entry in header.items():
        if name != _METADATA:
            value[name], places[name] = _tensor(name, entry, begin)

    _check_cover(places, begin, file.size)
    return Contents(value, places)


def _tensor(name: str, entry: dict[str, Any], begin: int) -> tuple[StoredTensor, Place]:
    dtype = _DTYPES.get(entry["dtype"])
    if dtype is None:
        raise Unsupported(
            f"The weights file holds numbers of type {entry['dtype']!s:.20}.", "Save its tensors as float32 or float16."
        )

    shape = tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if len(shape) > MOST_DIMENSIONS:
        raise Damaged
    if not all(type(number) is int and 0 <= number < 2**62 for number in (*shape, first, last)):
        raise Damaged
    if math.prod(shape) * dtype.itemsize != last - first:
        raise Damaged

    storage = Storage(name, last - first, dtype)
    return StoredTensor(storage, dtype, 0, shape, _strides(shape)), Place(begin + first, last - first)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(1, length)
    return tuple(reversed(strides))


def _check_cover(places: dict[str, Place], begin: int, end: int) -> None:
    """The tensors must fill the file, without gaps and without overlaps."""
    for place in sorted(places.values(), key=lambda place: (place.offset, place.end)):
        if place.offset != begin:
            raise Damaged
        begin = place.end
    if begin != end:
        raise Damaged
