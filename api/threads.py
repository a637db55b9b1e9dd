"""Threads that work for requests, and that keep no process from ending."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")
Work = Callable[[], Coroutine[object, None, Result]]

CLOSING_S = 5.0
"""How long threads that are to end are waited for."""


class Threads:
    """Threads, each with an event loop of its own, that take one piece of work after another.

    They are daemons: a process whose work never ends, as with a database that does not answer, ends all the same.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self._count = count
        self._threads: list[threading.Thread] = []
        self._tasks: SimpleQueue[tuple[Work[object], contextvars.Context, Future[Any]] | None] = SimpleQueue()

    def start(self, work: Work[Result]) -> Future[Result]:
        """Have a thread do it. Raises RuntimeError where the system gives no thread; then nothing will be done."""
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            thread.start()
            self._threads.append(thread)

        result: Future[Result] = Future()
        self._tasks.put((work, contextvars.copy_context(), result))
        return result

    def close(self, within_s: float = CLOSING_S) -> None:
        """End the threads once they have done their work; wait so long for all of them together."""
        until = time.monotonic() + within_s
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        with asyncio.Runner() as runner:
            while (task := self._tasks.get()) is not None:
                _do(runner, *task)
                del task  # an idle thread keeps no request in memory, and no answer


def _do(runner: asyncio.Runner, work: Work[object], context: contextvars.Context, result: Future[Any]) -> None:
    if not result.set_running_or_notify_cancel():
        return

    try:
        value = runner.run(work(), context=context)
    except BaseException as error:
        result.set_exception(error)
    else:
        result.set_result(value)
