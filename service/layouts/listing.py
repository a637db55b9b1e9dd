"""The rows of a data set that a worker has read, as they are stored."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from service.layouts.reading import LayoutRows
from service.tables.table import Row


def encode_listing(rows: Sequence[Row]) -> bytes:
    """One JSON object for each row, a line each, compressed with gzip. Equal rows give equal bytes."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return gzip.compress(lines.encode(), mtime=0)


def decode_listing(data: bytes, folder: Path, notes: tuple[str, ...]) -> LayoutRows:
    """The rows of `encode_listing`. folder, notes: see `LayoutRows`."""
    # As bytes: texts would be parted at more than line feeds, of which JSON escapes but some.
    lines = gzip.decompress(data).splitlines()
    return LayoutRows([json.loads(line) for line in lines], folder, notes)
