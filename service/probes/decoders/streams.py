"""Files as pydicom reads them: no read takes more than there is, or than a header needs, whatever a length says."""

import io
import zlib
from typing import BinaryIO

from service.probes.pixels import CannotDecode


class ClampedFile:
    """A file to read, as pydicom does. No read asks for more bytes than are left, whatever an element's length says."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        here = file.tell()
        self._size = file.seek(0, io.SEEK_END)
        file.seek(here)

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        left = max(self._size - self._file.tell(), 0)
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The present place."""
        return self._file.tell()


class InflatedFile:
    """A deflated file, inflated as far as it is read. most: how many bytes at most."""

    _STEP = 1 << 20

    def __init__(self, deflated: ClampedFile, most: int) -> None:
        self._deflated = deflated
        self._most = most
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._inflated = bytearray()
        self._place = 0

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises CannotDecode when the file inflates to more than is accepted, or is damaged."""
        stop = self._most + 1 if size < 0 else self._place + size
        self._inflate_to(stop)
        data = bytes(memoryview(self._inflated)[self._place : stop])
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place; from the end it cannot be reckoned."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation
        self._place = offset if whence == io.SEEK_SET else self._place + offset
        return self._place

    def tell(self) -> int:
        """The present place."""
        return self._place

    def _inflate_to(self, stop: int) -> None:
        while len(self._inflated) < stop and not self._inflater.eof:
            data = self._inflater.unconsumed_tail or self._deflated.read(self._STEP)
            if not data:
                return

            try:
                self._inflated += self._inflater.decompress(data, self._STEP)
            except zlib.error:
                raise CannotDecode("its deflated data are damaged") from None

            if len(self._inflated) > self._most:
                raise CannotDecode(f"it inflates to more than {self._most >> 20} MB")


class BoundedFile(ClampedFile):
    """A file of which no read gives more than a header's element may have, whatever length it claims."""

    _MOST = 16 << 20

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes. Raises CannotDecode for more at once than any element of a header needs."""
        if size > self._MOST:
            raise CannotDecode("an element of its header is longer than 16 MiB")
        return super().read(self._MOST if size < 0 else size)
