"""Local copies of objects, for all processes of a user; those that are used no more make room for new ones."""

import os
import stat
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import structlog

from service.errors import ArtifactNotStored, InvalidInput
from service.storage.directory import DirectoryStore

_IN_USE = timedelta(hours=1)
"""A work item fetches all that it needs before it reads it; what was fetched so lately may still be read."""

log = structlog.get_logger()


def shared_folder() -> Path:
    """This user's folder for copies, in the system's temp folder; it outlives the process, killed or not.

    Raises InvalidInput where it cannot be made or somebody else could read it or put files there.
    """
    folder = Path(tempfile.gettempdir()) / f"mammodissect-artifacts-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
        private = own and not status.st_mode & 0o077
    except OSError:
        private = False

    if not private:
        raise InvalidInput(
            "Other users can access the folder for local copies of artifacts.",
            field="artifacts_url",
            value=folder,
            remedy="Remove it, or set TMPDIR to a folder of this user.",
        )

    return folder


class LocalCopies:
    """A folder of verified copies of at most `limit_bytes`, or of as much as has been used within the last hour."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._files = DirectoryStore(folder)
        self._limit_bytes = limit_bytes

    def fetch(self, key: str, sha256: str) -> Path:
        """The copy, which counts as used now. Raises ArtifactLost where there is none with that digest."""
        path = self._files.fetch(key, sha256)
        # Explicitly, as most file systems do not note reads; the modification time tells that the content is the same.
        with suppress(FileNotFoundError):
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return path

    def keep(self, key: str, data: bytes, sha256: str) -> Path:
        """Make room, and store a copy. Raises ArtifactNotStored where the disk has no room for it."""
        self._make_room(len(data))
        try:
            self._files.write(key, data)
        except ArtifactNotStored as error:
            raise ArtifactNotStored(
                error.detail, remedy=f"Make room for local copies in {tempfile.gettempdir()}, or set TMPDIR."
            ) from error

        return self.fetch(key, sha256)

    def delete(self, key: str) -> None:
        """Remove the copy, if there is one."""
        self._files.delete(key)

    def sweep(self, older_than: timedelta) -> None:
        """Remove half-written copies that old."""
        self._files.sweep(older_than)

    def _make_room(self, size: int) -> None:
        copies = sorted(self._uses())
        held = size + sum(copy_size for _, copy_size, _ in copies)
        lately = time.time_ns() - _IN_USE // timedelta(microseconds=1) * 1_000

        for used, copy_size, key in copies:
            if held <= self._limit_bytes:
                return
            if used > lately:
                log.warning("local copies in use exceed their limit", bytes=held, limit=self._limit_bytes)
                return

            self._files.delete(key)
            held -= copy_size

    def _uses(self) -> list[tuple[int, int, str]]:
        """Last use, size and key of each copy."""
        uses = []
        for key, _ in self._files.listing():
            # Another process may have made room with it.
            with suppress(FileNotFoundError):
                status = self._files.path(key).stat()
                uses.append((status.st_atime_ns, status.st_size, key))

        return uses
