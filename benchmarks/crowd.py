"""Many clients at once, cheap enough to leave the machine to the server."""

import asyncio
import json
import socket
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

NO_ANSWER = 0

LARGE = 8 << 20
"""More bytes than the systems of both sides take in for a connection that nobody reads from."""

_ASK_AGAIN_S = 0.1


def large_concept_set(name: str) -> dict[str, Any]:
    """A concept set whose JSON is large."""
    long = "x" * 280
    concepts = [{"text": f"{number} {long}", "synonyms": [f"same as {number} {long}"]} for number in range(15_000)]
    return {"name": name, "concepts": concepts}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got: a status (0 for no answer in time), after how many seconds, and the body."""

    status: int
    seconds: float
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Clients of one server. key: the API key that all of them have."""

    port: int
    key: str
    patience_s: float = 60.0

    async def ask(self, path: str, body: bytes = b"", *headers: str) -> Answer:
        """One request on a connection of its own; a POST where there is a body."""
        began = time.perf_counter()
        received = b""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(self.patience_s):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(
                    self.head("POST" if body else "GET", path, *headers, f"Content-Length: {len(body)}") + body
                )
                received = await reader.read()
                writer.close()
        return _parsed(received, time.perf_counter() - began)

    async def all_at_once(self, path: str, count: int, body: bytes = b"", *headers: str) -> list[Answer]:
        """So many equal requests, begun together."""
        return await asyncio.gather(*(self.ask(path, body, *headers) for _ in range(count)))

    async def open(
        self, first: bytes, *, receive_buffer: int = 1 << 16
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which something was sent, and which takes little more than is asked for."""
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)  # before it connects
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=receive_buffer)
        writer.write(first)
        return reader, writer

    async def read_slowly(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Ask for a large answer, and read nothing behind its head.

        Raises ValueError where it could arrive whole, and TimeoutError where none comes.
        """
        async with asyncio.timeout(self.patience_s):
            while (connection := await self._begin_reading(path)) is None:
                await asyncio.sleep(_ASK_AGAIN_S)
        return connection

    async def _begin_reading(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection behind the head of a large answer; None where many ask for what takes long to make."""
        reader, writer = await self.open(self.head("GET", path), receive_buffer=4096)
        first = await reader.readuntil(b"\r\n\r\n")
        status = int(first.split(b" ", 2)[1])
        length = int(first.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if status == 200 and length >= LARGE:
            return reader, writer

        writer.close()
        if status != 503:
            raise ValueError(f"{path} was answered {status} with {length} bytes, which a connection may hold")
        return None

    def head(self, method: str, path: str, *headers: str) -> bytes:
        """The head of a request that closes its connection."""
        fixed = ("Host: benchmark", f"Authorization: Bearer {self.key}", "Connection: close")
        return "\r\n".join((f"{method} {path} HTTP/1.1", *fixed, *headers, "", "")).encode()


def statuses(answers: Sequence[Answer]) -> Counter[int]:
    """How often each status was answered."""
    return Counter(answer.status for answer in answers)


def p50(answers: Sequence[Answer]) -> float:
    """The median seconds to an answer."""
    return statistics.median(answer.seconds for answer in answers)


def p99(answers: Sequence[Answer]) -> float:
    """The seconds within which 99 % had their answer."""
    return statistics.quantiles((answer.seconds for answer in answers), n=100)[98]


def _parsed(received: bytes, seconds: float) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return Answer(NO_ANSWER, seconds)
    if b"transfer-encoding: chunked" in head.lower():
        body = b"".join(_chunks(body))
    return Answer(int(head.split(b" ", 2)[1]), seconds, body)


def _chunks(body: bytes) -> list[bytes]:
    chunks = []
    while body:
        size, _, body = body.partition(b"\r\n")
        chunks.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return chunks
