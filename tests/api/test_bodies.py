"""Bodies: who may send one, how large it may be, how long it may take, and what holds nothing while it arrives."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope

from api.app import create_app
from api.bodies import Bodies
from service.errors import Overloaded, TooLarge
from tests.api.test_problems import problem
from tests.api.wire import Json, call, chunked, head, listening, read_answer

MEGABYTE = b" " * (1 << 20)


@pytest.fixture
def port(client: TestClient) -> Iterator[int]:
    """A server that takes bodies of 1 MB in half a second, and works on two requests at once."""
    settings: Any = client.app.state.settings  # type: ignore[attr-defined]
    limits = {"max_body_mb": 1, "body_time_s": 0.5, "requests_at_once": 2}
    with listening(create_app(settings.model_copy(update=limits))) as port:
        yield port


def told(answer: tuple[int, dict[str, str], bytes], status: int) -> Json:
    """The problem in an answer."""
    found, headers, body = answer
    assert found == status, body
    assert headers["content-type"] == "application/problem+json"
    document: Json = json.loads(body)
    assert document["remedy"]
    return document


def test_without_a_key_no_body_is_read(port: int) -> None:
    announced = head("POST", "/jobs", "Content-Length: 96000000", key="")
    assert told(call(port, announced), 401)["field"] == "Authorization"
    answer = call(port, announced, *[MEGABYTE] * 8)
    assert told(answer, 401)
    assert answer[1]["connection"] == "close"


@pytest.mark.parametrize("path", ["/jobs", "/concept-sets", "/jobs/0198c5a2-7d3e-7c41-9f60-3b1d2a4e5f60/cancel"])
@pytest.mark.parametrize("length", ["Content-Length: 3145728", "Transfer-Encoding: chunked"])
def test_a_body_that_is_too_large_is_refused(port: int, path: str, length: str) -> None:
    parts = [chunked(MEGABYTE) if "chunked" in length else MEGABYTE] * 3
    refused = told(call(port, head("POST", path, length), *parts), 413)
    assert refused["field"] == "body"
    assert "MAX_BODY_MB" in refused["remedy"]


@pytest.fixture
def hearing_port(client: TestClient) -> Iterator[int]:
    """A server that hears signed webhooks, with little time for their bodies."""
    settings: Any = client.app.state.settings  # type: ignore[attr-defined]
    changed = {"mlflow_webhook_secret": SecretStr("shared"), "body_time_s": 2}
    with listening(create_app(settings.model_copy(update=changed))) as port:
        yield port


def event_head(length: str = "Content-Length: 96000", **changed: str) -> bytes:
    headers = {"Signature": "v1,x", "Delivery-Id": "1", "Timestamp": str(int(time.time()))} | changed
    lines = [f"X-MLflow-{name}: {value}" for name, value in headers.items() if value]
    return head("POST", "/registry-events", length, *lines, key="")


def test_a_registry_event_that_is_too_large_is_refused_before_its_signature_is_looked_at(hearing_port: int) -> None:
    refused = told(call(hearing_port, event_head("Transfer-Encoding: chunked"), *[chunked(MEGABYTE)] * 2), 413)
    assert refused["field"] == "body"
    assert "MAX_BODY_MB" not in refused["remedy"]
    assert "MLflow" in refused["remedy"]


def test_what_is_no_webhook_is_refused_before_its_body_is_read(port: int, hearing_port: int) -> None:
    """None of the bodies ever comes: whoever waited for it would answer 408."""
    assert told(call(port, event_head()), 409)["field"] == "mlflow_webhook_secret"
    assert told(call(hearing_port, event_head(Signature="")), 422)["field"] == "x-mlflow-signature"
    assert told(call(hearing_port, event_head(Timestamp="9" * 21)), 422)["field"] == "x-mlflow-timestamp"
    for timestamp in ("1", "yesterday"):
        assert told(call(hearing_port, event_head(Timestamp=timestamp)), 401)["field"] == "X-MLflow-Timestamp"
    assert told(call(hearing_port, event_head()), 408)["field"] == "body"


def test_what_is_not_signed_takes_no_place(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    app: Any = client.app
    app.state.settings = app.state.settings.model_copy(update={"mlflow_webhook_secret": SecretStr("shared")})
    monkeypatch.setattr(app.state.entrance, "work_alone", None)
    stamp = str(int(time.time()))
    headers = {"X-MLflow-Signature": "v1,x", "X-MLflow-Delivery-Id": "1", "X-MLflow-Timestamp": stamp}
    refused = problem(client.post("/registry-events", content=b"{}", headers=headers), 401)
    assert refused["field"] == "X-MLflow-Signature"


def test_a_length_that_is_not_that_of_the_body_is_no_way_around_the_limit(port: int) -> None:
    more = call(port, head("POST", "/concept-sets", "Content-Length: 2") + b"{}", MEGABYTE)
    assert told(more, 422)["field"] in {"name", "concepts"}


def test_slow_bodies_hold_nothing_and_end(port: int) -> None:
    with ExitStack() as stack:
        slow = []
        for _ in range(30):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            connection.sendall(head("POST", "/policies", "Content-Length: 100") + b'{"name":')
            slow.append(connection)
        status, _, _ = call(port, head("GET", "/jobs"))
        assert status == 200
        for connection in slow:
            ended = told(read_answer(connection), 408)
            assert (ended["field"], ended["type"]) == ("body", "urn:mammodissect:problem:too-slow")


def test_all_bodies_together_take_bounded_memory() -> None:
    scope: Scope = {"type": "http", "headers": []}

    def arriving(*parts: bytes) -> Receive:
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]

        async def receive() -> Message:
            return messages.pop(0) if messages else {"type": "http.request", "body": b"", "more_body": False}

        return receive

    async def scene() -> None:
        bodies = Bodies(100, time_s=30)
        async with AsyncExitStack() as stack:
            for _ in range(16):
                assert await stack.enter_async_context(bodies.read(scope, arriving(b"x" * 60, b"x" * 40)))
            with pytest.raises(Overloaded):
                async with bodies.read(scope, arriving(b"x")):
                    pass
        async with bodies.read(scope, arriving(b"x" * 100)) as body:  # there is room again
            assert len(body) == 100
        with pytest.raises(TooLarge):
            async with bodies.read(scope, arriving(b"x" * 60, b"x" * 60)):
                pass
        assert bodies._room == 1600

    asyncio.run(scene())


def test_a_client_that_goes_away_in_the_middle_of_its_body_leaves_nothing_behind(port: int) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head("POST", "/policies", "Content-Length: 1048576") + MEGABYTE[:500_000])
    assert call(port, head("POST", "/policies", "Content-Length: 1048576"), MEGABYTE)[0] == 422


def test_who_waits_for_leave_to_send_gets_it_or_the_refusal(port: int) -> None:
    expecting = ("Content-Length: 2", "Expect: 100-continue")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head("POST", "/policies", *expecting))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert told(read_answer(connection), 422)
    began = time.monotonic()
    assert told(call(port, head("POST", "/policies", *expecting, key="")), 401)
    assert time.monotonic() - began < 4


def test_every_open_path_is_meant_to_be_open(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    open_paths = {
        path
        for path, operations in document["paths"].items()
        if any("security" not in operation for operation in operations.values())
    }
    assert open_paths == {"/health/live", "/health/ready", "/registry-events"}
    for path in set(document["paths"]) - open_paths:
        filled = path.replace("{", "").replace("}", "")
        problem(client.get(filled, headers={"Authorization": ""}), 401)
