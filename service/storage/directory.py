"""Artifacts as files of a folder, `ab/abcd...`; written under a temporary name, synced, renamed."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.domain.digests import digest_of_file
from service.errors import ArtifactLost, ArtifactNotStored, InvalidInput

_KEY = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = ".writing-"

Fingerprint = tuple[int, int, int]
"""What changes when a file is written again: inode, size, and modification time in nanoseconds."""


def is_key(name: str) -> bool:
    """Whether a name is a content key: a lower-case hexadecimal SHA-256."""
    return _KEY.fullmatch(name) is not None


def check_key(key: str) -> str:
    """The key itself. Raises ValueError for anything but a digest, so that no key leads out of the store."""
    if not is_key(key):
        raise ValueError(f"{key!r} is not a content key")
    return key


class DirectoryStore:
    """See `ArtifactStore`. Several processes on several machines may share the folder."""

    def __init__(self, root: Path) -> None:
        """Makes the folder, for its owner alone, where there is none. Raises InvalidInput where that cannot be."""
        self._root = root
        self._verified: dict[str, tuple[str, Fingerprint]] = {}
        self._synced: set[int] = set()

        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(
                f"The artifact folder cannot be created: {error.strerror}.",
                field="artifacts_url",
                value=root,
                remedy="Create it, or name another one.",
            ) from error

    def write(self, key: str, data: bytes) -> None:
        """See `ArtifactStore.write`."""
        path = self.path(key)
        try:
            self._make_folder(path.parent)
            self._write_aside(path, data)
            _sync_directory(path.parent)
        except OSError as error:
            raise ArtifactNotStored(
                f"An artifact of {len(data)} bytes cannot be written: {error.strerror}.",
                remedy="Make room on the disk of ARTIFACTS_URL; `mammodissect admin gc` deletes what no job needs.",
            ) from error

    def fetch(self, key: str, sha256: str) -> Path:
        """See `ArtifactStore.fetch`. A file that has not changed since it was verified is not read again."""
        path = self.path(key)
        try:
            fingerprint = _fingerprint(path)
            if self._verified.get(key) == (sha256, fingerprint):
                return path
            actual = digest_of_file(path)
        except OSError as error:
            raise ArtifactLost(f"The artifact {key} cannot be read: {error.strerror}.") from error

        if actual != sha256:
            self._remove_damaged(path, fingerprint)
            raise ArtifactLost(f"The artifact {key} is damaged: its SHA-256 is {actual} instead of {sha256}.")

        self._verified[key] = (sha256, fingerprint)
        return path

    def delete(self, key: str) -> None:
        """See `ArtifactStore.delete`."""
        self._verified.pop(key, None)
        self.path(key).unlink(missing_ok=True)

    def listing(self) -> Iterator[tuple[str, datetime]]:
        """See `ArtifactStore.listing`."""
        for path in self._root.glob("??/*"):
            if is_key(path.name) and path == self.path(path.name):
                try:
                    yield path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC)
                except FileNotFoundError:
                    continue

    def sweep(self, older_than: timedelta) -> None:
        """See `ArtifactStore.sweep`."""
        before = (datetime.now(UTC) - older_than).timestamp()
        for path in self._root.glob(f"??/{_TEMPORARY}*"):
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
            except FileNotFoundError:
                continue

    def path(self, key: str) -> Path:
        """Where the artifact of that key lies, or would lie."""
        return self._root / check_key(key)[:2] / key

    def _make_folder(self, folder: Path) -> None:
        """A new folder's own name is synced too, or a power cut could take the folder with all that is in it.

        Once per folder and store object even where it is there: whoever made it may have been killed before the sync.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        identity = folder.stat().st_ino
        if identity not in self._synced:
            _sync_directory(self._root)
            self._synced.add(identity)

    def _remove_damaged(self, path: Path, fingerprint: Fingerprint) -> None:
        """Unless somebody has replaced it since it was read. What cannot be removed is replaced by the next write."""
        self._verified.pop(path.name, None)
        with suppress(OSError):
            if _fingerprint(path) == fingerprint:
                path.unlink()

    def _write_aside(self, path: Path, data: bytes) -> None:
        number, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _fingerprint(path: Path) -> Fingerprint:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _sync_directory(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
