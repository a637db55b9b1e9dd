"""Files that were compressed with gzip, inflated within bounds before a decoder sees them."""

import gzip
import io
import zlib
from typing import BinaryIO

from service.probes.pixels import CannotDecode

MAX_BYTES = 512 << 20
"""What a file may inflate to: the largest image that is accepted has 160 MB of pixels, several frames have more."""

_MAGIC = b"\x1f\x8b"
_STEP = 1 << 20


def is_gzipped(head: bytes) -> bool:
    """Does a file begin as gzip writes it?"""
    return head.startswith(_MAGIC)


def inflated(file: BinaryIO) -> BinaryIO:
    """The whole content of a gzip file. Raises CannotDecode where it is damaged, cut short or larger than MAX_BYTES."""
    file.seek(0)
    content = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as source:
            while data := source.read(_STEP):
                content.write(data)
                if content.tell() > MAX_BYTES:
                    raise CannotDecode(f"it inflates to more than {MAX_BYTES >> 20} MB")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise CannotDecode("its gzip data are damaged or cut short") from None

    content.seek(0)
    if is_gzipped(content.getbuffer()[: len(_MAGIC)].tobytes()):
        raise CannotDecode("it is compressed with gzip twice", "Decompress it once.")
    return content
