"""Opening one probe image, whatever its format. It is decoded in a limited process, never in this one."""

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, TypeVar

from service.domain.checks import WHATEVER_THE_REASON
from service.domain.probes import FrameOfImage, ImageSize
from service.errors import UnreadableImage
from service.files import ANYWHERE, DataRoots, FileVersion, NotRegular, OutsideRoots, TooLarge, is_lasting
from service.probes.decoders.pool import DecoderPool
from service.probes.image_file import MAX_BYTES, fingerprint_of, held_to_digest, open_image, out_of_reach
from service.probes.pixels import CannotDecode, CannotRead, DecodedImage, ImageFacts

_Result = TypeVar("_Result")

_MISSING = "the file is missing or cannot be read"

_lock = Lock()
_pools: dict[int, DecoderPool] = {}


def decode(
    path: Path,
    *,
    row: int,
    roots: DataRoots = ANYWHERE,
    sha256: str | None = None,
    version: FileVersion | None = None,
    with_display: bool = False,
    frame: FrameOfImage | None = None,
) -> DecodedImage:
    """Decode an image file, told apart by its first bytes. `row` is its manifest row, for the error.

    roots: what the file must lie in when it is opened. sha256, version: what it must be, where that is known.
    with_display: read also what the header of a DICOM file says of how it is to be shown. frame: what is shown of
    several frames; None where there may only be one.
    Raises UnreadableImage, also where the file crashes its decoder or takes too much memory or time; FileOutOfReach
    where the disk or the machine fails, which says nothing of the file, and ImageChanged where it is another file.
    """

    def image(file: BinaryIO) -> DecodedImage:
        with held_to_digest(file, sha256, version):
            return decoder_pool().image(file, with_display=with_display, frame=frame)

    with _named_by_row(row):
        return _open(path, row, roots, image)


def image_size(path: Path, *, row: int, roots: DataRoots = ANYWHERE) -> ImageSize:
    """Height, width and number of frames, read from the file's header. Raises what `decode` raises."""
    with _named_by_row(row):
        return _open(path, row, roots, lambda file: decoder_pool().size(file))


@dataclass(frozen=True, slots=True)
class ImageLook:
    """What was found of an image's file: facts, or why there are none, or both."""

    fingerprint: bytes | None
    """See `fingerprint_of`; None where the file cannot be opened."""

    facts: ImageFacts | None
    """None where the file says nothing of its image."""

    refusal: CannotDecode | None
    """Why it cannot be decoded; None where it can."""


def look_into(path: Path, *, row: int, roots: DataRoots = ANYWHERE, frame: FrameOfImage | None = None) -> ImageLook:
    """Decode an image as `decode` does, and say what it is; its pixels stay in the decoder's process.

    frame: what is decoded of several.
    Raises FileOutOfReach where the disk or the machine fails, which says nothing of the file.
    """

    def look(file: BinaryIO) -> ImageLook:
        fingerprint = fingerprint_of(file)
        try:
            return ImageLook(fingerprint, decoder_pool().facts(file, frame), None)
        except CannotDecode as refusal:
            return ImageLook(fingerprint, refusal.facts, refusal)

    try:
        return _open(path, row, roots, look)
    except CannotDecode as refusal:
        return ImageLook(None, None, refusal)


def decoder_pool() -> DecoderPool:
    """This process's decoder processes, which end with it."""
    with _lock:
        # A forked process must not share its parent's sockets.
        if os.getpid() not in _pools:
            _pools.clear()
            _pools[os.getpid()] = pool = DecoderPool()
            atexit.register(pool.close)

        return _pools[os.getpid()]


def _open(path: Path, row: int, roots: DataRoots, read: Callable[[BinaryIO], _Result]) -> _Result:
    """Raises CannotDecode, FileOutOfReach."""
    try:
        file = open_image(path, roots)
    except NotRegular:
        raise CannotDecode("it is not a regular file") from None
    except OutsideRoots:
        raise CannotDecode("it lies outside the data roots") from None
    except TooLarge:
        raise CannotDecode(f"it is larger than {MAX_BYTES:,} bytes") from None
    except ValueError:
        raise CannotDecode(_MISSING) from None
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach(row, error) from None
        raise CannotDecode(_MISSING) from None

    with file:
        try:
            return read(file)
        except (CannotRead, OSError) as error:
            raise out_of_reach(row, error) from None


@contextmanager
def _named_by_row(row: int) -> Iterator[None]:
    try:
        yield
    except CannotDecode as refusal:
        raise UnreadableImage(
            f"The image of manifest row {row} cannot be read: {refusal.reason}.",
            field="image",
            value=f"row {row}",
            remedy=f"{refusal.remedy} {WHATEVER_THE_REASON}".strip(),
        ) from None
