"""Portable graymaps (PGM), plain and raw, of 8 and 16 bits (netpbm's P2 and P5)."""

import re
import warnings
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from service.probes.pixels import CannotDecode, DecodedImage, check_size

_SEPARATED = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(rb"P([25])" + 3 * (_SEPARATED + rb"([0-9]{1,9})") + rb"\s")
_HEADER_BYTES = 1 << 16
"""Comments may be long, but this is as much as a header may have."""

_COMMENT = re.compile(rb"#[^\r\n]*")
_BYTES_OF_A_NUMBER = 16
"""With the blanks and comments around it, on average; more would be read for nothing."""

_PLAIN = b"2"
_OTHER_KINDS = {b"P1": "PBM", b"P3": "PPM", b"P4": "PBM", b"P6": "PPM", b"P7": "PAM", b"Pf": "PFM", b"PF": "PFM"}


def is_netpbm(head: bytes) -> bool:
    """Does a file begin as those of this family do?"""
    return (head[:2] in {b"P2", b"P5"} or head[:2] in _OTHER_KINDS) and head[2:3] in {b" ", b"\t", b"\r", b"\n", b"#"}


def pgm_size(file: BinaryIO) -> tuple[int, int]:
    """Height and width from the header alone. Raises CannotDecode."""
    header = _read_header(file)
    return header.height, header.width


def decode_pgm(file: BinaryIO) -> DecodedImage:
    """Decode a PGM. Of 8 bits, white is 255, whatever number the file has for it; of 16 bits the values stay.

    Raises CannotDecode when the file is damaged, cut short or too large.
    """
    header = _read_header(file)
    check_size(header.height, header.width)

    values = _plain_values(file, header) if header.is_plain else _raw_values(file, header)
    if int(values.max()) > header.white:
        raise CannotDecode(f"it has values above {header.white}, which its header says is white")

    pixels = values.reshape(header.height, header.width)
    return DecodedImage(_with_white_at_255(pixels, header.white), from_dicom=False, bits=header.white.bit_length())


@dataclass(frozen=True, slots=True)
class _Header:
    is_plain: bool
    height: int
    width: int

    white: int
    """The greatest value."""

    length: int
    """Bytes of the header."""


def _read_header(file: BinaryIO) -> _Header:
    file.seek(0)
    head = file.read(_HEADER_BYTES)
    if head[:2] in _OTHER_KINDS:
        raise CannotDecode(f"it is a {_OTHER_KINDS[head[:2]]} file, not a PGM", "Convert it to PGM or PNG.")

    match = _HEADER.match(head)
    if match is None:
        raise CannotDecode("its PGM header is damaged or cut short")

    kind, *numbers = match.groups()
    width, height, white = map(int, numbers)
    if not 0 < white < 1 << 16:
        raise CannotDecode(f"its greatest value is {white}, which is not from 1 to 65535")
    return _Header(kind == _PLAIN, height, width, white, match.end())


def _raw_values(file: BinaryIO, header: _Header) -> NDArray[np.uint8] | NDArray[np.uint16]:
    stored = np.dtype("u1" if header.white < 1 << 8 else ">u2")
    size = header.height * header.width * stored.itemsize
    file.seek(header.length)
    data = file.read(size)
    if len(data) < size:
        raise CannotDecode(f"its pixels are cut short: {len(data)} bytes where there must be {size}")
    return np.frombuffer(data, dtype=stored).astype(stored.newbyteorder("="))


def _plain_values(file: BinaryIO, header: _Header) -> NDArray[np.uint8] | NDArray[np.uint16]:
    pixels = header.height * header.width
    file.seek(header.length)
    text = file.read(pixels * _BYTES_OF_A_NUMBER + _HEADER_BYTES)
    if b"#" in text:
        text = _COMMENT.sub(b" ", text)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = np.fromstring(text, dtype=np.int32, sep=" ")[:pixels]
    except (ValueError, DeprecationWarning):
        raise CannotDecode("its pixels are cut short, or are not numbers") from None

    if len(values) < pixels or int(values.min()) < 0:
        raise CannotDecode("its pixels are cut short, or are not numbers")
    if int(values.max()) > header.white:
        raise CannotDecode(f"it has values above {header.white}, which its header says is white")
    return values.astype(np.uint8) if header.white < 1 << 8 else values.astype(np.uint16)


def _with_white_at_255(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], white: int
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if pixels.dtype != np.uint8 or white == 255:
        return pixels

    levels = np.arange(256, dtype=np.int64)
    widened = ((levels * 255 + white // 2) // white).clip(0, 255).astype(np.uint8)
    return widened[pixels]
