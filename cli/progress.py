"""Progress on the terminal, one bar a stage."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from service.domain.jobs import Progress, Stage

DISSECTING = {
    Stage.LOAD: "loading networks",
    Stage.PROBE: "showing probe images",
    Stage.SCORE: "scoring layers",
    Stage.STORE: "storing neurons",
}
FITTING = {
    Stage.LOAD: "loading encoders",
    Stage.PROBE: "computing features",
    Stage.SCORE: "fitting heads",
    Stage.STORE: "writing the bundle",
}
TUNING = {
    Stage.PROBE: "drawing phantoms",
    Stage.SCORE: "training on all findings",
    Stage.STORE: "tuning for calcifications",
}
CHECKING = {Stage.PROBE: "checking images"}


class ProgressBars:
    """One bar per stage; a context manager and a `ProgressListener`."""

    def __init__(self, console: Console, words: Mapping[Stage, str] = DISSECTING) -> None:
        self._bars = Bars(
            TextColumn("  {task.description:<25}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )

        self._words = words
        self._tasks: dict[Stage, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, progress: Progress, /) -> None:
        """See `ProgressListener`."""
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(self._words[progress.stage], total=progress.total)
        self._bars.update(self._tasks[progress.stage], completed=progress.done, total=progress.total)
