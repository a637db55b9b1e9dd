"""The gate: who is let in when, and that no place is ever lost."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from api import gate as module
from api.gate import EqualReads, Gate
from service.errors import Overloaded


class Desk:
    """Work that ends when it is told to, and knows how much of it was under way at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._may_end = threading.Event()
        self._now = 0
        self.most = 0
        self.threads: set[int] = set()
        self.order: list[int] = []

    def work(self, number: int = 0) -> Callable[[], Coroutine[Any, Any, int]]:
        async def work() -> int:
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
                self.threads.add(threading.get_ident())
                self.order.append(number)
            self._may_end.wait(timeout=30)
            with self._lock:
                self._now -= 1
            return number

        return work

    async def wait_until_begun(self, count: int) -> None:
        while len(self.order) < count:
            await asyncio.sleep(0.001)

    def end(self) -> None:
        self._may_end.set()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.end()


def test_no_more_than_the_places_are_worked_on_at_once(desk: Desk) -> None:
    async def scene() -> list[int]:
        gate = Gate(3)
        asked = [asyncio.ensure_future(gate.run(desk.work(n), long=False, patience_s=30)) for n in range(20)]
        await desk.wait_until_begun(3)
        desk.end()
        answers = await asyncio.gather(*asked)
        gate.close()
        return answers

    assert asyncio.run(scene()) == list(range(20))
    assert desk.most == 3
    assert len(desk.threads) == 3
    assert sorted(desk.order) == list(range(20))


def test_who_came_first_is_let_in_first(desk: Desk) -> None:
    async def scene() -> None:
        gate = Gate(1)
        asked = [asyncio.ensure_future(gate.run(desk.work(n), long=False, patience_s=30)) for n in range(10)]
        await desk.wait_until_begun(1)
        desk.end()
        await asyncio.gather(*asked)
        gate.close()

    asyncio.run(scene())
    assert desk.order == list(range(10))


def test_what_takes_long_leaves_places_to_the_rest(desk: Desk) -> None:
    async def scene() -> None:
        gate = Gate(4)
        long = [asyncio.ensure_future(gate.run(desk.work(n), long=True, patience_s=30)) for n in range(6)]
        await desk.wait_until_begun(2)
        short = [asyncio.ensure_future(gate.run(desk.work(n), long=False, patience_s=30)) for n in (10, 11)]
        await desk.wait_until_begun(4)
        assert set(desk.order) == {0, 1, 10, 11}
        desk.end()
        await asyncio.gather(*long, *short)
        gate.close()

    asyncio.run(scene())


def test_impatience_and_cancelled_requests_lose_no_place(desk: Desk) -> None:
    async def scene() -> None:
        gate = Gate(2)
        busy = [asyncio.ensure_future(gate.run(desk.work(n), long=True, patience_s=30)) for n in range(1)]
        busy += [asyncio.ensure_future(gate.run(desk.work(n), long=False, patience_s=30)) for n in range(1)]
        await desk.wait_until_begun(2)
        for long in (True, False):
            with pytest.raises(Overloaded):
                await gate.run(desk.work(), long=long, patience_s=0.01)
            waiting = asyncio.ensure_future(gate.run(desk.work(), long=long, patience_s=30))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

        busy[0].cancel()  # its thread goes on, and so its place stays taken
        with pytest.raises(Overloaded):
            await gate.run(desk.work(), long=False, patience_s=0.01)
        assert len(desk.order) == 2

        desk.end()
        await busy[1]
        both = [gate.run(desk.work(n), long=n == 8, patience_s=30) for n in (8, 9)]
        assert await asyncio.gather(*both) == [8, 9]
        gate.close()

    asyncio.run(scene())


def test_the_queue_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)

    async def scene() -> None:
        gate = Gate(1)
        asked = [asyncio.ensure_future(gate.run(desk.work(n), long=False, patience_s=30)) for n in range(4)]
        await desk.wait_until_begun(1)
        with pytest.raises(Overloaded, match="3 requests are already waiting"):
            await gate.run(desk.work(), long=False, patience_s=30)
        desk.end()
        assert await asyncio.gather(*asked) == [0, 1, 2, 3]
        gate.close()

    asyncio.run(scene())


def test_those_who_wait_for_long_places_keep_nobody_from_free_ones(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)

    async def scene() -> None:
        gate = Gate(4)
        long = [asyncio.ensure_future(gate.run(desk.work(n), long=True, patience_s=30)) for n in range(5)]
        await desk.wait_until_begun(2)
        short = [asyncio.ensure_future(gate.run(desk.work(n), long=False, patience_s=30)) for n in (10, 11)]
        await desk.wait_until_begun(4)
        short += [asyncio.ensure_future(gate.run(desk.work(n), long=False, patience_s=30)) for n in (12, 13, 14)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="3 requests are already waiting"):
            await gate.run(desk.work(), long=False, patience_s=30)
        with pytest.raises(Overloaded, match="3 requests are already waiting"):
            await gate.run(desk.work(), long=True, patience_s=30)
        desk.end()
        assert await asyncio.gather(*long, *short) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
        gate.close()

    asyncio.run(scene())


def test_those_who_have_gone_are_not_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)

    async def scene() -> None:
        gate = Gate(1)
        busy = asyncio.ensure_future(gate.run(desk.work(), long=False, patience_s=30))
        await desk.wait_until_begun(1)
        for _ in range(3):
            gone = [asyncio.ensure_future(gate.run(desk.work(), long=False, patience_s=30)) for _ in range(2)]
            await asyncio.sleep(0)
            for request in gone:
                request.cancel()
            await asyncio.gather(*gone, return_exceptions=True)
        desk.end()
        await busy
        gate.close()

    asyncio.run(scene())
    assert len(desk.order) == 1


@pytest.mark.parametrize("long", [False, True])
def test_equal_reads_that_wait_are_answered_by_one_that_begins_after_all_of_them(desk: Desk, long: bool) -> None:
    async def scene() -> None:
        gate = Gate(1)
        reads: EqualReads[int] = EqualReads(gate)
        first = asyncio.ensure_future(reads.run("a", desk.work(1), long=long))
        await desk.wait_until_begun(1)
        same = [asyncio.ensure_future(reads.run("a", desk.work(n), long=long)) for n in (2, 3, 4)]
        other = asyncio.ensure_future(reads.run("b", desk.work(5), long=long))
        await asyncio.sleep(0)
        same[0].cancel()
        desk.end()
        assert await asyncio.gather(first, *same[1:], other) == [1, 2, 2, 5]
        assert await reads.run("a", desk.work(6), long=long) == 6
        gate.close()

    asyncio.run(scene())
    assert desk.order == [1, 2, 5, 6]


def test_an_error_comes_out_and_leaves_the_place() -> None:
    async def fail() -> None:
        raise ValueError("of the work")

    async def scene() -> None:
        gate = Gate(1)
        for _ in range(3):
            with pytest.raises(ValueError, match="of the work"):
                await gate.run(fail, long=True, patience_s=30)
        gate.close()

    asyncio.run(scene())


@pytest.mark.parametrize("long", [False, True])
def test_a_thread_that_does_not_start_takes_no_place(desk: Desk, monkeypatch: pytest.MonkeyPatch, long: bool) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def scene() -> int:
        gate = Gate(2)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            for _ in range(3):
                with pytest.raises(RuntimeError):
                    await gate.run(desk.work(1), long=long, patience_s=0.01)

        desk.end()
        number = await gate.run(desk.work(2), long=long, patience_s=0.01)
        gate.close()
        return number

    assert asyncio.run(scene()) == 2
    assert desk.order == [2]


STUCK = """
import asyncio, threading
from pydantic import SecretStr
from api.gate import Gate
from api.shared_looks import SharedLook
from service.db.session import open_sessions

begun = threading.Semaphore(0)

def stop_here(*_):
    begun.release()
    threading.Event().wait()

async def work():
    stop_here()

async def main():
    gate, look = Gate(8), SharedLook(open_sessions(SecretStr("postgresql+psycopg://")), stop_here)
    asked = [asyncio.ensure_future(gate.run(work, long=False, patience_s=30)) for _ in range(8)]
    asked.append(asyncio.ensure_future(look.ask("key")))
    for _ in range(9):
        await asyncio.to_thread(begun.acquire)
    gate.close(0.1)
    look.close(0.1)
    print("closed")

asyncio.run(main())
"""


@pytest.mark.timeout(60)
def test_work_that_never_ends_keeps_no_process_from_ending() -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK], check=True, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("closed\n", "")
