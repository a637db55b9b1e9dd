"""Opening files that callers name: regular files only, below the data roots at the moment of opening.

A path says nothing that lasts: what it leads to can be swapped between two looks. So a file is opened once, judged by
its descriptor, and hashed and read from that same descriptor.
"""

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


class NotRegular(OSError):
    """The path leads to a folder, a FIFO, a device or a socket: something that may never end, or do things."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file")


class OutsideRoots(OSError):
    """The path leads outside the folders that it must lie in."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "it lies outside the folders that it must be in")


@dataclass(frozen=True, slots=True)
class DataRoots:
    """The folders that named files must lie in. paths: resolved; empty for anywhere."""

    paths: tuple[Path, ...] = ()

    @classmethod
    def of(cls, folders: Sequence[Path]) -> "DataRoots":
        """Roots from folders that may be relative or links."""
        return cls(tuple(folder.resolve() for folder in folders))

    def open(self, path: Path) -> BinaryIO:
        """Open a regular file for reading. The caller closes it.

        Raises NotRegular, OutsideRoots, or the OSError of the system; ValueError for NUL in the path.
        """
        # O_PATH opens nothing: a FIFO does not wait for a writer, a device does nothing.
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise NotRegular

            same = Path(f"/proc/self/fd/{place}")
            if not self.contain(same.readlink()):
                raise OutsideRoots

            return os.fdopen(os.open(same, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
        finally:
            os.close(place)

    def contain(self, path: Path) -> bool:
        """Does a resolved path lie below one of the roots?"""
        return not self.paths or any(path.is_relative_to(root) for root in self.paths)


ANYWHERE = DataRoots()
"""For what the person at the keyboard names on their own machine."""


def descriptor_path(file: BinaryIO) -> Path:
    """A path that opens this very file again while `file` is open, for libraries that take nothing but paths."""
    return Path(f"/proc/self/fd/{file.fileno()}")


def version_of(file: BinaryIO) -> tuple[int, int, int]:
    """Size and times of last change of an open file: equal before and after a reading unless it was written to."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
