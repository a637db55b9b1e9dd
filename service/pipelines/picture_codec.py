"""The pictures of a report as an artifact: the child draws them, the host stores them in the database.

A safetensors file with one tensor of bytes a picture, empty where an image could not be read; a tensor's name is the
image's row, and left, top, width and height of the patch where there is one; then, after `#`, the frame.
"""

from collections.abc import Mapping

import numpy as np
import safetensors.numpy

from service.domain.probes import Box, ImagePlace


def encode_pictures(pictures: Mapping[ImagePlace, bytes | None]) -> bytes:
    """The bytes of the artifact; equal pictures have equal bytes."""
    tensors = {_name(place): np.frombuffer(jpeg or b"", dtype=np.uint8) for place, jpeg in pictures.items()}
    data: bytes = safetensors.numpy.save(tensors)
    return data


def decode_pictures(data: bytes) -> dict[ImagePlace, bytes | None]:
    """The pictures that were encoded."""
    tensors = safetensors.numpy.load(data)
    return {_place(name): tensor.tobytes() or None for name, tensor in tensors.items()}


def _name(place: ImagePlace) -> str:
    box = place.box
    numbers = [place.row] if box is None else [place.row, box.left, box.top, box.width, box.height]
    frame = "" if place.frame is None else f"#{place.frame}"
    return ",".join(map(str, numbers)) + frame


def _place(name: str) -> ImagePlace:
    where, _, frame = name.partition("#")
    row, *box = map(int, where.split(","))
    return ImagePlace(row, Box(*box) if box else None, int(frame) if frame else None)
