"""Image files: opened within bounds, held to the content that was digested, and blamed only for what is their fault."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from service.domain.digests import digest_of_open_file
from service.errors import FileOutOfReach, ImageChanged
from service.files import DataRoots, FileVersion, WrittenMeanwhile
from service.probes.pixels import CannotRead

MAX_BYTES = 2 << 30
"""Of an image's file: the largest image that is accepted has 160 MB of pixels."""

_END_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 12
_BLOCKS = 32
"""What of a file its fingerprint covers: its ends, and so many blocks between them."""

_SETTLED_NS = 2_000_000_000
"""Clocks of file systems are coarse: what was written just now may be written to again without another time."""


def open_image(path: Path, roots: DataRoots) -> BinaryIO:
    """Open an image's file; the caller closes it. Raises TooLarge, and what `DataRoots.open` raises."""
    return roots.open(path, most=MAX_BYTES)


def digest_and_version(path: Path, roots: DataRoots) -> tuple[str, FileVersion | None]:
    """SHA-256 (hex) of an image's file, and its version, where another one would show that it has changed.

    Raises WrittenMeanwhile, and what `open_image` raises.
    """
    with open_image(path, roots) as file:
        now = time.time_ns()
        version = FileVersion.of(file)
        digest = digest_of_open_file(file)

    has_settled = version.changed_ns < now - _SETTLED_NS
    return digest, version if has_settled else None


def fingerprint_of(file: BinaryIO) -> bytes:
    """32 bytes that are equal for equal files, and for hardly any others: to hash all of a file may take longer than to
    decode it.

    They cover its size, its ends and blocks between these. Raises OSError.
    """
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    sha = hashlib.sha256(str(size).encode())

    step = max((size - _END_BYTES) // _BLOCKS, _BLOCK_BYTES)
    blocks = range(_END_BYTES, max(size - _END_BYTES, _END_BYTES), step)
    ends = ((0, _END_BYTES), (max(size - _END_BYTES, 0), _END_BYTES))
    for start, length in (*ends, *((block, _BLOCK_BYTES) for block in blocks)):
        sha.update(os.pread(descriptor, length, start))
    return sha.digest()


@contextmanager
def held_to_digest(file: BinaryIO, sha256: str | None, version: FileVersion | None) -> Iterator[None]:
    """Read an open file inside. Raises WrittenMeanwhile unless it is what was digested, before and after.

    To hash every file a second time would take as long as to decode it, so that is only done where its version is
    another one, or not known.
    """
    if sha256 is None:
        yield
        return

    before = FileVersion.of(file)
    if before != version and digest_of_open_file(file) != sha256:
        raise WrittenMeanwhile
    try:
        yield
    finally:
        # What a half-written file is refused for says nothing of the one that was digested.
        if FileVersion.of(file).content != before.content:
            raise WrittenMeanwhile


def out_of_reach(row: int, error: OSError | CannotRead) -> FileOutOfReach:
    """What to raise where not the image of that row is to blame, but the disk, the machine or who writes to it."""
    if isinstance(error, WrittenMeanwhile):
        return ImageChanged(
            f"The image of manifest row {row} changed while it was being read.",
            field="image",
            value=f"row {row}",
            remedy="Leave the images alone while they are read, and try again.",
        )
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return FileOutOfReach(
        f"The image of manifest row {row} cannot be read now: {reason}.",
        field="image",
        value=f"row {row}",
        remedy="Check the disk that it is on, and this machine's memory and limits on open files; then try again.",
    )
