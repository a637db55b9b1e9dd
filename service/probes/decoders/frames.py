"""The one frame in a data set's pixel data, compared with what the data set says before a decoder sees it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLETransferSyntaxes,
)

from service.probes.decoders.dicom_file import DicomFile
from service.probes.decoders.jpeg import whole_frame
from service.probes.decoders.jpeg2000 import whole_codestream
from service.probes.decoders.rle import check_segments
from service.probes.pixels import CannotDecode

_JPEG_LS_PROCESS = 55


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A compressed frame without padding. precision: bits a sample of its codestream, None where it states none."""

    data: bytes
    precision: int | None

    def encapsulated(self) -> bytes:
        """The frame as pixel data of one item."""
        return encapsulate([self.data])


def encapsulated_frame(data: bytes, syntax: UID, height: int, width: int, allocated: int) -> EncodedFrame:
    """The compressed frame. Raises CannotDecode when it is not of the stated size, or is cut short."""
    if syntax in RLETransferSyntaxes:
        check_segments(data, allocated // 8)
        return EncodedFrame(data, None)
    if syntax in JPEG2000TransferSyntaxes:
        stream = whole_codestream(data)
        _compare(stream.height, stream.width, stream.components, height, width)
        return EncodedFrame(stream.data, _possible(stream.precision))
    if syntax in {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes}:
        frame = whole_frame(data)
        if (frame.header.process == _JPEG_LS_PROCESS) != (syntax in JPEGLSTransferSyntaxes):
            raise CannotDecode("its frame is not in the transfer syntax that it states")
        _compare(frame.header.height, frame.header.width, frame.header.components, height, width)
        return EncodedFrame(frame.data, _possible(frame.header.precision))
    return EncodedFrame(data, None)


def native_frame(dicom: DicomFile, height: int, width: int, allocated: int) -> NDArray[np.integer]:
    """The uncompressed frame [H, W]. Raises CannotDecode for fewer bytes, and for those of more than one frame."""
    data = dicom.pixel_data()
    size = height * width * allocated // 8
    if len(data) < size:
        raise CannotDecode(
            f"its pixel data are cut short: {len(data)} bytes where {height} x {width} pixels of {allocated} bits "
            f"take {size}"
        )

    trailing = data[size:]
    if len(trailing) >= size and trailing.count(trailing[:1]) < len(trailing):
        raise CannotDecode(f"its pixel data have {len(data)} bytes, more than one frame takes ({size})")

    signed = dicom.number("PixelRepresentation") == 1
    values = native_values(data, size, allocated, dicom.syntax, signed=signed, vr=dicom.pixel_vr)
    return values.reshape(height, width)


def native_values(data: bytes, size: int, allocated: int, syntax: UID, *, signed: bool, vr: str) -> NDArray[np.integer]:
    """The values of the first `size` bytes of a frame. vr: value representation of the pixel data."""
    kind = "i" if signed else "u"
    if syntax.is_little_endian:
        return np.frombuffer(data, dtype=f"<{kind}{allocated // 8}", count=size * 8 // allocated)
    if allocated == 16:
        return np.frombuffer(data, dtype=f">{kind}2", count=size // 2).astype(f"={kind}2")
    if vr != "OW":
        return np.frombuffer(data, dtype=f"{kind}1", count=size)

    # Big endian bytes in words: the bytes of each word are swapped.
    last_word_is_whole = len(data) > size or size % 2 == 0
    number_of_words = -(-size // 2) if last_word_is_whole else size // 2
    words = np.frombuffer(data, dtype="u2", count=number_of_words)
    return words.byteswap().view(f"{kind}1")[:size]


def only_frame(dicom: DicomFile) -> bytes:
    """The compressed frame of a file that has one. Raises CannotDecode."""
    data = dicom.pixel_data()
    try:
        frames = list(zip(generate_frames(data, number_of_frames=1), range(2), strict=False))
    except MemoryError:
        raise
    except Exception:
        raise CannotDecode("the items of its pixel data are damaged or cut short") from None

    if not frames or not frames[0][0]:
        raise CannotDecode("its pixel data hold no frame")
    if len(frames) > 1:
        raise CannotDecode("it has more than one frame")
    return frames[0][0]


def _compare(height: int, width: int, components: int, rows: int, columns: int) -> None:
    if (height, width) != (rows, columns):
        raise CannotDecode(
            f"its frame is {height} x {width} pixels, where Rows (0028,0010) and Columns (0028,0011) say "
            f"{rows} x {columns}"
        )
    if components != 1:
        raise CannotDecode(f"its frame has {components} samples a pixel, where SamplesPerPixel (0028,0002) says 1")


def _possible(precision: int) -> int:
    if not 2 <= precision <= 16:
        raise CannotDecode(f"its frame has {precision} bits a sample, more or fewer than can be")
    return precision
