"""The gate: no more requests are worked on at once than there are connections, each with one thread until its answer.

A request takes its place before it takes anything else, and holds nothing while it waits for one. Whoever has a place
has a thread and a connection, so nobody waits for either while holding the other.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic

from api.problems import overloaded
from api.threads import CLOSING_S, Result, Threads, Work

MOST_WAITING = 2000
"""Requests that wait for places of one kind; the next is turned away at once."""

SHORT_PATIENCE_S = 1.2
"""How long a request waits for a place that takes milliseconds and only reads: it is cheap to ask again."""

LONG_PATIENCE_S = 30.0
"""How long any other request waits: whoever posts something wants to know what became of it."""


class Gate:
    """Gives each request a place, and runs it on one of as many threads."""

    def __init__(self, places: int) -> None:
        self._places = _Places(places)
        # What may take seconds never takes all places: the rest is for requests that take milliseconds.
        self._places_for_long = _Places(max(1, places // 2))
        self._threads = Threads("request", places)

    async def run(
        self, work: Work[Result], *, long: bool, patience_s: float, on_entry: Callable[[], object] | None = None
    ) -> Result:
        """What `work` returns, or raises, on a thread of its own. long: it may take seconds.

        on_entry: called when the request is let in, before its work begins. Raises Overloaded where too many wait
        already, and where the wait lasted longer than `patience_s`, and RuntimeError where the system gives no thread.
        """
        await self._enter(long, patience_s)
        try:
            if on_entry is not None:
                on_entry()
            running = asyncio.wrap_future(self._threads.start(work))
        except BaseException:
            self._leave(long)
            raise

        # The thread goes on if whoever waits here is cancelled, and keeps its place until it ends.
        running.add_done_callback(lambda _: self._leave(long))
        return await asyncio.shield(running)

    def close(self, within_s: float = CLOSING_S) -> None:
        """End the threads once they have done their work; wait so long at most."""
        self._threads.close(within_s)

    async def _enter(self, long: bool, patience_s: float) -> None:
        until = asyncio.get_running_loop().time() + patience_s
        if long and not await self._places_for_long.take(until):
            raise overloaded("The API is already handling as many long requests as it can.")

        entered = False
        try:
            entered = await self._places.take(until)
        finally:
            if long and not entered:
                self._places_for_long.give_back()

        if not entered:
            raise overloaded("The API is already handling as many requests as it can.")

    def _leave(self, long: bool) -> None:
        self._places.give_back()
        if long:
            self._places_for_long.give_back()


class EqualReads(Generic[Result]):
    """One answer for equal requests that only read and wait at the same time.

    It is begun after the last of them has come, so each gets what an answer of its own would say.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._waiting: dict[Hashable, asyncio.Task[Result]] = {}

    async def run(self, key: Hashable, work: Work[Result], *, long: bool) -> Result:
        """What `work` returns for the first who waits with that key. Raises what it raises, and Overloaded.

        long: see `Gate.run`; the same for every request with that key.
        """
        answer = self._waiting.get(key)
        if answer is None:
            answer = asyncio.get_running_loop().create_task(self._answer(key, work, long=long))
            answer.add_done_callback(_retrieve)
            self._waiting[key] = answer
        return await asyncio.shield(answer)

    async def _answer(self, key: Hashable, work: Work[Result], *, long: bool) -> Result:
        task = asyncio.current_task()

        def stop_sharing() -> None:
            if self._waiting.get(key) is task:
                del self._waiting[key]

        try:
            patience_s = LONG_PATIENCE_S if long else SHORT_PATIENCE_S
            return await self._gate.run(work, long=long, patience_s=patience_s, on_entry=stop_sharing)
        finally:
            stop_sharing()


class _Places:
    """A number of places; those who find none wait in the order in which they came, and not too many of them."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._queue: OrderedDict[asyncio.Future[bool], None] = OrderedDict()

    async def take(self, until: float) -> bool:
        """Wait for a place; False where there was none until that time of the loop's clock.

        Raises Overloaded where too many wait already.
        """
        if self._free:
            self._free -= 1
            return True
        if len(self._queue) >= MOST_WAITING:
            raise overloaded(f"{len(self._queue)} requests are already waiting.")

        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._queue[turn] = None
        timer = loop.call_at(until, _give_up, turn)

        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.give_back()
            raise
        finally:
            timer.cancel()
            self._queue.pop(turn, None)

    def give_back(self) -> None:
        """Leave a place to the next in the queue."""
        while self._queue:
            turn, _ = self._queue.popitem(last=False)
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1


def _retrieve(answer: asyncio.Task[object]) -> None:
    """Nobody may be left to hear of an error, which asyncio would complain of."""
    if not answer.cancelled():
        answer.exception()


def _give_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)
