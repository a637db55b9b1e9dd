"""Private folders: mode 0700, one user at a time, and socket folders that the kernel and every URL can take."""

import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path
from types import TracebackType

import psutil

from service.errors import Conflict, InvalidInput, Unavailable
from service.files import written_whole
from service.key_files import read_key

_LONGEST_SOCKET_PATH = 100
"""Bytes. The kernel takes 107; Postgres makes a lock file beside the socket, and some room does not hurt."""
_LONGEST_SOCKET_NAME = "/.s.PGSQL.5432"
_LOG_LIMIT = 10 * 2**20


def private_directory(path: Path) -> Path:
    """Make `path` with mode 0700 (an existing one is closed to others). Raises InvalidInput where that fails."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise InvalidInput(
            f"The folder {path} cannot be used: {error.strerror}.",
            field="data_dir",
            value=path,
            remedy="Choose another one with --data-dir.",
        ) from error

    return path


def kept_secret(file: Path, *, field: str, remedy: str) -> str:
    """The secret word in `file`, which is made with a new one, for its owner only, where there is none.

    Raises InvalidInput, with this field and remedy, where the file holds anything but one line of ASCII.
    """
    if not file.exists():
        write_private(file, secrets.token_urlsafe(32) + "\n")
    file.chmod(0o600)

    return read_key(file, field=field, remedy=remedy)


def write_private(file: Path, content: str) -> None:
    """Write a file whole or not at all, with mode 0600 from the beginning."""
    with written_whole(file, mode=0o600) as unfinished:
        unfinished.write_text(content)


class DirectoryLock:
    """Holds a folder for this process; the kernel lets go when the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take the lock. Raises Conflict when another process, or another object of this one, holds it."""
        self._file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(self._file, 32).decode(errors="replace").strip()
            os.close(self._file)
            raise Conflict(
                f"The folder {directory} is in use by process {owner or 'unknown'}.",
                field="data_dir",
                value=directory,
                remedy="Stop that process or choose another folder with --data-dir.",
            ) from error

        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._file)

    def __enter__(self) -> "DirectoryLock":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()


class SocketDirectory:
    """`directory/run`: a folder for sockets, or a link to one among temp files where the path is too long or odd.

    Odd is what needs quoting in a URL; and libpq takes a comma for the end of a host.
    """

    def __init__(self, directory: Path) -> None:
        """Make it. The caller holds the lock of `directory`. Raises InvalidInput where no short folder can be had."""
        self._directory = directory
        self._link = directory / "run"
        self.remove()

        if _fits(str(self._link)):
            self._link.mkdir(mode=0o700)
            self.path = self._link
            return

        for place in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108 - mkdtemp makes a private folder in it
            if _fits(f"{place}/mammodissect-12345678"):
                self.path = Path(tempfile.mkdtemp(prefix="mammodissect-", dir=place))
                self._link.symlink_to(self.path)
                return

        raise InvalidInput(
            "The path is too long for a socket.",
            field="data_dir",
            value=directory,
            remedy="Choose a shorter one with --data-dir, of plain letters, digits, dots, dashes and underscores.",
        )

    def remove(self) -> None:
        """Remove the folder, and the one in the temp folder that a killed process left."""
        if self._link.is_symlink():
            target = self._link.readlink()

            # A stranger may have made a folder of that name since; his folder is not ours to remove.
            ours = {os.geteuid(), self._directory.stat().st_uid}
            if target.is_dir() and not target.is_symlink() and target.stat().st_uid in ours:
                shutil.rmtree(target)

            self._link.unlink()
        elif self._link.exists():
            shutil.rmtree(self._link)


def _fits(directory: str) -> bool:
    short = len(directory) + len(_LONGEST_SOCKET_NAME) <= _LONGEST_SOCKET_PATH
    return short and re.fullmatch(r"[A-Za-z0-9._/-]+", directory) is not None


def wait_for_leftovers(program: str, directory: Path, patience_s: float = 60.0) -> None:
    """Wait until no process called `program` works in `directory`: servers need a moment after their parent died.

    Raises Unavailable, naming the processes, when they do not end.
    """
    deadline = time.monotonic() + patience_s
    while pids := _working_in(program, directory):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{program} (process {', '.join(map(str, pids))}) of an earlier run is still using {directory}.",
                remedy="End it with `kill`, then start again.",
            )
        time.sleep(0.05)


def _working_in(program: str, directory: Path) -> list[int]:
    pids = []
    for process in psutil.process_iter():
        try:
            if process.name() == program and process.cwd() == str(directory):
                pids.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue

    return pids


def rotate(log: Path, limit: int = _LOG_LIMIT) -> None:
    """Keep a log below about twice `limit` bytes: copy it to `NAME.1` and empty it, so that its writer goes on."""
    if log.exists() and log.stat().st_size > limit:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)
