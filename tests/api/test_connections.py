"""Connections whose clients send or read slowly, or not at all."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message, Send

from api import answers, connections
from api.answers import Answers
from api.app import create_app
from benchmarks.crowd import LARGE, large_concept_set
from service.errors import Overloaded
from tests.api.wire import call, has_ended, head, listening, read_answer, read_start, slow_reader


@pytest.fixture
def port(client: TestClient) -> Iterator[int]:
    """A server that works on two requests at once, and waits two seconds for a head."""
    settings: Any = client.app.state.settings  # type: ignore[attr-defined]
    with listening(create_app(settings.model_copy(update={"requests_at_once": 2})), timeout_keep_alive=2) as port:
        yield port


@pytest.fixture
def large(client: TestClient) -> str:
    """The path of an answer of over 8 MB."""
    assert client.post("/concept-sets", json=large_concept_set("large")).status_code == 201
    return "/concept-sets/large"


def test_who_reads_slowly_holds_no_place_and_gets_the_whole_answer(port: int, large: str) -> None:
    with ExitStack() as stack:
        readers = []
        for number in range(4):  # twice as many as there are places
            reader = stack.enter_context(slow_reader(port, head("GET", f"{large}?reader={number}")))
            status, headers, body = read_start(reader)
            assert status == 200
            readers.append((reader, int(headers["content-length"]), len(body)))
        assert call(port, head("GET", "/jobs"))[0] == 200

        for reader, size, taken in readers:
            waiting = len(reader.recv(size, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            assert taken + waiting < LARGE < size
        reader, size, taken = readers[0]
        while taken < size:
            taken += len(reader.recv(1 << 20))
        assert taken == size


def test_who_does_not_read_at_all_is_left(port: int, large: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TAKING_S", 1.0)
    with slow_reader(port, head("GET", large)) as reader:
        assert read_start(reader)[0] == 200
        assert has_ended(reader, within_s=60)
    assert call(port, head("GET", "/jobs"))[0] == 200


@pytest.mark.parametrize("first", [b"", b"GET /jobs HTTP/1.1\r\nHost: te"])
@pytest.mark.parametrize("before", [False, True])
def test_a_head_that_never_comes_is_not_waited_for(port: int, first: bytes, before: bool) -> None:
    """Not as a connection's first, nor after an answer; its parts do not lengthen its time."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        if before:
            connection.sendall(head("GET", "/health/live"))
            assert read_answer(connection)[0] == 200
        connection.sendall(first)
        for _ in range(600):
            if has_ended(connection, within_s=0.1):
                return
            if first:
                connection.sendall(b"s")
    pytest.fail("it was waited for")


def test_a_head_may_come_in_parts_and_its_connection_go_on(port: int) -> None:
    whole = head("GET", "/health/live")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for _ in range(2):
            for part in (whole[:30], whole[30:]):
                connection.sendall(part)
                assert not has_ended(connection, within_s=0.2)
            assert read_answer(connection)[0] == 200


def test_all_answers_together_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 1 << 20)

    async def scene() -> None:
        taken, sent = asyncio.Event(), []

        async def send_slowly(message: Message) -> None:
            sent.append(message)
            await taken.wait()

        async def send(message: Message) -> None:
            sent.append(message)

        outgoing = Answers()
        first_large, large, small = body(b"x" * 700_000), body(b"x" * 700_000), body(b"x" * 100_000)
        first = asyncio.ensure_future(outgoing.send(first_large, send_slowly, refusable=True))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await outgoing.send(large, send, refusable=True)
        await outgoing.send(large, send, refusable=False)  # what was done is told of
        await outgoing.send(small, send, refusable=True)
        taken.set()
        await first
        await outgoing.send(large, send, refusable=True)

    asyncio.run(scene())


def test_an_answer_over_the_limit_goes_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 1 << 20)

    async def scene() -> None:
        taken = asyncio.Event()
        outgoing = Answers()
        small, huge = body(b"x" * 100_000), body(b"x" * (2 << 20))
        reading = [asyncio.ensure_future(outgoing.send(small, taking_after(taken), refusable=True))]
        await asyncio.sleep(0)
        reading.append(asyncio.ensure_future(outgoing.send(huge, taking_after(taken), refusable=True)))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await outgoing.send(body(b"x" * (2 << 20)), taking_after(taken), refusable=True)

        taken.set()
        await asyncio.gather(*reading)

    asyncio.run(scene())


def test_an_answer_that_equal_requests_share_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 1 << 20)

    async def scene() -> None:
        taken = asyncio.Event()
        outgoing = Answers()
        shared, other = body(b"x" * 700_000), body(b"x" * 300_000)
        reading = [asyncio.ensure_future(outgoing.send(shared, taking_after(taken), refusable=True)) for _ in range(13)]
        reading.append(asyncio.ensure_future(outgoing.send(other, taking_after(taken), refusable=True)))
        await asyncio.sleep(0)
        reading.pop(0).cancel()  # it counts until the last of its readers has gone
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await outgoing.send(body(b"x" * 300_000), taking_after(taken), refusable=True)

        taken.set()
        await asyncio.gather(*reading)
        await outgoing.send(body(b"x" * 1_000_000), taking_after(taken), refusable=True)

    asyncio.run(scene())


@pytest.mark.parametrize("size", [0, 1, 1 << 17, (1 << 17) + 1, 300_000])
def test_an_answer_goes_out_in_parts_and_whole(size: int) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    asyncio.run(Answers().send(body(content), send, refusable=True))
    assert b"".join(message["body"] for message in sent) == content
    assert [message["more_body"] for message in sent] == [True] * (len(sent) - 1) + [False]
    assert len(sent) == max(1, -(-size // (1 << 17)))


def taking_after(event: asyncio.Event) -> Send:
    """A reader that takes nothing before the event."""

    async def send(_: Message) -> None:
        await event.wait()

    return send


def body(content: bytes) -> list[Message]:
    return [{"type": "http.response.body", "body": content, "more_body": False}]
