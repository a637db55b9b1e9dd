"""Routes whose answer may have to wait for a worker, which hold neither a thread nor a connection meanwhile."""

import asyncio
import re

from starlette.datastructures import Headers
from starlette.types import Message, Scope

from api.one_thread import Entrance, OneThreadRoute
from api.threads import Work
from service.errors import NotReadYet

WAIT_S = 5.0
"""How long a worker is waited for where the request does not say."""

LONGEST_WAIT_S = 10.0
"""However long the request asks for."""

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,4})\"?(?:$|[,;\s])", re.IGNORECASE)
_PAUSE_S = 0.2
_MARK = f'"urn:mammodissect:problem:{NotReadYet.code}"'.encode()


class PatientRoute(OneThreadRoute):
    """A route that only reads, and is asked again while it answers with the problem NotReadYet.

    The header `Prefer: wait=` (RFC 7240) says for how many seconds.
    """

    async def _read(self, entrance: Entrance, work: Work[list[Message]], scope: Scope) -> list[Message]:
        clock = asyncio.get_running_loop()
        until = clock.time() + wait_of(Headers(scope=scope).getlist("prefer"))
        while True:
            answer = await super()._read(entrance, work, scope)
            left_s = until - clock.time()
            if left_s <= 0 or not _is_not_read_yet(answer):
                return answer
            await asyncio.sleep(min(_PAUSE_S, left_s))


def wait_of(preferences: list[str]) -> float:
    """For how many seconds headers `Prefer` say to wait. What they say in another form does not count."""
    stated = next((match for match in map(_WAIT.search, preferences) if match is not None), None)
    return WAIT_S if stated is None else min(float(stated[1]), LONGEST_WAIT_S)


def _is_not_read_yet(answer: list[Message]) -> bool:
    status = next((message["status"] for message in answer if message["type"] == "http.response.start"), None)
    return status == 503 and any(_MARK in message.get("body", b"") for message in answer)
