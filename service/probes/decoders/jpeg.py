"""The structure of JPEG and JPEG-LS: what a frame says of itself, and where it ends."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from service.probes.pixels import CannotDecode

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, and SOF55 of JPEG-LS
_JPEG_LS = 0xF7
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD8)})
_CUT_SHORT = "its frame is cut short"
_DAMAGED = "its frame is damaged"

# Within a scan, what follows 0xFF is no marker: a stuffed byte, a restart marker, or a fill byte.
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
# JPEG-LS stuffs a bit instead of a byte.
_NEXT_MARKER_LS = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What the header of a frame says."""

    process: int
    """n for SOFn of ITU-T T.81; 55 for JPEG-LS."""

    precision: int
    """Bits per sample."""

    height: int
    width: int

    components: int
    """Samples per pixel."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole frame. data: from its start to its end, without what stands behind."""

    header: FrameHeader
    data: bytes


def jpeg_size(file: BinaryIO) -> tuple[int, int]:
    """Height and width of a JPEG file, from the segments before its pixels. Raises CannotDecode."""
    file.seek(0)
    header = next((header for header in _headers_of_file(file) if header is not None), None)
    if header is None:
        raise CannotDecode("its header is damaged or cut short")
    return header.height, header.width


def whole_frame(data: bytes) -> Frame:
    """The frame that `data` begins with, up to its end marker; padding of any kind may follow.

    Raises CannotDecode when it is cut short, damaged, or has not exactly one header: the decoders believe the last.
    """
    if data[:2] != b"\xff\xd8":
        raise CannotDecode(_DAMAGED)

    header = None
    place = 2
    while True:
        marker, place = _marker_at(data, place)
        if marker == _END:
            break
        if marker == _START:
            raise CannotDecode(_DAMAGED)
        if marker in _WITHOUT_LENGTH:
            continue

        segment = _segment_at(data, place)
        place += 2 + len(segment)
        if marker in _FRAME_HEADERS:
            if header is not None:
                raise CannotDecode("its frame has two headers")
            header = _parse_header(marker, segment)
        if marker == _SCAN:
            place = _end_of_scan(data, place, header)

    if header is None:
        raise CannotDecode("its frame has no header")
    return Frame(header, data if place == len(data) else data[:place])


def _headers_of_file(file: BinaryIO) -> Iterator[FrameHeader | None]:
    """Reads segment by segment, as a file's camera data may be large."""
    file.read(2)
    while True:
        lead = file.read(2)
        while lead == b"\xff\xff":
            lead = lead[1:] + file.read(1)

        length = int.from_bytes(file.read(2), "big")
        if len(lead) < 2 or lead[0] != 0xFF or lead[1] in {_END, _SCAN} or length < 2:
            return

        segment = file.read(length - 2)
        if len(segment) < length - 2:
            return

        yield _parse_header(lead[1], segment) if lead[1] in _FRAME_HEADERS else None


def _marker_at(data: bytes, place: int) -> tuple[int, int]:
    """The next marker, and the place behind it. Decoders pass over fill bytes and stray ones, and so does this."""
    place = data.find(b"\xff", place)
    if place < 0:
        raise CannotDecode(_CUT_SHORT)

    while data[place : place + 1] == b"\xff":
        place += 1
    if place >= len(data):
        raise CannotDecode(_CUT_SHORT)
    return data[place], place + 1


def _segment_at(data: bytes, place: int) -> bytes:
    length = int.from_bytes(data[place : place + 2], "big")
    segment = data[place + 2 : place + length]
    if length < 2 or len(segment) < length - 2:
        raise CannotDecode(_CUT_SHORT)
    return segment


def _parse_header(marker: int, segment: bytes) -> FrameHeader:
    if len(segment) < 6:
        raise CannotDecode(_DAMAGED)

    precision = segment[0]
    height = int.from_bytes(segment[1:3], "big")
    width = int.from_bytes(segment[3:5], "big")
    components = segment[5]
    process = 55 if marker == _JPEG_LS else marker - 0xC0
    return FrameHeader(process, precision, height, width, components)


def _end_of_scan(data: bytes, place: int, header: FrameHeader | None) -> int:
    if header is None:
        raise CannotDecode("its frame has no header")

    pattern = _NEXT_MARKER_LS if header.process == 55 else _NEXT_MARKER
    marker = pattern.search(data, place)
    if marker is None:
        raise CannotDecode(_CUT_SHORT)
    return marker.start()
