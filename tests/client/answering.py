"""A server whose answers a test says beforehand, byte for byte, one for each connection."""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread


@dataclass
class Answering:
    """url: address of the server. heard: the requests that came."""

    url: str
    heard: list[str] = field(default_factory=list)


@contextmanager
def answering(answers: Sequence[bytes]) -> Iterator[Answering]:
    """Answer one connection after the other with these bytes, and close it then. Empty bytes: close without answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Answering(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    server.heard.append(_request_on(connection))
                    connection.sendall(answer)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield server


def _request_on(connection: socket.socket) -> str:
    """The whole request: what is left unread when a connection is closed resets it."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(1 << 16)
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    while length is not None and len(body) < int(length[1]):
        body += connection.recv(1 << 16)
    return (head + b"\r\n\r\n" + body).decode()


def answer(status: str, body: str = "", *headers: str, kind: str = "application/json") -> bytes:
    """An answer that ends with the connection."""
    lines = "".join(f"{header}\r\n" for header in (f"Content-Type: {kind}", "Connection: close", *headers))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n{body}".encode()


def stream(*events: str) -> bytes:
    """An answer that is a stream of server-sent events, which breaks off behind the last of them."""
    return answer("200 OK", "".join(events), kind="text/event-stream")
