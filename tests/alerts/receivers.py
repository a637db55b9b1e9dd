"""Receivers on real loopback sockets: web servers and a mail server that answer as they are told."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Received:
    """A request as it came in; the names of headers are in lower case."""

    headers: dict[str, str]
    body: bytes
    path: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


HANG = Answer(0)
"""Keep the connection open and say nothing."""
DROP = Answer(1)
"""Close the connection without a word."""
TRICKLE = Answer(2)
"""Send a byte of the answer every now and then."""

Answering = Answer | Sequence[Answer] | Callable[[Received], Answer]


class Receiver(ThreadingHTTPServer):
    """A web server that remembers what it gets. A sequence of answers is given one by one, the last for ever."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answering: Answering = Answer(), *, up: bool = True, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.answering = answering
        self.received: list[Received] = []
        self.hanging = 0
        self.let_go = threading.Event()
        self._lock = threading.Lock()
        self._tls = tls
        self._thread: threading.Thread | None = None
        self.server_bind()  # nobody else gets the port, and until it listens, connections are refused
        if up:
            self.start()

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/hook"

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.received]

    def start(self) -> None:
        self.server_activate()
        if self._tls is not None:
            self.socket = self._tls.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.let_go.set()
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()

    def answer_to(self, one: Received) -> Answer:
        with self._lock:
            self.received.append(one)
            number = len(self.received)
        if isinstance(self.answering, Answer):
            return self.answering
        if callable(self.answering):
            return self.answering(one)
        return self.answering[min(number, len(self.answering)) - 1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever sends may end the connection first."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer_to(Received(headers, body, self.path))
        self.close_connection = True
        if answer is HANG:
            self.server.hanging += 1
            self.server.let_go.wait()
        elif answer is TRICKLE:
            for byte in b"HTTP/1.1 200 OK\r\n" + b"x-slow: 1\r\n" * 1000:
                if self.server.let_go.is_set():
                    break
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)
        elif answer is not DROP:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class MailServer:
    """An aiosmtpd server in a thread. `rcpt` and `data` say what it answers; what it takes is in `taken`."""

    USER: ClassVar[str] = "alerts"
    PASSWORD: ClassVar[str] = "correct horse"  # noqa: S105

    def __init__(
        self, *, up: bool = True, tls: ssl.SSLContext | None = None, from_the_first_byte: bool = False
    ) -> None:
        self.rcpt: Callable[[str], str] = lambda _: "250 OK"
        self.data: Callable[[], str] = lambda: "250 taken"
        self.quit = "221 Bye"
        self.taken: list[Envelope] = []
        self.logins = 0
        self._tls = None if from_the_first_byte else tls
        self._tls_at_once = tls if from_the_first_byte else None
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        if up:
            self.start()

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def close(self) -> None:
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._socket.close()

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        serving = self._loop.create_server(self._session, sock=self._socket, ssl=self._tls_at_once)
        self._server = self._loop.run_until_complete(serving)
        ready.set()
        self._loop.run_forever()
        self._server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def _session(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.hospital.test",
            loop=self._loop,
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            auth_required=self._tls is not None,
            authenticator=self._authenticate,
        )

    def _authenticate(self, _: SMTP, __: Session, ___: Envelope, ____: str, given: Any) -> AuthResult:
        self.logins += 1
        right = given == LoginPassword(self.USER.encode(), self.PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]) -> str:
        answer = self.rcpt(address)
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        answer = self.data()
        if answer.startswith("2"):
            self.taken.append(envelope)
        return answer

    async def handle_QUIT(self, _: SMTP, __: Session, ___: Envelope) -> str:
        return self.quit
