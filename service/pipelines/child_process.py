"""The host's side of the computing child: start it, ask it, watch its time and memory, kill it."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Pipe

import psutil
import structlog

from service.config import Settings
from service.domain.pictures import PictureStage
from service.domain.work import Preparation
from service.errors import InvalidInput, ProblemFields
from service.pipelines import messages
from service.pipelines.confinement import child_environment, child_settings, memory_limit
from service.usecases.accidents import MEMORY_LIMIT, TIME_LIMIT

log = structlog.get_logger()

DISSECTION = "service.pipelines.items:open_runner"
"""The runner of real dissections."""

_BRIEF = (Preparation.INSPECT, PictureStage.DRAW)
"""Stages that take moments, unless something is wrong with what they open."""

_POLL_S = 0.05
_MEMORY_EVERY_S = 0.25
_UNWIND_S = 1.0
"""How long a cancelled computation may take to reach the end of its batch before the child is killed."""

_SILENCE_S = 10
"""How long the child may stop in the midst of a message, and how long it may leave one of ours unread."""

_LOST: ProblemFields = {
    "code": "worker-crashed",
    "title": "Computation lost",
    "detail": "The process that computed the item ended without a result.",
}
_UNWANTED: ProblemFields = {
    "code": "cancelled",
    "title": "Cancelled",
    "detail": "The item is no longer wanted.",
}
_TOO_LONG: ProblemFields = {
    "code": TIME_LIMIT,
    "title": "Time limit exceeded",
    "detail": "The item took longer than {setting} allows.",
}
_TOO_LARGE: ProblemFields = {
    "code": MEMORY_LIMIT,
    "title": "Memory limit exceeded",
    "detail": "The item took more memory than MEMORY_LIMIT_MB allows.",
}


class ChildProcess:
    """At most one child, started when it is first needed and again after it has died.

    runner: `module:function` that builds the child's `ItemRunner` from the settings.
    variables: of the environment, on top of those that every child gets.
    limits_inspections: whether INSPECT_TIME_LIMIT_S holds for the inspection of a model and for drawing.
    """

    def __init__(
        self,
        settings: Settings,
        runner: str,
        *,
        variables: Mapping[str, str] | None = None,
        limits_inspections: bool = True,
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._limits_inspections = limits_inspections
        self._environment = child_environment(settings, os.environ) | dict(variables or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._memory_limit = memory_limit(settings)

    @property
    def pid(self) -> int | None:
        """The child's process id, while there is one."""
        return None if self._process is None else self._process.pid

    def ask(
        self, request: messages.Run, *, on_progress: Callable[[int], None], unwanted: Callable[[], bool]
    ) -> messages.Answer:
        """Send a request and wait for its answer; a child that dies or has to be killed is an answer too.

        unwanted: asked about twenty times a second; once it returns true the child is told to stop.
        """
        connection = self._started()
        started_at = memory_checked_at = time.monotonic()
        setting, time_limit = self._time_limit(request)
        cancelled_at: float | None = None

        try:
            connection.send(request)
            while True:
                if connection.poll(_POLL_S):
                    message = messages.decode(connection.recv_bytes(messages.MOST_BYTES))
                    if not isinstance(message, messages.ItemProgress):
                        return message
                    on_progress(message.done)

                now = time.monotonic()
                if cancelled_at is None and unwanted():
                    connection.send(messages.Cancel())
                    cancelled_at = now

                if cancelled_at is not None and now - cancelled_at > _UNWIND_S:
                    return self._killed(messages.Failed(_UNWANTED, lasting=False, cancelled=True))

                if now - started_at > time_limit:
                    problem: ProblemFields = {**_TOO_LONG, "detail": _TOO_LONG["detail"].format(setting=setting)}
                    return self._killed(messages.Failed(problem, lasting=False))

                if now - memory_checked_at > _MEMORY_EVERY_S:
                    memory_checked_at = now
                    if self._memory() > self._memory_limit:
                        return self._killed(messages.Failed(_TOO_LARGE, lasting=False))
        except InvalidInput as error:
            log.error("the computing child's answer is refused", reason=error.detail)
            return self._killed(messages.Failed(_LOST, lasting=False))
        except (EOFError, OSError):
            return self._killed(messages.Failed(_LOST, lasting=False))

    def kill(self) -> None:
        """End the child, whatever it does."""
        if self._process is None or self._connection is None:
            return

        self._process.kill()
        self._process.wait()
        self._connection.close()

        self._process = self._connection = None

    def _killed(self, answer: messages.Failed) -> messages.Failed:
        status = None if self._process is None else self._process.poll()
        log.warning("computing child ended", status=status, problem=answer.problem.get("code"))
        self.kill()
        return answer

    def _time_limit(self, request: messages.Run) -> tuple[str, float]:
        """The setting's name, and its seconds."""
        if self._limits_inspections and request.lease.stage in _BRIEF:
            return "INSPECT_TIME_LIMIT_S", self._settings.inspect_time_limit_s
        return "ITEM_TIME_LIMIT_S", self._settings.item_time_limit_s

    def _memory(self) -> int:
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def _started(self) -> Connection:
        if self._process is not None and self._process.poll() is not None:
            self.kill()

        if self._connection is None:
            host_end, child_end = Pipe()
            _limit_waiting(host_end)

            command = [sys.executable, "-m", "service.pipelines.child", str(child_end.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[child_end.fileno()], stdin=subprocess.DEVNULL, env=self._environment
            )
            child_end.close()

            host_end.send((child_settings(self._settings), self._runner))
            self._connection = host_end

        return self._connection


def _limit_waiting(connection: Connection) -> None:
    """Reading half a message, or writing to somebody who does not read, ends in an OSError instead of never."""
    with socket.socket(fileno=os.dup(connection.fileno())) as connection_socket:
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection_socket.setsockopt(socket.SOL_SOCKET, direction, struct.pack("ll", _SILENCE_S, 0))
