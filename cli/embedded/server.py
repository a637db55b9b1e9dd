"""What the embedded servers have in common: a locked private folder, a socket folder, one child process."""

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.embedded.processes import Child
from cli.embedded.state_dir import DirectoryLock, SocketDirectory, private_directory, rotate
from service.errors import Unavailable


class EmbeddedServer(ABC):
    """A server on a private socket that keeps its data in `data_dir` and ends with this process.

    Use it as a context manager, or call `start` and `stop`. Not for use from several threads at once.
    """

    name: str

    def __init__(self, data_dir: Path, *, log: Path | None = None) -> None:
        self.data_dir = data_dir.absolute()
        self.log = self.data_dir / f"{self.name}.log" if log is None else log.absolute()
        self._lock: DirectoryLock | None = None
        self._sockets: SocketDirectory | None = None
        self._child: Child | None = None

    def start(self) -> None:
        """Start and wait until it answers, however long recovery takes.

        Raises Conflict when the folder is in use, InvalidInput when it cannot be used, Unavailable when the server
        ends instead of answering.
        """
        private_directory(self.data_dir)
        self._lock = DirectoryLock(self.data_dir)
        try:
            rotate(self.log)
            self._clear_remains()
            self._prepare()
            self._sockets = SocketDirectory(self.data_dir)
            self._launch_and_wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop cleanly and let go of the folder. Does nothing when it is stopped already."""
        if self._child is not None:
            self._end(self._child)
            self._child = None

        if self._sockets is not None:
            self._sockets.remove()
            self._sockets = None

        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def restart(self) -> None:
        """Start again on the same sockets, after `alive` has become false. Raises like `start`."""
        if self._child is not None:
            self._end(self._child)
        self._clear_remains()
        self._launch_and_wait()

    @property
    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._child is not None and self._child.returncode is None

    @property
    def pid(self) -> int:
        """Process id of the running server. Raises Unavailable when it is stopped."""
        if self._child is None:
            raise Unavailable(f"{self.name} is stopped.")
        return self._child.pid

    @property
    def socket_dir(self) -> Path:
        """The private folder of its sockets. Raises Unavailable when it is stopped."""
        if self._sockets is None:
            raise Unavailable(f"{self.name} is stopped.")
        return self._sockets.path

    def _launch_and_wait(self) -> None:
        self._child = self._launch()
        while not self._answers():
            if self._child.wait(0.02) is not None:
                raise Unavailable(
                    f"{self.name} ended with status {self._child.returncode} instead of starting:\n"
                    f"{self._child.log_tail()}",
                    remedy=f"Its log is {self.log}.",
                )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    @abstractmethod
    def _clear_remains(self) -> None:
        """Wait for processes of an earlier run and remove the files of dead ones. We hold the lock."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data where there is none."""

    @abstractmethod
    def _launch(self) -> Child:
        """Start the process."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the process serves now."""

    @abstractmethod
    def _end(self, child: Child) -> None:
        """Stop the process cleanly."""
