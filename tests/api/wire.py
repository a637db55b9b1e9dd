"""A server that listens, and requests written byte by byte, for what no HTTP library would send."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.__main__ import SERVER

KEY = "Authorization: Bearer open sesame\r\n"


@contextmanager
def listening(app: FastAPI, **changed: Any) -> Iterator[int]:
    """The application behind the server that production has, on a port of the loopback interface.

    changed: settings of uvicorn that are other than in production.
    """
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, **SERVER | changed))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def head(method: str, path: str, *headers: str, key: str = KEY) -> bytes:
    """The first part of a request, with an empty line behind it."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"{method} {path} HTTP/1.1\r\nHost: test\r\n{key}{lines}\r\n".encode()


def call(port: int, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send the parts and wait for the answer: status, headers, body. The server may stop to read at any time."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_answer(connection)


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The answer that comes on a connection."""
    status, headers, first = read_start(connection)
    body = bytearray(first)
    while len(body) < int(headers["content-length"]):
        body += _more(connection)
    return status, headers, bytes(body[: int(headers["content-length"])])


def read_start(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, and as much of the body as has come with them."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    top, _, body = received.partition(b"\r\n\r\n")
    status, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(status.split()[1]), headers, body


def slow_reader(port: int, request: bytes) -> socket.socket:
    """A client whose system takes some kilobytes of the answer, and which reads none of them."""
    connection = socket.socket()
    connection.settimeout(60)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects, or it is not heeded
    connection.connect(("127.0.0.1", port))
    connection.sendall(request)
    return connection


def has_ended(connection: socket.socket, within_s: float) -> bool:
    """Whether the server ends the connection within that time, of which a client hears without reading."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(within_s * 1000))


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise EOFError("the server has closed the connection before its answer was complete")
    return data


def chunked(*parts: bytes) -> bytes:
    """Parts as a chunked body, without its end."""
    return b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)


Json = dict[str, Any]
