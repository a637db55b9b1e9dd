"""PNG files, reduced to what makes their pixels before a decoder sees them.

Text, profiles and animations are left out: they may inflate to anything, and the pixels do not need them.
"""

from collections.abc import Iterator
from struct import Struct, error
from typing import BinaryIO

from service.probes.pixels import CannotDecode, check_size

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = Struct(">II5B")  # width, height, bits, colour type, compression, filter, interlace
_CHUNK = Struct(">I4s")
_CHECKSUM_BYTES = 4
_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


def png_size(file: BinaryIO) -> tuple[int, int]:
    """Height and width from the header alone. Raises CannotDecode."""
    file.seek(len(_SIGNATURE))
    try:
        length, kind = _CHUNK.unpack(file.read(_CHUNK.size))
        width, height, *_ = _HEADER.unpack(file.read(_HEADER.size))
    except error:
        raise CannotDecode("the file is cut short") from None

    if kind != b"IHDR" or length != _HEADER.size:
        raise CannotDecode("its header is damaged")
    return height, width


def pixel_chunks(file: BinaryIO) -> bytes:
    """The file with nothing but header, palette, pixels and end. Raises CannotDecode, also where it is cut short."""
    check_size(*png_size(file))
    return b"".join(_needed_chunks(file))


def _needed_chunks(file: BinaryIO) -> Iterator[bytes]:
    size = file.seek(0, 2)
    place = len(_SIGNATURE)
    yield _SIGNATURE

    while True:
        file.seek(place)
        head = file.read(_CHUNK.size)
        if len(head) < _CHUNK.size:
            raise CannotDecode("the file is cut short")
        length, kind = _CHUNK.unpack(head)

        place += _CHUNK.size + length + _CHECKSUM_BYTES
        if place > size:
            raise CannotDecode("the file is cut short")
        if kind in _NEEDED:
            yield head + file.read(length + _CHECKSUM_BYTES)
        if kind == b"IEND":
            return
