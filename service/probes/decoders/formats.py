"""Reading one image in this process, whatever its format; the libraries are imported when a file needs them."""

import errno
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, TypeVar

from service.domain.probes import FrameOfImage, ImageSize
from service.files import is_lasting
from service.probes.decoders.gzipped import inflated, is_gzipped
from service.probes.decoders.pgm import decode_pgm, is_netpbm, pgm_size
from service.probes.pixels import DICOM, JPEG, PGM, PNG, TIFF, CannotDecode, CannotRead, DecodedImage, check_size

_Result = TypeVar("_Result")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PREAMBLE = 128
_RUST_PANIC = "pyo3_runtime"  # module of the BaseException that a decoder written in Rust raises when it panics


def read_image(file: BinaryIO, *, with_display: bool = False, frame: FrameOfImage | None = None) -> DecodedImage:
    """Decode a DICOM, PNG, JPEG, PGM or TIFF file, told apart by its first bytes, compressed with gzip or not.

    frame: what is shown of several frames; None where there may only be one. with_display: read also
    what the header of a DICOM file says of how it is to be shown.
    Raises CannotDecode, CannotRead, MemoryError.
    """
    return in_plain_words(file, partial(_image, with_display=with_display, frame=frame))


def read_size(file: BinaryIO) -> ImageSize:
    """Height, width and number of frames, from the file's header. Raises CannotDecode, CannotRead, MemoryError."""
    return in_plain_words(file, _size)


def in_plain_words(file: BinaryIO, read: Callable[[BinaryIO], _Result]) -> _Result:
    """The libraries raise whatever they like, and their words may quote the file."""
    try:
        file.seek(0)
        return read(file)
    except (CannotDecode, CannotRead, MemoryError):
        raise
    except RecursionError:
        raise CannotDecode("its header is nested too deep") from None
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError from None
        if not is_lasting(error):
            raise CannotRead(error.errno or errno.EIO) from None
        raise CannotDecode("the file is damaged or cut short") from None
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__module__ != _RUST_PANIC:
            raise
        raise CannotDecode("the file is damaged or cut short") from None


def _image(file: BinaryIO, *, with_display: bool, frame: FrameOfImage | None) -> DecodedImage:
    file, form = decompressed(file)
    if form == DICOM:
        from service.probes.decoders.dicom import decode_dicom

        return decode_dicom(file, with_display=with_display, frame=frame)
    return decode_other(file, form, frame)


def decode_other(file: BinaryIO, form: str, frame: FrameOfImage | None) -> DecodedImage:
    """Decode a file of one of the FORMS but DICOM, which is not compressed with gzip any more."""
    if form == PNG:
        from service.probes.decoders.raster import decode_png

        return decode_png(file)
    if form == JPEG:
        from service.probes.decoders.raster import decode_jpeg

        return decode_jpeg(file)
    if form == PGM:
        return decode_pgm(file)

    from service.probes.decoders.tiff import decode_tiff

    return decode_tiff(file, frame)


def _size(file: BinaryIO) -> ImageSize:
    file, form = decompressed(file)
    if form == PNG:
        from service.probes.decoders.png import png_size

        size = ImageSize(*png_size(file))
    elif form == JPEG:
        from service.probes.decoders.jpeg import jpeg_size

        size = ImageSize(*jpeg_size(file))
    elif form == PGM:
        size = ImageSize(*pgm_size(file))
    elif form == TIFF:
        from service.probes.decoders.tiff import tiff_size

        size = tiff_size(file)
    else:
        from service.probes.decoders.dicom import dicom_size

        size = dicom_size(file)

    check_size(size.height, size.width)
    return size


def decompressed(file: BinaryIO) -> tuple[BinaryIO, str]:
    """The file, or what it inflates to where gzip has compressed it; and which of the FORMS it is, by its first bytes.

    What is none of the others is tried as DICOM. Raises CannotDecode.
    """
    head = _head(file)
    if not is_gzipped(head) or _is_dicom(head):
        return file, _form(head)

    content = inflated(file)
    return content, _form(_head(content))


def _form(head: bytes) -> str:
    if head.startswith(_PNG):
        return PNG
    if head.startswith(_JPEG):
        return JPEG
    if is_netpbm(head):
        return PGM
    return TIFF if head.startswith(_TIFF) and not _is_dicom(head) else DICOM


def _is_dicom(head: bytes) -> bool:
    """Anything may stand in the preamble of a DICOM file, for example the start of a TIFF."""
    return head[_PREAMBLE:] == b"DICM"


def _head(file: BinaryIO) -> bytes:
    head = file.read(_PREAMBLE + 4)
    file.seek(0)
    return head
