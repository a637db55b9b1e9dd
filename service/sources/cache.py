"""Fetched files in a folder of this machine, under their digests; those that were used last stay.

Several processes may share the folder. A file is written aside, synced and renamed, so it is there in whole or not at
all. Who uses one holds a shared lock on it, and nobody removes what is locked.
"""

import fcntl
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import structlog

from service.config import Settings
from service.domain.digests import digest_of_open_file
from service.errors import InvalidInput

_GB = 1 << 30
_KEY = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".unfinished-"
_BEING_MADE_S = 60.0

log = structlog.get_logger()


class TooMuch(Exception):
    """A source has more bytes than may be fetched."""

    def __init__(self, most: int) -> None:
        super().__init__(f"more than {most:,} bytes")
        self.most = most


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is now in the cache."""

    sha256: str
    size: int


def open_cache(settings: Settings) -> "SourceCache":
    """The cache of SOURCE_CACHE_DIR. Raises InvalidInput where the folder cannot be used."""
    folder = cache_folder(settings)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        is_usable = stat.S_ISDIR(status.st_mode) and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        # In the temp folder anybody may have made it.
        is_safe = bool(settings.source_cache_dir) or (
            folder.lstat().st_uid == os.getuid() and not status.st_mode & 0o077
        )
    except OSError:
        is_usable = is_safe = False

    if not (is_usable and is_safe):
        raise InvalidInput(
            "The folder for fetched files cannot be used: it cannot be written to, or others can.",
            field="source_cache_dir",
            value=folder,
            remedy="Set SOURCE_CACHE_DIR to a folder of the worker's user.",
        )
    return SourceCache(folder, settings.source_cache_gb * _GB)


def cache_folder(settings: Settings) -> Path:
    """Where fetched files are, whether the folder is there or not."""
    if settings.source_cache_dir:
        return Path(settings.source_cache_dir).absolute()
    return Path(tempfile.gettempdir()) / f"mammodissect-sources-{os.getuid()}"


class SourceCache:
    """A folder of at most `limit_bytes`, besides what is in use."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._verified: dict[str, tuple[int, int, int]] = {}

    def path(self, sha256: str) -> Path:
        """Where the file with that digest is, if it is there."""
        if not _KEY.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is no digest")
        return self._folder / sha256

    @contextmanager
    def held(self, sha256: str) -> Iterator[Path | None]:
        """The file with that digest, which nobody removes while the block lasts; None where it is not there.

        Its content is read once by each process: a copy that was damaged is removed.
        """
        path = self.path(sha256)
        file = _opened_and_locked(path)
        if file is None:
            yield None
            return

        with file:
            if not self._is_whole(path, file, sha256):
                yield None
                return

            with suppress(OSError):
                # Not by its path, where a copy may be by now that somebody else is reading.
                os.utime(file.fileno(), ns=(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns))
            yield path

    def keep(self, pieces: Iterable[bytes], *, size: int | None, most: int, sha256: str | None) -> Kept | str:
        """Write the pieces into a file of the cache. The digest alone where it is not the expected one.

        size: how many bytes there will be, if that is known. Raises TooMuch, OSError where the disk is full, and
        whatever the pieces raise; nothing is left then.
        """
        limit = min(most, self._limit_bytes)
        if size is not None and size > limit:
            raise TooMuch(limit)
        self._make_room(size or 0)

        sha = hashlib.sha256()
        written = 0
        unfinished = self._folder / f"{_UNFINISHED}{uuid4().hex}"
        try:
            with unfinished.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                for piece in pieces:
                    written += len(piece)
                    if written > limit:
                        raise TooMuch(limit)
                    sha.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())

                digest = sha.hexdigest()
                if sha256 is not None and digest != sha256:
                    return digest
                if size is None:
                    self._make_room(written)
                unfinished.replace(self.path(digest))
        finally:
            unfinished.unlink(missing_ok=True)

        self._sync_folder()
        return Kept(digest, written)

    def _is_whole(self, path: Path, file: BinaryIO, sha256: str) -> bool:
        status = os.fstat(file.fileno())
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._verified.get(sha256) == seen:
            return True
        if digest_of_open_file(file) != sha256:
            log.warning("a fetched file was damaged and is fetched again", sha256=sha256)
            path.unlink(missing_ok=True)
            return False

        self._verified[sha256] = seen
        return True

    def _make_room(self, size: int) -> None:
        held = size
        files: list[tuple[int, int, Path]] = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if entry.name.startswith(_UNFINISHED):
                    self._remove_abandoned(Path(entry.path), status.st_ctime)
                elif _KEY.fullmatch(entry.name):
                    files.append((status.st_atime_ns, status.st_size, Path(entry.path)))
                    held += status.st_size

        for _, file_size, path in sorted(files):
            if held <= self._limit_bytes:
                return
            if _remove_unlocked(path):
                held -= file_size
        if held > self._limit_bytes:
            log.warning("fetched files in use exceed their limit", bytes=held, limit=self._limit_bytes)

    def _remove_abandoned(self, path: Path, made_at: float) -> None:
        """What a process that was killed has left; what is being written is locked, but for its first moment."""
        if time.time() - made_at > _BEING_MADE_S:
            _remove_unlocked(path)

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _opened_and_locked(path: Path) -> BinaryIO | None:
    """The file, which nobody removes until it is closed; None where there is none."""
    while True:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None

        fcntl.flock(file, fcntl.LOCK_SH)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # between our opening and our lock it was removed, or the same content took its place


def _remove_unlocked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
            return True
    except OSError:
        return False
