"""Opening one probe image, whatever its format. It is decoded in a limited process, never in this one."""

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NoReturn, TypeVar

from service.domain.probes import FrameOfImage, ImageSize
from service.errors import UnreadableImage
from service.files import ANYWHERE, DataRoots, FileVersion, NotRegular, OutsideRoots, TooLarge, is_lasting
from service.probes.decoders.pool import DecoderPool
from service.probes.image_file import MAX_BYTES, held_to_digest, open_image, out_of_reach
from service.probes.pixels import CannotDecode, CannotRead, DecodedImage

_Result = TypeVar("_Result")
_REMEDY = "Replace the file, delete the row, or let the probe set skip unreadable images."

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

    return _open(path, row, roots, image)


def image_size(path: Path, *, row: int, roots: DataRoots = ANYWHERE) -> ImageSize:
    """Height, width and number of frames, read from the file's header. Raises what `decode` raises."""
    return _open(path, row, roots, lambda file: decoder_pool().size(file))


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
    try:
        file = open_image(path, roots)
    except NotRegular:
        _refuse(row, "it is not a regular file")
    except OutsideRoots:
        _refuse(row, "it lies outside the data roots")
    except TooLarge:
        _refuse(row, f"it is larger than {MAX_BYTES:,} bytes")
    except ValueError:
        _refuse(row, _MISSING)
    except OSError as error:
        if not is_lasting(error):
            raise out_of_reach(row, error) from None
        _refuse(row, _MISSING)

    with file:
        try:
            return read(file)
        except CannotDecode as refusal:
            _refuse(row, refusal.reason, refusal.remedy)
        except (CannotRead, OSError) as error:
            raise out_of_reach(row, error) from None


def _refuse(row: int, reason: str, remedy: str = "") -> NoReturn:
    raise UnreadableImage(
        f"The image of manifest row {row} cannot be read: {reason}.",
        field="image",
        value=f"row {row}",
        remedy=f"{remedy} {_REMEDY}".strip(),
    ) from None
