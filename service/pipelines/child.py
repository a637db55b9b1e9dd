"""The computing child: `python -m service.pipelines.child FD`, one to a worker, alive between work items.

It is a fresh process (CUDA and fork do not mix) that the host can kill at any time: it changes no job. It dies with its
host, whose end of the connection then closes. SIGTERM and SIGINT are the host's alone, which then gives the item time.
"""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from queue import SimpleQueue

import structlog

from service.config import Settings
from service.errors import (
    ArtifactLost,
    ArtifactNotStored,
    DissectError,
    InvalidInput,
    JobCancelled,
    ProblemFields,
    Unavailable,
)
from service.files import is_lasting
from service.logs import configure_logging
from service.memory import is_out_of_memory
from service.pipelines import messages
from service.pipelines.confinement import limit_resources
from service.ports import ItemRunner
from service.process_memory import hide_process_memory

log = structlog.get_logger()

_CRASHED: ProblemFields = {
    "code": DissectError.code,
    "title": DissectError.title,
    "detail": "The job failed with an unexpected error; the worker's log has the details.",
}
_OUT_OF_MEMORY: ProblemFields = {
    "code": "out-of-memory",
    "title": "Out of memory",
    "detail": "The worker's device ran out of memory.",
    "remedy": "Lower the job's batch_size, or run it on a machine with more memory.",
}
_VANISHED: ProblemFields = {
    "code": ArtifactLost.code,
    "title": ArtifactLost.title,
    "detail": "A file disappeared before it could be read; the worker's log has the details.",
}
_PASSING = (ArtifactLost, ArtifactNotStored, Unavailable)


def open_runner(path: str, settings: Settings) -> ItemRunner:
    """Build the runner that `module:function` names."""
    module, _, function = path.partition(":")
    runner: ItemRunner = getattr(import_module(module), function)(settings)
    return runner


def answer(runner: ItemRunner, request: messages.Run, report_progress: Callable[[int], None]) -> messages.Answer:
    """Do what is asked; whatever error that meets becomes part of the answer."""
    try:
        return messages.Finished(runner.run(request.lease, report_progress))
    except JobCancelled as error:
        return messages.Failed(error.as_problem(), lasting=False, cancelled=True)
    except DissectError as error:
        return messages.Failed(error.as_problem(), lasting=not isinstance(error, _PASSING))
    except FileNotFoundError as error:  # a local copy that another process made room with, in the first place
        log.warning("a file disappeared", exc_info=error)
        return messages.Failed(_VANISHED, lasting=False)
    except Exception as error:  # whatever it is, the host must hear of it
        return _unforeseen(error)


def encode_checked(message: messages.ItemProgress | messages.Answer) -> bytes:
    """The bytes to send; of an unforeseen error where the host would refuse the message, as it would each time."""
    try:
        content = messages.encode(message)
        messages.decode(content)
    except (TypeError, ValueError, RecursionError, InvalidInput) as error:  # not JSON, or not within its bounds
        return messages.encode(_unforeseen(error))
    return content


class Child:
    """Serves requests from the connection until it closes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._requests: SimpleQueue[messages.Run] = SimpleQueue()
        self._cancelled = threading.Event()

    def serve(self, open_: Callable[[], ItemRunner]) -> None:
        """Answer requests one after another; the runner is opened with the first."""
        threading.Thread(target=self._listen, daemon=True, name="listen").start()

        runner: ItemRunner | None = None
        while True:
            request = self._requests.get()
            self._cancelled.clear()

            try:
                runner = open_() if runner is None else runner
            except DissectError as error:  # a setting of this worker is wrong, not the job
                self._send(messages.Failed(error.as_problem(), lasting=False))
                continue

            self._send(answer(runner, request, self._report_progress))

    def _report_progress(self, done: int) -> None:
        if self._cancelled.is_set():
            raise JobCancelled("The host asked to stop.")
        self._send(messages.ItemProgress(done))

    def _send(self, message: messages.ItemProgress | messages.Answer) -> None:
        self._connection.send_bytes(encode_checked(message))

    def _listen(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, messages.Cancel):
                    self._cancelled.set()
                else:
                    self._requests.put(message)
        except (EOFError, OSError):
            os._exit(1)  # the host is gone; whatever the main thread is in, nobody waits for it


def _unforeseen(error: Exception) -> messages.Failed:
    log.error("work item crashed", exc_info=error)
    if is_out_of_memory(error):
        return messages.Failed(_OUT_OF_MEMORY, lasting=False)
    if isinstance(error, OSError) and not is_lasting(error):
        return messages.Failed(_machine_trouble(error), lasting=False)
    return messages.Failed(_CRASHED, lasting=True)


def _machine_trouble(error: OSError) -> ProblemFields:
    reason = os.strerror(error.errno or errno.EIO)  # the error's own words may name a file
    return {
        "code": "machine-trouble",
        "title": "Trouble of the machine",
        "detail": f"The worker's machine failed: {reason}. The worker's log has the details.",
        "remedy": "Check the disks and the limits of the worker's machine.",
    }


def main() -> None:
    """Take settings and the runner's name from the connection, then serve. Raises OSError."""
    hide_process_memory()
    for signal_number in (signal.SIGTERM, signal.SIGINT):  # Ctrl-C and systemd send them to the host's whole group
        signal.signal(signal_number, signal.SIG_IGN)

    connection = Connection(int(sys.argv[1]))
    settings, runner_path = connection.recv()
    configure_logging(settings.log_level)
    limit_resources(settings)

    Child(connection).serve(lambda: open_runner(runner_path, settings))


if __name__ == "__main__":
    main()
