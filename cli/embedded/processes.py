"""Child processes that end with this process, however it ends."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

_SHIM = Path(__file__).with_name("child.py")


class _Spawner:
    """One thread that makes all children of this process.

    A child is told of the death of the *thread* that made it, so that thread has to live as long as the process.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._orders: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._orders = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="spawner", daemon=True).start()

    def spawn(self, make: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Run `make` in the thread and return what it returns or raise what it raises."""
        made: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((make, made))
        return made.result()

    def _serve(self) -> None:
        while True:
            make, made = self._orders.get()
            try:
                made.set_result(make())
            except Exception as error:
                made.set_exception(error)


_spawner: _Spawner | None = None
_spawner_lock = threading.Lock()


def _the_spawner() -> _Spawner:
    global _spawner  # noqa: PLW0603 - one thread per process is what the class is for
    with _spawner_lock:
        if _spawner is None or _spawner.pid != os.getpid():  # a fork copies the object but not its thread
            _spawner = _Spawner()
        return _spawner


def command_as(program: Sequence[str | Path], *options: str) -> list[str]:
    """The command line that runs `program` through the shim `child.py` with the shim's `options`."""
    return [sys.executable, "-I", "-S", str(_SHIM), *options, "--", *map(str, program)]


class Child:
    """A running program in a session of its own that gets `death_signal` when this process dies, even by SIGKILL."""

    def __init__(
        self,
        program: Sequence[str | Path],
        *,
        log: Path,
        death_signal: signal.Signals = signal.SIGTERM,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `program`; its output is appended to `log`. `options` go to the shim (see `child.py`)."""
        self.log = log
        command = command_as(program, f"--parent={os.getpid()}", f"--signal={int(death_signal)}", *options)

        def make() -> subprocess.Popen[bytes]:
            with open(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as output:  # noqa: PTH123
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=None if environment is None else dict(environment),
                    start_new_session=True,  # Ctrl-C in a terminal is for us; we stop the children in order
                )

        self._process = _the_spawner().spawn(make)

    @property
    def pid(self) -> int:
        """Its process id; the same before and after the shim has become the program."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs, then its exit status (negative: the signal that ended it)."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for its end; None when it still runs after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, steps: Sequence[tuple[signal.Signals, float]]) -> int:
        """Send one signal after another, each with its patience in seconds, then SIGKILL to its whole session."""
        for number, patience_s in steps:
            self.send(number)
            if self.wait(patience_s) is not None:
                break
        return self.kill_session()

    def kill_session(self) -> int:
        """SIGKILL to the process if it still runs and to whatever it left in its session; its exit status."""
        with suppress(ProcessLookupError):  # nobody is left in the session
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()

    def log_tail(self, lines: int = 8) -> str:
        """The last lines of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])
