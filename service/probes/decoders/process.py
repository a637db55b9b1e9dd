"""One decoder process, seen from outside: start it, ask it, find out what it died of."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import service
from service.domain.probes import FrameOfImage
from service.probes.decoders.limits import Limits
from service.probes.decoders.wire import (
    Answer,
    OutOfMemory,
    Question,
    SenselessAnswer,
    receive_answer,
    receive_ready,
    send_question,
)

_CODE = Path(service.__file__).resolve().parents[1]
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
_DYING_S = 5.0


class DecoderLost(Exception):
    """The process gave no answer and has ended.

    reason: goes on after "cannot be read: ".
    by_chance: another try may end otherwise; a limit would only be reached again.
    inherited: earlier files of the same process may have brought it about.
    killed: from outside, which the machine does that has no memory left.
    """

    def __init__(self, reason: str, *, by_chance: bool, inherited: bool = False, killed: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.by_chance = by_chance
        self.inherited = inherited
        self.killed = killed


class DecoderProcess:
    """`python -m service.probes.decoders.child`, alive between images, for one image at a time.

    It inherits nothing but its end of a socket: no secrets from the environment, no open files. What decoders print may
    quote the file, so nobody sees it.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        own_end, child_end = socket.socketpair()
        with child_end:
            command = [sys.executable, "-P", "-m", "service.probes.decoders.child", str(child_end.fileno())]
            figures = [str(limits.memory), str(limits.computing_s), str(limits.waiting_s)]
            self._process = subprocess.Popen(
                [*command, *figures],
                pass_fds=[child_end.fileno()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

        self._connection = own_end
        self._has_started = False
        self.asked = 0
        """How many questions it has been asked."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, question: Question, file: BinaryIO, frame: FrameOfImage | None = None) -> Answer:
        """Ask about an open file and wait for the answer.

        Raises CannotDecode when the file is refused; CannotRead when its disk fails, and OSError when the machine does;
        DecoderLost, after which the process is gone.
        """
        try:
            send_question(self._connection, question, file, frame)
            self.asked += 1
            self._await_start()
            with_display = question is Question.DISPLAYED_IMAGE
            return receive_answer(self._connection, self._limits.waiting_s, with_display=with_display)
        except TimeoutError:
            self.kill()
            raise DecoderLost(f"it takes longer than {self._limits.waiting_s} seconds", by_chance=False) from None
        except OutOfMemory:
            self.kill()
            raise DecoderLost(self._too_much_memory(), by_chance=False, inherited=True) from None
        except SenselessAnswer:
            self.kill()
            raise DecoderLost("the decoder's answer is invalid", by_chance=False, inherited=True) from None
        except (EOFError, ConnectionError):
            raise self._cause_of_end() from None

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _await_start(self) -> None:
        if not self._has_started:
            receive_ready(self._connection, self._limits.waiting_s)
            self._has_started = True

    def _cause_of_end(self) -> DecoderLost | OSError:
        status = self._wait_for_end()
        self.kill()

        if not self._has_started and status != -signal.SIGKILL:
            return OSError(errno.ENOEXEC, "no decoder process starts; is the installation complete?")
        if status == -signal.SIGXCPU:
            reason = f"it takes longer than {self._limits.computing_s} seconds of computing"
            return DecoderLost(reason, by_chance=False)
        if status == -signal.SIGALRM:
            return DecoderLost(f"it takes longer than {self._limits.waiting_s} seconds", by_chance=False)
        if status == -signal.SIGKILL:
            return DecoderLost("the decoder was killed, most likely for want of memory", by_chance=True, killed=True)
        return DecoderLost("the decoder crashed", by_chance=True)

    def _wait_for_end(self) -> int | None:
        end = time.monotonic() + _DYING_S
        while time.monotonic() < end:
            status = self._process.poll()
            if status is not None:
                return status
            time.sleep(0.005)
        return None

    def _too_much_memory(self) -> str:
        return f"the decoder takes more memory than allowed ({self._limits.memory >> 20} MB)"


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return kept | one_thread | {"PYTHONPATH": str(_CODE), "PYTHONDONTWRITEBYTECODE": "1"}
