"""The pixel data of several frames, read frame by frame from the file: together they may be larger than the memory."""

from collections.abc import Iterator, Sequence
from itertools import islice
from struct import Struct, error
from typing import BinaryIO, cast

from pydicom.encaps import generate_frames, get_frame

from service.probes.decoders.dicom_file import DicomFile
from service.probes.decoders.streams import ClampedFile, InflatedFile
from service.probes.pixels import CannotDecode

_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFF_FFFF
_LONG_VRS = (b"OB", b"OW", b"UN")
_CUT_SHORT = "its pixel data are cut short"

EXTENDED_OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
"""What has to be read of a file beside what a single frame needs."""


class FramedPixelData:
    """The pixel data that a file's header ends before. Raises CannotDecode where there are none.

    count: how many frames the header states.
    """

    def __init__(self, dicom: DicomFile, count: int) -> None:
        self._stream = dicom.stream
        self._count = count
        self._extended_offsets = _extended_offsets(dicom)
        self.vr, self._length = _read_start(self._stream, dicom)
        self._start = self._stream.tell()

    @property
    def is_encapsulated(self) -> bool:
        """Do they come in items, as compressed ones must?"""
        return self._length == _UNDEFINED

    def native(self, frame: int, size: int) -> bytes:
        """The bytes of an uncompressed frame, counted from 0. size: of each. Raises CannotDecode."""
        end = (frame + 1) * size
        self._stream.seek(self._start + frame * size)
        data = self._stream.read(size) if end <= self._length else b""
        if len(data) < size:
            raise self._end_before(frame)
        return data

    def encapsulated(self, frames: Sequence[int]) -> Iterator[bytes]:
        """The compressed frames with these numbers, counted from 0 in ascending order. Raises CannotDecode."""
        try:
            encoded = self._one(frames[0]) if len(frames) == 1 else self._first(len(frames))
            for frame, data in zip(frames, encoded, strict=False):
                if not data:
                    raise self._end_before(frame)
                yield data
        except (CannotDecode, MemoryError, OSError):
            raise
        except Exception:  # pydicom has many ways to say that items are not what they should be
            raise CannotDecode("the items of its pixel data are damaged or cut short") from None

    def _one(self, frame: int) -> Iterator[bytes]:
        self._stream.seek(self._start)
        yield get_frame(
            cast("BinaryIO", self._stream),
            frame,
            number_of_frames=self._count,
            extended_offsets=self._extended_offsets,
        )

    def _first(self, number: int) -> Iterator[bytes]:
        self._stream.seek(self._start)
        frames = generate_frames(
            cast("BinaryIO", self._stream), number_of_frames=self._count, extended_offsets=self._extended_offsets
        )

        seen = 0
        for data in islice(frames, number):
            seen += 1
            yield data
        if seen < number:
            raise self._end_before(seen)

    def _end_before(self, frame: int) -> CannotDecode:
        return CannotDecode(f"{_CUT_SHORT}: they end before frame {frame + 1} of {self._count}")


def _extended_offsets(dicom: DicomFile) -> tuple[bytes, bytes] | None:
    offsets, lengths = (dicom.bytes_or_none(keyword) for keyword in EXTENDED_OFFSETS)
    return None if offsets is None or lengths is None else (offsets, lengths)


def _read_start(stream: ClampedFile | InflatedFile, dicom: DicomFile) -> tuple[str, int]:
    """Value representation and length of the pixel data, whose element begins here."""
    order = "<" if dicom.syntax.is_little_endian or dicom.syntax.is_private else ">"
    try:
        group, element, vr, short_length = Struct(f"{order}HH2sH").unpack(stream.read(8))
        if (group, element) != _PIXEL_DATA:
            raise CannotDecode("it has no pixel data (7FE0,0010), or is cut short before them")

        if vr in _LONG_VRS and not dicom.syntax.is_implicit_VR:
            (length,) = Struct(f"{order}L").unpack(stream.read(4))
            return vr.decode(), length

        (length,) = Struct(f"{order}L").unpack(Struct(f"{order}2sH").pack(vr, short_length))
        return "OW", length
    except error:
        raise CannotDecode("it has no pixel data (7FE0,0010), or is cut short before them") from None
