"""Small TIFF files written for the tests, byte by byte: Pillow writes neither tiles nor most kinds of pixels."""

import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_SHORT, _LONG = 3, 4


def tiff_page(
    stored: NDArray[Any],
    *,
    order: Literal["<", ">"] = "<",
    tile: int | None = None,
    deflated: bool = False,
    **tags: int,
) -> tuple[dict[int, int], list[bytes], int | None]:
    """The tags, parts and tile size of a page of grey pixels [H, W]. tags: others, by name."""
    number = {"photometric": 262, "orientation": 274, "sample_format": 339, "bits": 258}
    height, width = stored.shape
    ordered = stored.astype(stored.dtype.newbyteorder(order))
    if tile is None:
        parts = [ordered[: height // 2].tobytes(), ordered[height // 2 :].tobytes()]
    else:
        padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile), dtype=ordered.dtype)
        padded[:height, :width] = ordered
        parts = [
            padded[top : top + tile, left : left + tile].tobytes()
            for top in range(0, padded.shape[0], tile)
            for left in range(0, padded.shape[1], tile)
        ]

    entries = {256: width, 257: height, 258: 8 * stored.itemsize, 259: 8 if deflated else 1, 262: 1, 277: 1}
    if tile is None:
        entries[278] = height // 2
    else:
        entries |= {322: tile, 323: tile}
    entries |= {number[name]: value for name, value in tags.items()}
    return entries, [zlib.compress(part) if deflated else part for part in parts], tile


def write_tiff(path: Path, *pages: NDArray[Any], order: Literal["<", ">"] = "<", **options: Any) -> Path:
    """Write pages of grey pixels [H, W]; see `tiff_page`."""
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + b"\0\0\0\0")
    link = 4
    for stored in pages:
        entries, parts, tile = tiff_page(stored, order=order, **options)
        offsets, counts = [], []
        for part in parts:
            offsets.append(len(data))
            counts.append(len(part))
            data += part

        lists = {273 if tile is None else 324: offsets, 279 if tile is None else 325: counts}
        places = {}
        for tag, values in lists.items():
            places[tag] = (len(data), len(values))
            data += struct.pack(f"{order}{len(values)}L", *values)

        data += b"\0" * (len(data) % 2)
        struct.pack_into(f"{order}L", data, link, len(data))
        rows = [(tag, _LONG, 1, value) for tag, value in entries.items()]
        rows += [(tag, _LONG, count, place if count > 1 else lists[tag][0]) for tag, (place, count) in places.items()]
        data += struct.pack(f"{order}H", len(rows))
        for row in sorted(rows):
            data += struct.pack(f"{order}HHLL", *row)
        link = len(data)
        data += b"\0\0\0\0"
    path.write_bytes(data)
    return path
