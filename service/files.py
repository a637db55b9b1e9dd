"""Opening files that callers name: regular files only, below the data roots when they are opened. Writing files whole.

A path says nothing that lasts: what it leads to can be swapped between two looks. So a file is opened once, judged by
its descriptor, and hashed and read from that same descriptor.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import uuid4

from service.config import Settings
from service.errors import FileOutOfReach, InvalidInput

_GB = 1 << 30


class NotRegular(OSError):
    """The path leads to a folder, a FIFO, a device or a socket: something that may never end, or do things."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a regular file")


class WrittenMeanwhile(OSError):
    """The file was written to while it was read, so what was read is the content of no moment."""

    def __init__(self) -> None:
        super().__init__(errno.EBUSY, "it changed while it was being read")


class TooLarge(OSError):
    """The file has more bytes than anything of its kind needs."""

    def __init__(self, most: int) -> None:
        super().__init__(errno.EFBIG, f"it is larger than {most:,} bytes")


class TooLargeForService(TooLarge):
    """The file, or a folder's files together, have more bytes than MAX_FILE_GB allows."""

    def __init__(self, size: int, most: int) -> None:
        super().__init__(most)
        self.strerror = f"it has {size / _GB:,.1f} GB, and MAX_FILE_GB allows {most / _GB:,.1f}"


class OutsideRoots(OSError):
    """The path leads outside the folders that it must lie in."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "it is outside the folders that are allowed")


_OF_THE_FILE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EACCES,
        errno.EPERM,
        errno.EINVAL,
        errno.EFBIG,
        errno.E2BIG,
    }
)


def is_lasting(error: OSError) -> bool:
    """Is it the path or its file that is wrong? Anything else is trouble of the disk or the machine, which may pass.

    Libraries raise OSError for a damaged file, too, without a number of the system.
    """
    return error.errno is None or error.errno in _OF_THE_FILE


@dataclass(frozen=True, slots=True)
class DataRoots:
    """The folders that named files must lie in."""

    paths: tuple[Path, ...] = ()
    """Resolved paths of the folders; empty for anywhere."""

    most: int | None = None
    """How many bytes any file may have; None for any number."""

    @classmethod
    def of(cls, folders: Sequence[Path], *, most: int | None = None) -> "DataRoots":
        """Roots from folders that may be relative or links."""
        return cls(tuple(folder.resolve() for folder in folders), most)

    def open(self, path: Path, *, most: int | None = None) -> BinaryIO:
        """Open a regular file for reading. The caller closes it.

        most: how many bytes it may have, besides those that any file may; one with holes has as many as it claims.
        Raises NotRegular, OutsideRoots, TooLarge, or the OSError of the system; ValueError for NUL in the path.
        """
        place = self._place(path)
        try:
            size = os.fstat(place).st_size
            if most is not None and size > most:
                raise TooLarge(most)
            self.check_size(size)

            same_file = f"/proc/self/fd/{place}"
            descriptor = os.open(same_file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return os.fdopen(descriptor, "rb")
        finally:
            os.close(place)

    def check_size(self, size: int) -> None:
        """Raise TooLargeForService for more bytes than a file, or a folder's files together, may have."""
        if self.most is not None and size > self.most:
            raise TooLargeForService(size, self.most)

    def look(self, path: Path) -> os.stat_result:
        """The status of a regular file, which is not opened for reading. Raises what `open` raises."""
        place = self._place(path)
        try:
            return os.fstat(place)
        finally:
            os.close(place)

    def read(self, path: Path, *, most: int) -> bytes:
        """The content of a small regular file. Raises TooLarge for more than `most` bytes, and what `open` raises."""
        with self.open(path) as file:
            content = file.read(most + 1)

        if len(content) > most:
            raise TooLarge(most)
        return content

    def _place(self, path: Path) -> int:
        """A descriptor of the regular file that the path leads to. The caller closes it."""
        try:
            # O_PATH opens nothing: a FIFO does not wait for a writer, a device does nothing.
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            # Whether something is there is nobody's business outside the roots.
            if self._leads_out(path):
                raise OutsideRoots from None
            raise

        try:
            # As text: a million rows of a manifest name a million paths.
            if self.paths and not self._contain(os.readlink(f"/proc/self/fd/{place}")):  # noqa: PTH115
                raise OutsideRoots
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise NotRegular
        except OSError:
            os.close(place)
            raise
        return place

    def _leads_out(self, path: Path) -> bool:
        try:
            return not self.contain(path.resolve())
        except (OSError, RuntimeError):  # links in a circle lead nowhere
            return False

    def contain(self, path: Path) -> bool:
        """Does a resolved path lie below one of the roots?"""
        return not self.paths or self._contain(str(path))

    def _contain(self, path: str) -> bool:
        return any(path == str(root) or path.startswith(os.path.join(root, "")) for root in self.paths)  # noqa: PTH118


ANYWHERE = DataRoots()
"""For what the person at the keyboard names on their own machine."""


def data_roots(settings: Settings) -> DataRoots:
    """The folders of DATA_ROOTS, with the limit of MAX_FILE_GB.

    Raises InvalidInput where the setting is empty or has a path that is not absolute.
    """
    folders = [folder.strip() for folder in settings.data_roots.split(":") if folder.strip()]
    if not folders:
        raise InvalidInput(
            "DATA_ROOTS is not set.",
            field="data_roots",
            remedy="Name the folders that checkpoints, dissectors, manifests and images are in, separated by colons; "
            "`DATA_ROOTS=/` allows every file that this process may read.",
        )

    for folder in folders:
        if not Path(folder).is_absolute():
            raise InvalidInput(
                f"DATA_ROOTS names '{folder}', which is not an absolute path.",
                field="data_roots",
                value=folder,
                remedy="Start every folder with a slash.",
            )
    return DataRoots.of([Path(folder) for folder in folders], most=settings.max_file_gb * _GB)


def remedy_for(error: Exception, otherwise: str) -> str:
    """What helps where a file cannot be read: `otherwise`, unless a setting forbids it."""
    if isinstance(error, TooLargeForService):
        return "Name the right file or folder, or ask an administrator to raise MAX_FILE_GB."
    return otherwise


def out_of_reach(what: str, error: OSError, *, field: str, value: object = None) -> FileOutOfReach:
    """What to raise where not the file is to blame, but the disk, the machine or who writes to it.

    what: the file as it reads in a sentence, for example `weights file`.
    """
    remedy = "Check the disk that it is on, and this machine's memory and limits on open files; then try again."
    if isinstance(error, WrittenMeanwhile):
        remedy = "Leave it alone while it is read, and try again."
    return FileOutOfReach(f"The {what} cannot be read now: {error.strerror}.", field=field, value=value, remedy=remedy)


class FileVersion(NamedTuple):
    """Which file it is, and when it was last changed: equal for two openings of the same content."""

    device: int
    inode: int
    size: int

    written_ns: int
    """When the file's content was last written."""

    changed_ns: int
    """When the file was last written, linked, renamed or the like."""

    @classmethod
    def of(cls, file: BinaryIO) -> "FileVersion":
        """That of an open file, now."""
        status = os.fstat(file.fileno())
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def content(self) -> tuple[int, int]:
        """Equal before and after a reading unless the file was written to; another link to it changes nothing."""
        return self.size, self.written_ns


@contextmanager
def written_whole(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """A new file beside `path`, to be written in the block. After it, the file takes the place of `path`.

    Where the block fails, nothing is left of it, and `path` is what it was. mode: the file's rights from its first byte
    on, where they are not those of any new file. Raises the OSError of the system.
    """
    unfinished = path.parent / f".unfinished-{uuid4().hex}"
    try:
        if mode is not None:
            os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
