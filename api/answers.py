"""Answers on their way out: part by part as their readers take them, and all together in bounded memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import anyio
from starlette.types import Message, Send

from api.problems import overloaded

FILE = "mammodissect.response.file"
"""The type of a message with an open file in place of a body."""

MOST_BYTES = 256 << 20
"""Of all large answers that go out at the same time. A small one always may, and a large one that is alone."""

_PART = 1 << 17
"""A connection has a time limit for each part: it is as much as anybody can take in that time."""


class Answers:
    """Sends answers that were made before."""

    def __init__(self) -> None:
        self._bytes_going_out = 0
        self._readers: Counter[int] = Counter()
        """Of each large answer that is going out, by its id."""

    async def send(self, answer: Sequence[Message], send: Send, *, refusable: bool) -> None:
        """Send an answer.

        refusable: it may be made again. Raises Overloaded for such a one where others have taken the memory.
        """
        with self._memory_for(answer, refusable=refusable):
            for message in answer:
                await _send(message, send)

    @contextmanager
    def _memory_for(self, answer: Sequence[Message], *, refusable: bool) -> Iterator[None]:
        """Count a large answer while it goes out: once, however many equal requests share it. Raises Overloaded."""
        size = sum(len(message.get("body", b"")) for message in answer)
        if size <= _PART:
            yield
            return

        key = id(answer)
        if key not in self._readers:
            if refusable and self._bytes_going_out and self._bytes_going_out + size > MOST_BYTES:
                raise overloaded("Too many large answers are being read.")
            self._bytes_going_out += size

        self._readers[key] += 1
        try:
            yield
        finally:
            self._readers[key] -= 1
            if self._readers[key] == 0:
                del self._readers[key]
                self._bytes_going_out -= size


async def _send(message: Message, send: Send) -> None:
    if message["type"] == FILE:
        await _send_file(message["file"], send)
    elif message["type"] == "http.response.body":
        await _send_body(message, send)
    else:
        await send(message)


async def _send_body(message: Message, send: Send) -> None:
    body = message.get("body", b"")
    last = max(0, len(body) - 1) // _PART * _PART
    for start in range(0, last, _PART):
        await send({"type": "http.response.body", "body": body[start : start + _PART], "more_body": True})
    await send({**message, "body": body[last:]})


async def _send_file(file: BinaryIO, send: Send) -> None:
    with file:
        more = True
        while more:
            part = await anyio.to_thread.run_sync(file.read, _PART)
            more = len(part) == _PART
            await send({"type": "http.response.body", "body": part, "more_body": more})
