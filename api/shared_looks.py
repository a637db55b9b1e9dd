"""One look into the database for all who want to know the same kind of thing at the same time."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from api.threads import CLOSING_S, Threads
from service.db.session import Sessions, transaction

Key = TypeVar("Key")
News = TypeVar("News")


class SharedLook(Generic[Key, News]):
    """Answers many at once from one transaction, on one thread and one connection however many ask.

    Who asks while a look is under way is answered by the next.
    """

    def __init__(self, sessions: Sessions, look: Callable[[Session, Collection[Key]], Mapping[Key, News]]) -> None:
        self._sessions = sessions
        self._look = look
        self._asked: dict[Key, asyncio.Future[News | None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._thread = Threads("shared-look", 1)

    async def ask(self, key: Key) -> News | None:
        """What the next look finds for the key; None for nothing. Raises what the look raises, such as Unavailable."""
        loop = asyncio.get_running_loop()
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = loop.create_future()

        if self._looking is None or self._looking.done():
            self._looking = loop.create_task(self._answer_all())
        return await asyncio.shield(answer)  # others wait for it, too

    def close(self, within_s: float = CLOSING_S) -> None:
        """End the thread once its look is done; wait so long at most."""
        self._thread.close(within_s)

    async def _answer_all(self) -> None:
        while self._asked:
            waiting = self._asked
            self._asked = {}
            try:
                look = self._thread.start(partial(self._look_up, waiting.keys()))
                news = await asyncio.wrap_future(look)
            except Exception as error:
                for answer in waiting.values():
                    answer.set_exception(error)
                    answer.exception()  # nobody may be left to retrieve it
            else:
                for key, answer in waiting.items():
                    answer.set_result(news.get(key))

    async def _look_up(self, keys: Collection[Key]) -> Mapping[Key, News]:
        with transaction(self._sessions) as session:
            return self._look(session, keys)
