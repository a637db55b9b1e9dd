"""Waiting for what a worker makes: `Prefer: wait=10` (RFC 7240), or `wait=10` in the query where no header can be sent.

Whoever waits holds no place, no thread and no connection: the request is made again, from the server's own loop.
"""

import asyncio
import re
from urllib.parse import parse_qs

from starlette.types import Message, Scope

from api.one_thread import Entrance, LongReadingRoute
from api.threads import Work
from service.errors import Overloaded

MOST_WAIT_S = 10
"""The longest wait; a longer one that is asked for ends as soon."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 0.8
_PREFERENCE = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?\s*(?:[,;]|$)", re.IGNORECASE)


class WaitingRoute(LongReadingRoute):
    """A route that only reads, and whose 202 means that another answer comes soon."""

    async def _read(self, entrance: Entrance, work: Work[list[Message]], scope: Scope) -> list[Message]:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_of(scope)
        pause = _FIRST_PAUSE_S
        answer = await super()._read(entrance, work, scope)

        while _is_accepted(answer) and (left := until - loop.time()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            try:
                answer = await super()._read(entrance, work, scope)
            except Overloaded:
                return answer  # what was asked for is asked for already
        return answer


def wait_of(scope: Scope) -> int:
    """How many seconds the caller would wait, MOST_WAIT_S at most; 0 where it says nothing that can be understood."""
    [asked] = parse_qs(scope["query_string"].decode("latin-1")).get("wait", [""])[:1]
    if asked.isascii() and asked.isdigit():
        return min(int(asked[:6]), MOST_WAIT_S)

    headers = [value.decode("latin-1") for name, value in scope["headers"] if name == b"prefer"]
    return preferred_wait(",".join(headers)) or 0


def preferred_wait(prefer: str) -> int | None:
    """How many seconds a header `Prefer` asks to wait, MOST_WAIT_S at most; None where it asks for no wait."""
    preference = _PREFERENCE.search(prefer)
    return None if preference is None else min(int(preference[1]), MOST_WAIT_S)


def _is_accepted(answer: list[Message]) -> bool:
    return bool(answer) and answer[0].get("status") == 202
