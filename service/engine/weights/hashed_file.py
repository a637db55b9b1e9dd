"""A file whose digest is that of the very bytes that were used, whatever happens to it meanwhile."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import torch
from torch import Tensor

from service.engine.weights.faults import Changed, Damaged
from service.files import FileVersion

_CHUNK = 1 << 20
_MOST_LOOKED_AT = 128 << 20
"""Bytes. Headers and pickles of real files have a few megabytes; all else are tensors, which are collected."""
_LARGEST_LOOK = 16 << 20
"""Bytes that a library may read at once: the directory of a zip archive takes ten times as much in memory."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something lies in a file, in bytes."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size


class _Part(Protocol):
    """A part of the file that takes its bytes while the file is hashed."""

    place: Place

    def take(self, start: int, piece: memoryview) -> None: ...


class _Collected:
    """Bytes that become a tensor."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.content = torch.empty(place.size, dtype=torch.uint8)
        self._view: memoryview = self.content.numpy().data

    def take(self, start: int, piece: memoryview) -> None:
        self._view[start : start + len(piece)] = piece


class _LookedAt:
    """Bytes that were parsed before, and must be the same still."""

    def __init__(self, place: Place, content: bytes) -> None:
        self.place = place
        self._content = memoryview(content)

    def take(self, start: int, piece: memoryview) -> None:
        if self._content[start : start + len(piece)] != piece:
            raise Changed


class HashedFile:
    """An open file in two steps: look at what describes its tensors, then collect the tensors while it is hashed.

    A digest that was computed before or after the reading says nothing: the file may be another one in between. Here
    all bytes that matter come out of the pass that computes the digest, or are compared with those that do.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._looked_at: list[_Part] = []
        self._left = _MOST_LOOKED_AT
        self._first_version = FileVersion.of(file)
        self.size = self._first_version.size

    def look(self, offset: int, size: int) -> bytes:
        """Bytes of the file; fewer at its end. Raises Damaged where descriptions take more than any real file's."""
        if not 0 <= size <= self._left:
            raise Damaged
        self._left -= size

        self._file.seek(offset)
        content = self._file.read(size)
        self._looked_at.append(_LookedAt(Place(offset, len(content)), content))

        return content

    def collect(self, places: Sequence[Place]) -> tuple[str, list[Tensor]]:
        """Read the file once, from end to end: its SHA-256, and for each place its bytes as a tensor.

        Raises Changed where bytes that were looked at are others now or the file was written to, Damaged where a place
        lies outside the file.
        """
        if any(place.offset < 0 or place.size < 0 or place.end > self.size for place in places):
            raise Damaged

        collected = [_Collected(place) for place in places]
        digest = self._pass([*collected, *self._looked_at])

        return digest, [part.content for part in collected]

    def _pass(self, parts: Sequence[_Part]) -> str:
        waiting = sorted(parts, key=lambda part: part.place.offset, reverse=True)
        current: list[_Part] = []
        sha = hashlib.sha256()
        position = 0

        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            sha.update(chunk)
            end = position + len(chunk)
            if end > self.size:  # one that is written to as fast as it is read never ends
                raise Changed

            while waiting and waiting[-1].place.offset < end:
                current.append(waiting.pop())
            for part in current:
                _hand_over(part, memoryview(chunk), position)

            current = [part for part in current if part.place.end > end]
            position = end

        if position != self.size or FileVersion.of(self._file).content != self._first_version.content:
            raise Changed
        return sha.hexdigest()


def _hand_over(part: _Part, chunk: memoryview, position: int) -> None:
    first = max(part.place.offset, position)
    last = min(part.place.end, position + len(chunk))

    if first < last:
        part.take(first - part.place.offset, chunk[first - position : last - position])


class LookingStream(io.RawIOBase):
    """A seekable stream over a `HashedFile`, for libraries that look at a file by themselves."""

    def __init__(self, file: HashedFile) -> None:
        super().__init__()
        self._source = file
        self._position = 0

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes. Raises Damaged as `HashedFile.look` does."""
        left = max(0, self._source.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > _LARGEST_LOOK:
            raise Damaged
        content = self._source.look(self._position, wanted)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; returns the new position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise OSError("position before the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True
