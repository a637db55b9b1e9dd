"""Reading the body of a request: within a size, within a time, and before anything else is taken for the request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import overloaded
from service.errors import TooLarge, TooSlow

_FULL_SIZE_AT_ONCE = 16
"""Bodies of the full size for which there is memory at the same time."""

_TOO_LARGE = "Send less at a time, or ask an administrator to raise MAX_BODY_MB."
_DRAIN_S = 5.0
_DRAIN_BYTES = 64 << 20


class Bodies:
    """Reads bodies of up to `most_bytes`, each in `time_s` at most, and all together in bounded memory."""

    def __init__(self, most_bytes: int, time_s: float, *, too_large: str = _TOO_LARGE) -> None:
        """too_large: what to do where a body is larger."""
        self._most_bytes = most_bytes
        self._time_s = time_s
        self._too_large = too_large
        self._room = _FULL_SIZE_AT_ONCE * most_bytes

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """The whole body; its memory counts as taken until the context ends.

        Raises TooLarge, TooSlow, Overloaded where other bodies have taken the memory, and ClientDisconnect.
        """
        self._check_size(_declared_size(scope) or 0)
        body = bytearray()
        try:
            await self._read_into(body, receive)
            yield bytes(body)
        finally:
            self._room += len(body)

    async def _read_into(self, body: bytearray, receive: Receive) -> None:
        try:
            async with asyncio.timeout(self._time_s):
                await self._read_all_into(body, receive)
        except TimeoutError:
            raise TooSlow(
                f"The body had not arrived after {self._time_s:g} seconds.",
                field="body",
                value=f"{len(body)} bytes so far",
                remedy="Send it faster, or ask an administrator to raise BODY_TIME_S.",
            ) from None

    async def _read_all_into(self, body: bytearray, receive: Receive) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect

            chunk: bytes = message.get("body", b"")
            self._check_size(len(body) + len(chunk))
            if len(chunk) > self._room:
                raise overloaded("Too many large bodies are being read.")

            self._room -= len(chunk)
            body += chunk
            more = message.get("more_body", False)

    def _check_size(self, size: int) -> None:
        if size > self._most_bytes:
            raise TooLarge(
                f"The body is larger than {self._most_bytes:,} bytes.",
                field="body",
                value=f"{size} bytes or more",
                remedy=self._too_large,
            )


class EarlyAnswers:
    """Ends a request well whose answer comes before its body was read, as that of a wrong key does.

    The client gets the whole answer at once. Then a bounded part of what it is still sending is thrown away, because
    a connection that is closed while data arrive takes the answer with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return

        body = _Incoming(receive, waits_for_leave=_header(scope, b"expect") is not None)

        async def send_and_drain(message: Message) -> None:
            if body.complete:
                await send(message)
            elif message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"connection", b"close")]
                await send({**message, "headers": headers})
            elif message.get("more_body", False):
                await send(message)
            else:
                await send({**message, "more_body": True})
                await body.drain()
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, body.receive, send_and_drain)


class _Incoming:
    """A body on its way; waits_for_leave: the client sends it only once somebody begins to read."""

    def __init__(self, receive: Receive, *, waits_for_leave: bool) -> None:
        self._receive = receive
        self._begun = not waits_for_leave
        self.complete = False

    async def receive(self) -> Message:
        """The next message, whose end is noted."""
        self._begun = True
        message = await self._receive()
        self.complete = self.complete or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Throw away what still comes, within bounds."""
        if not self._begun:
            return

        bytes_left = _DRAIN_BYTES
        try:
            async with asyncio.timeout(_DRAIN_S):
                while not self.complete and bytes_left > 0:
                    message = await self.receive()
                    bytes_left -= len(message.get("body", b""))
        except TimeoutError:
            return


def _declared_size(scope: Scope) -> int | None:
    value = _header(scope, b"content-length")
    return int(value) if value is not None and value.isdigit() else None


def _has_body(scope: Scope) -> bool:
    return _header(scope, b"transfer-encoding") is not None or (_declared_size(scope) or 0) > 0


def _header(scope: Scope, name: bytes) -> bytes | None:
    values = [value for key, value in scope["headers"] if key == name]
    return values[0] if values else None
