"""Reading one image in this process, whatever its format; the libraries are imported when a file needs them."""

import errno
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, TypeVar

from service.files import is_lasting
from service.probes.pixels import CannotDecode, CannotRead, DecodedImage, check_size

_Result = TypeVar("_Result")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_RUST_PANIC = "pyo3_runtime"  # module of the BaseException that a decoder written in Rust raises when it panics


def read_image(file: BinaryIO, *, with_display: bool = False) -> DecodedImage:
    """Decode a DICOM, PNG or JPEG file, told apart by its first bytes.

    with_display: read also what the header of a DICOM file says of how it is to be shown.
    Raises CannotDecode, CannotRead, MemoryError.
    """
    return _in_plain_words(file, partial(_image, with_display=with_display))


def read_size(file: BinaryIO) -> tuple[int, int]:
    """Height and width of the decoded image, from the file's header. Raises CannotDecode, CannotRead, MemoryError."""
    return _in_plain_words(file, _size)


def _in_plain_words(file: BinaryIO, read: Callable[[BinaryIO], _Result]) -> _Result:
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


def _image(file: BinaryIO, *, with_display: bool) -> DecodedImage:
    head = _head(file)
    if head.startswith(_PNG):
        from service.probes.decoders.raster import decode_png

        return decode_png(file)
    if head.startswith(_JPEG):
        from service.probes.decoders.raster import decode_jpeg

        return decode_jpeg(file)

    from service.probes.decoders.dicom import decode_dicom

    return decode_dicom(file, with_display=with_display)


def _size(file: BinaryIO) -> tuple[int, int]:
    head = _head(file)
    if head.startswith(_PNG):
        from service.probes.decoders.png import png_size

        size = png_size(file)
    elif head.startswith(_JPEG):
        from service.probes.decoders.jpeg import jpeg_size

        size = jpeg_size(file)
    else:
        from service.probes.decoders.dicom import dicom_size

        size = dicom_size(file)

    check_size(*size)
    return size


def _head(file: BinaryIO) -> bytes:
    head = file.read(len(_PNG))
    file.seek(0)
    return head
