"""Servers on the loopback that sources come from, and a fetcher that may ask them."""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.delivery.addresses import AllowedHosts
from service.files import DataRoots
from service.sources.cache import SourceCache
from service.sources.fetch import Fetcher
from tests.storage.conftest import s3_endpoint, s3_environment, s3_server

__all__ = ["s3_endpoint", "s3_environment", "s3_server"]

Answers = dict[str, tuple[int, dict[str, str], bytes]]
OpenFetcher = Callable[..., Fetcher]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, answers: Answers, *args: object) -> None:
        self.answers = answers
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        status, headers, body = self.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answers() -> Answers:
    """What the web server answers: status, headers and body of each path."""
    return {}


@pytest.fixture
def web(answers: Answers) -> Iterator[str]:
    """The address of a web server on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, answers))
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def open_fetcher(tmp_path: Path) -> OpenFetcher:
    """Opens a fetcher with a cache of the test's own."""

    def opened(hosts: str = "127.0.0.0/8", **changes: int) -> Fetcher:
        cache = SourceCache(tmp_path / "cache", changes.get("cache_bytes", 1 << 30))
        (tmp_path / "cache").mkdir(exist_ok=True)
        roots = DataRoots.of([tmp_path])
        return Fetcher(cache, AllowedHosts.of(hosts, "SOURCE_HOSTS"), roots, changes.get("most", 1 << 30))

    return opened


def content_of(fetcher: Fetcher, sha256: str) -> bytes | None:
    with fetcher.cache.held(sha256) as path:
        return None if path is None else path.read_bytes()


def redirect(location: str) -> tuple[int, Mapping[str, str], bytes]:
    return 302, {"Location": location}, b""
