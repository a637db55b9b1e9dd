"""Image files: opened within bounds, held to the content that was digested, and blamed only for what is their fault."""

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
