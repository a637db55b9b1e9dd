"""Answers that wait for what a worker makes: `Prefer: wait=10`, or `wait=10` in the query where no header can be sent.

Whoever waits holds no place, no thread and no connection: the request is made again, from the server's own loop.
"""

import asyncio
from typing import ClassVar
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Message, Scope

from api.one_thread import Entrance, OneThreadRoute
from api.preferences import preferred_wait
from api.threads import Work
from service.errors import NotReadYet, Overloaded

MOST_WAIT_S = 10
"""The longest wait; a longer one that is asked for ends as soon."""

UNASKED_WAIT_S = 5
"""How long a text or an image of a search is waited for where the request does not say."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 0.8
_NOT_READ_YET = f'"urn:mammodissect:problem:{NotReadYet.code}"'.encode()


class AwaitedWorkRoute(OneThreadRoute):
    """A route that only reads, and is asked again while its answer says that a worker has still to make something."""

    unasked_wait_s: ClassVar[int] = 0
    """How many seconds it waits where the caller does not say."""

    def is_awaited(self, answer: list[Message]) -> bool:
        """Whether another answer comes soon."""
        raise NotImplementedError

    async def _read(self, entrance: Entrance, work: Work[list[Message]], scope: Scope) -> list[Message]:
        loop = asyncio.get_running_loop()
        wait = wait_of(scope)
        until = loop.time() + (self.unasked_wait_s if wait is None else wait)
        pause = _FIRST_PAUSE_S
        answer = await super()._read(entrance, work, scope)

        while self.is_awaited(answer) and (left := until - loop.time()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            try:
                answer = await super()._read(entrance, work, scope)
            except Overloaded:
                return answer  # what was asked for is asked for already
        return answer


class PictureRoute(AwaitedWorkRoute):
    """A route whose 202 means that a worker draws."""

    takes_long = True

    def is_awaited(self, answer: list[Message]) -> bool:
        """Whether the picture is still to be drawn."""
        return _status_of(answer) == 202


class SearchRoute(AwaitedWorkRoute):
    """A route that answers with the problem NotReadYet until a worker has read what is searched by."""

    unasked_wait_s = UNASKED_WAIT_S

    def is_awaited(self, answer: list[Message]) -> bool:
        """Whether it is still to be read."""
        return _status_of(answer) == 503 and any(_NOT_READ_YET in message.get("body", b"") for message in answer)


def wait_of(scope: Scope) -> int | None:
    """How many seconds the caller would wait, MOST_WAIT_S at most; None where it says nothing that is understood."""
    [asked] = parse_qs(scope["query_string"].decode("latin-1")).get("wait", [""])[:1]
    if asked.isascii() and asked.isdigit():
        return min(int(asked[:6]), MOST_WAIT_S)
    return preferred_wait(Headers(scope=scope).getlist("prefer"), MOST_WAIT_S)


def _status_of(answer: list[Message]) -> int | None:
    return answer[0].get("status") if answer else None
