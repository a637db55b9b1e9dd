"""Opening one probe image, whatever its format; the decoders are imported when the first image needs them."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn, TypeVar

from service.errors import UnreadableImage
from service.probes.pixels import CannotDecode, DecodedImage

_Result = TypeVar("_Result")
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_DICOM = b"DICM"
_DICOM_PREAMBLE = 128
_RUST_PANIC = "pyo3_runtime"  # module of the BaseException that a decoder written in Rust raises when it panics


def decode(path: Path, *, row: int) -> DecodedImage:
    """Decode a DICOM, PNG or JPEG file, told apart by its first bytes. `row` is its manifest row, for the error.

    Raises UnreadableImage.
    """
    return _open(path, row, _decode)


def image_size(path: Path, *, row: int) -> tuple[int, int]:
    """Height and width of the decoded image, read from the file's header. Raises UnreadableImage."""
    return _open(path, row, _size)


def _open(path: Path, row: int, read: Callable[[BinaryIO], _Result]) -> _Result:
    try:
        with path.open("rb") as file:
            return read(file)
    except CannotDecode as error:
        _refuse(row, str(error))
    except OSError:
        _refuse(row, "the file is missing, damaged or cut short")
    except BaseException as error:  # the decoders raise whatever they like, and their words may quote the file
        if not isinstance(error, Exception) and type(error).__module__ != _RUST_PANIC:
            raise
        _refuse(row, f"the decoder stopped with {type(error).__name__}")


def _refuse(row: int, reason: str) -> NoReturn:
    raise UnreadableImage(
        f"The image of manifest row {row} cannot be read: {reason}.",
        field="image",
        value=f"row {row}",
        remedy="Replace the file or take the row out, or let the probe set skip unreadable images.",
    ) from None


def _decode(file: BinaryIO) -> DecodedImage:
    if _is_dicom(file):
        from service.probes.dicom import decode_dicom

        return decode_dicom(file)
    from service.probes.raster import decode_raster

    return decode_raster(file)


def _size(file: BinaryIO) -> tuple[int, int]:
    if _is_dicom(file):
        from service.probes.dicom import dicom_size

        return dicom_size(file)
    from service.probes.raster import raster_size

    return raster_size(file)


def _is_dicom(file: BinaryIO) -> bool:
    head = file.read(_DICOM_PREAMBLE + len(_DICOM))
    file.seek(0)
    if head.endswith(_DICOM) and len(head) == _DICOM_PREAMBLE + len(_DICOM):
        return True
    if not head.startswith((_PNG, _JPEG)):
        raise CannotDecode("it is neither DICOM nor PNG nor JPEG")
    return False
