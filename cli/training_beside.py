"""Training of the phantom targets in a process of its own, beside other work that goes first."""

import os
import signal
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console

from cli.client import ServiceError
from cli.progress import TUNING, ProgressBars
from service.domain.jobs import Progress
from service.errors import DissectError

if TYPE_CHECKING:  # it stands on torch, which other commands do without
    from service.studies.phantom_targets import PhantomTargets

_NICENESS = 15
_AUTOGROUP = Path("/proc/self/autogroup")
"""Linux shares the processor between sessions before it looks at niceness within one; sched(7)."""

_LOOK_EVERY_S = 0.5

Message = Progress | DissectError
"""How far the training is, or why it could not go on."""


class TrainingBeside:
    """Trains both phantom targets from the start of a block; whoever leaves the block earlier ends the training."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        """checkpoint: EfficientNet-Lite0's ImageNet weights. folder: gets the weights; what it has already stays."""
        context = get_context("spawn")
        self._folder = folder.resolve()
        self._messages: Queue[Message] = context.Queue()
        self._process = context.Process(target=_train, args=(checkpoint, self._folder, self._messages))

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.is_alive() and self._process.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)  # it draws phantoms in processes of its own
            self._process.terminate()  # before it has a group of its own
        self._process.join()

    def finish(self, console: Console) -> "PhantomTargets":
        """Wait for the end of the training, with its progress on the terminal, and return the weights' paths.

        Raises DissectError where the training did, and ServiceError where its process died.
        """
        from service.studies.phantom_targets import targets_in

        with ProgressBars(console, TUNING) as bars:
            while self._process.is_alive() or not self._messages.empty():
                with suppress(Empty):
                    message = self._messages.get(timeout=_LOOK_EVERY_S)
                    if isinstance(message, DissectError):
                        raise message
                    bars(message)

        self._process.join()
        if self._process.exitcode != 0:
            raise ServiceError(
                f"The process that trained the networks ended with status {self._process.exitcode}.",
                remedy="See what it printed above; start the demo again with more memory free.",
            )
        return targets_in(self._folder)


def _train(checkpoint: Path, folder: Path, messages: "Queue[Message]") -> None:
    os.setsid()
    os.nice(_NICENESS)
    with suppress(OSError):  # a kernel without groups
        _AUTOGROUP.write_text(str(_NICENESS))

    from service.studies.phantom_targets import fit_phantom_targets

    try:
        fit_phantom_targets(checkpoint, folder, messages.put)
    except DissectError as error:
        messages.put(error)
