"""The structure of JPEG 2000 codestreams: what one says of itself, and where it ends."""

from dataclasses import dataclass
from struct import Struct, error

from service.probes.pixels import CannotDecode

_JP2 = b"\x00\x00\x00\x0cjP  "
_BOX = Struct(">I4s")
_LONG_BOX = Struct(">Q")
_START, _SIZE, _TILE_PART, _DATA, _END = b"\xff\x4f", b"\xff\x51", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_SIZE_SEGMENT = Struct(">HH8IH")  # length, capabilities, eight sizes and offsets, number of components
_COMPONENT = Struct(">BBB")  # depth and sign, horizontal and vertical sub-sampling
_TILE_PART_SEGMENT = Struct(">HHIBB")  # length, tile, length of the tile-part, its number, number of tile-parts
_MAX_TILES = 65_535
_CUT_SHORT = "its frame is cut short"
_DAMAGED = "its frame is damaged"


@dataclass(frozen=True, slots=True)
class Codestream:
    """A whole codestream, with what its header says."""

    height: int
    width: int

    components: int
    """Samples per pixel."""

    precision: int
    """Bits per sample."""

    data: bytes
    """From its start to its end, without the boxes around it and without what stands behind."""


def whole_codestream(data: bytes) -> Codestream:
    """The codestream in `data`, bare or in the boxes of a JP2 file; padding of any kind may follow.

    Raises CannotDecode when it is cut short or damaged, or asks for sub-sampling or for more tiles than there may be.
    """
    try:
        data = _unboxed(data)
        return _parse(data)
    except error:
        raise CannotDecode(_CUT_SHORT) from None


def _unboxed(data: bytes) -> bytes:
    if not data.startswith(_JP2):
        return data

    place = 0
    while True:
        length, kind = _BOX.unpack_from(data, place)
        head = _BOX.size
        if length == 1:
            (length,) = _LONG_BOX.unpack_from(data, place + head)
            head += _LONG_BOX.size

        if kind == b"jp2c":
            end = len(data) if length == 0 else place + length
            return data[place + head : end]
        if length < head:
            raise CannotDecode(_DAMAGED)
        place += length


def _parse(data: bytes) -> Codestream:
    if data[:2] != _START or data[2:4] != _SIZE:
        raise CannotDecode(_DAMAGED)
    _, _, x1, y1, x0, y0, tile_x, tile_y, tile_x0, tile_y0, components = _SIZE_SEGMENT.unpack_from(data, 4)
    depth, step_x, step_y = _COMPONENT.unpack_from(data, 4 + _SIZE_SEGMENT.size)

    tiles_start_inside = tile_x0 <= x0 < tile_x0 + tile_x and tile_y0 <= y0 < tile_y0 + tile_y
    if not (x0 < x1 and y0 < y1 and tiles_start_inside):
        raise CannotDecode(_DAMAGED)
    if (step_x, step_y) != (1, 1):
        raise CannotDecode("its frame is sub-sampled")

    tiles = -(-(x1 - tile_x0) // tile_x) * -(-(y1 - tile_y0) // tile_y)
    if tiles > _MAX_TILES:
        raise CannotDecode(f"its frame has {tiles} tiles, more than {_MAX_TILES}")

    end = _end(data, tiles)
    precision = (depth & 0x7F) + 1
    return Codestream(y1 - y0, x1 - x0, components, precision, data if end == len(data) else data[:end])


def _end(data: bytes, tiles: int) -> int:
    """Where the codestream ends, once every tile is there."""
    place = _first_tile_part(data)
    seen = set()

    while data[place : place + 2] == _TILE_PART:
        _, tile, length, _, _ = _TILE_PART_SEGMENT.unpack_from(data, place + 2)
        if tile >= tiles or 0 < length < 2 + _TILE_PART_SEGMENT.size:
            raise CannotDecode(_DAMAGED)
        seen.add(tile)

        # A length of nought is the rest, and no marker stands within it.
        place = data.find(_END, data.find(_DATA, place)) if length == 0 else place + length
        if not 0 < place <= len(data):
            raise CannotDecode(_CUT_SHORT)

    if len(seen) < tiles:
        raise CannotDecode(_CUT_SHORT)
    # Decoders do without the last marker where all tiles are there.
    return place + 2 if data[place : place + 2] == _END else place


def _first_tile_part(data: bytes) -> int:
    place = 2
    while data[place : place + 2] != _TILE_PART:
        marker, length = Struct(">HH").unpack_from(data, place)
        if marker < 0xFF00 or length < 2 or (marker == 0xFF51 and place != 2):
            raise CannotDecode(_DAMAGED)
        place += 2 + length
    return place
