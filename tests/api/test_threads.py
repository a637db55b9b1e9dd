"""Threads: what they keep once their work is done, and how long they are waited for."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from api import threads as module
from api.threads import Threads


class Answer:
    """Something whose end can be seen."""


@pytest.fixture
def threads() -> Iterator[Threads]:
    """One thread, which has nothing to do."""
    made = Threads("test", 1)
    yield made
    made.close()


def test_an_idle_thread_keeps_no_answer(threads: Threads) -> None:
    async def work() -> Answer:
        return Answer()

    done = threads.start(work)
    answer = weakref.ref(done.result(timeout=30))
    del done
    wait_until_gone(answer)


@pytest.mark.parametrize("ending", ["returns", "raises", "is cancelled"])
def test_an_idle_thread_keeps_no_request(threads: Threads, ending: str) -> None:
    request = Answer()
    may_end = threading.Event()

    async def first() -> None:
        may_end.wait(timeout=30)

    async def work(request: Answer = request) -> None:
        if ending == "raises":
            raise ValueError

    threads.start(first)
    result: Future[None] = threads.start(work)
    if ending == "is cancelled":
        assert result.cancel()
    may_end.set()
    if ending == "returns":
        result.result(timeout=30)
    if ending == "raises":
        assert isinstance(result.exception(timeout=30), ValueError)

    left = weakref.ref(request)
    del request, work, result
    wait_until_gone(left)


def wait_until_gone(answer: weakref.ref[Answer]) -> None:
    until = time.monotonic() + 30
    while answer() is not None:
        gc.collect()  # an error and its traceback are a circle
        assert time.monotonic() < until, "the thread keeps it"
        time.sleep(0.001)


def test_all_threads_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    asked: list[float | None] = []

    def join(_: threading.Thread, timeout: float | None = None) -> None:
        nonlocal now
        asked.append(timeout)
        now += 0.75  # as long as each of them takes

    async def work() -> None:
        return None

    threads = Threads("test", 5)
    for _ in range(5):
        threads.start(work)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "join", join)
        threads.close(within_s=2.0)
    assert asked == [2.0, 1.25, 0.5, 0.0, 0.0]
