"""Which registry is told of verdicts, and how; what it cannot take is an error of ours that repeats no login."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service.errors import InvalidInput, Unavailable
from service.sources.registry_tags import MlflowTags

TOLD = {"mammodissect.verdict": "pass", "mammodissect.verdict.east": "pass"}


class _Registry(BaseHTTPRequestHandler):
    def __init__(self, status: list[int], requests: list[Any], *args: Any) -> None:
        self.status = status
        self.requests = requests
        super().__init__(*args)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append((self.path, self.headers["authorization"], body))
        self.send_response(self.status[0])
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def status() -> list[int]:
    """What the registry answers."""
    return [200]


@pytest.fixture
def requests() -> list[Any]:
    """What it was sent."""
    return []


@pytest.fixture
def address(status: list[int], requests: list[Any]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Registry, status, requests))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def opened(environment: dict[str, str]) -> MlflowTags:
    tags = MlflowTags.of(environment)
    assert tags is not None
    return tags


@pytest.mark.parametrize(
    ("login", "header"),
    [
        ({}, None),
        ({"MLFLOW_TRACKING_TOKEN": "hidden"}, "Bearer hidden"),
        (
            {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "hidden"},
            f"Basic {base64.b64encode(b'ann:hidden').decode()}",
        ),
    ],
)
def test_each_tag_is_written_with_the_login_of_the_environment(
    address: str, requests: list[Any], login: dict[str, str], header: str | None
) -> None:
    tags = opened({"MLFLOW_TRACKING_URI": f"{address}/", **login})
    assert "hidden" not in repr(tags)
    tags.write("screening", "2", TOLD)
    path = "/api/2.0/mlflow/model-versions/set-tag"
    version = {"name": "screening", "version": "2"}
    assert requests == [(path, header, {**version, "key": key, "value": value}) for key, value in TOLD.items()]


@pytest.mark.parametrize("answered", [302, 401, 429, 500])
def test_what_the_registry_may_take_later(address: str, status: list[int], requests: list[Any], answered: int) -> None:
    status[0] = answered
    with pytest.raises(Unavailable, match=f"answered {answered}"):
        opened({"MLFLOW_TRACKING_URI": address}).write("screening", "2", TOLD)
    assert len(requests) == 1, "the next tag is not tried, and no redirect is followed"


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_registry_that_drips_holds_nobody(part: str) -> None:
    ended = threading.Event()

    class Dripping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n"
            self.wfile.write(head if part == "head" else head + b"\r\n")
            with suppress(OSError):
                while not ended.wait(0.02):
                    self.wfile.write(b"x")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        tags = replace(opened({"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.server_port}"}), longest_s=0.3)
        if part == "body":
            tags.write("screening", "2", TOLD)  # the answer's head says all
        else:
            with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
                tags.write("screening", "2", TOLD)
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("answered", [400, 404])
def test_what_the_registry_never_takes(address: str, status: list[int], answered: int) -> None:
    status[0] = answered
    with pytest.raises(InvalidInput, match="no version 2 of screening"):
        opened({"MLFLOW_TRACKING_URI": address}).write("screening", "2", TOLD)


@pytest.mark.parametrize("environment", [{}, {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}])
def test_nobody_is_told_where_the_registry_is_no_server(environment: dict[str, str]) -> None:
    assert MlflowTags.of(environment) is None


@pytest.mark.parametrize("token", ["hidden\n", "hidd\u00e9n", " hidden"])
def test_a_token_that_no_header_carries_is_refused_at_once_and_not_repeated(token: str) -> None:
    with pytest.raises(InvalidInput, match="MLFLOW_TRACKING_TOKEN") as refused:
        MlflowTags.of({"MLFLOW_TRACKING_URI": "https://registry.test", "MLFLOW_TRACKING_TOKEN": token})
    assert token not in str(refused.value.as_problem())


def test_an_error_does_not_repeat_a_password_of_the_address() -> None:
    tags = opened({"MLFLOW_TRACKING_URI": "http://ann:hidden@127.0.0.1:9"})
    with pytest.raises(Unavailable, match="cannot be reached") as away:
        tags.write("screening", "2", TOLD)
    assert "hidden" not in str(away.value.as_problem()) + repr(tags)


def test_certificates_that_cannot_be_used_are_named() -> None:
    environment = {"MLFLOW_TRACKING_URI": "https://registry.test", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/missing.pem"}
    with pytest.raises(InvalidInput, match="CERT_PATH") as refused:
        MlflowTags.of(environment)
    assert refused.value.value == "/missing.pem"
