"""Where calls to the service go: to this machine directly, elsewhere as the environment says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

import cli.main
from cli.client import ServiceClient
from cli.proxies import proxy_for
from cli.questions import coverage
from service.errors import InvalidInput, Unavailable

KEY = "open-sesame"
ELSEWHERE = "http://service.example:8000"


@dataclass
class Listener:
    """A server that answers everything with a job, and remembers (request line, key) of what reached it."""

    port: int
    heard: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def listeners() -> Iterator[tuple[Listener, Listener]]:
    """Service and proxy."""
    servers, made = [], []
    for _ in range(2):
        listener = Listener(0)

        class Handler(BaseHTTPRequestHandler):
            heard = listener.heard

            def do_GET(self) -> None:
                self.heard.append((self.requestline, self.headers["Authorization"]))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"id": "1"}')

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        listener.port = server.server_port
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        made.append(listener)
    yield made[0], made[1]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0.0.0.0"])  # noqa: S104
def test_a_call_to_this_machine_goes_past_every_proxy(
    monkeypatch: pytest.MonkeyPatch, listeners: tuple[Listener, Listener], variable: str, host: str
) -> None:
    service, proxy = listeners
    monkeypatch.setenv(variable, proxy.url)
    ServiceClient(f"http://{host}:{service.port}", KEY).get("/jobs/1")
    assert service.heard == [("GET /jobs/1 HTTP/1.1", f"Bearer {KEY}")]
    assert proxy.heard == []


def test_a_call_elsewhere_goes_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, listeners: tuple[Listener, Listener]
) -> None:
    _, proxy = listeners
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
    ServiceClient(ELSEWHERE, KEY).get("/jobs/1")
    assert proxy.heard == [(f"GET {ELSEWHERE}/jobs/1 HTTP/1.1", f"Bearer {KEY}")]


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="the proxy of http_proxy"):
        ServiceClient(ELSEWHERE, KEY).get("/jobs/1")


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"http_proxy": "p:1"}, "http://p:1"),
        ({"http_proxy": "p:1", "HTTP_PROXY": "q:1"}, "http://p:1"),
        ({"http_proxy": "", "HTTP_PROXY": "q:1"}, None),
        ({"https_proxy": "p:1"}, None),
        ({"ALL_PROXY": "https://p:1"}, "https://p:1"),
        ({"http_proxy": "http://user:word@p:1"}, "http://user:word@p:1"),
        ({"http_proxy": "http://[::1]:3128"}, "http://[::1]:3128"),
        *(
            ({"http_proxy": "p:1", "no_proxy": exceptions}, None)
            for exceptions in (
                "*",
                "service.example",
                ".example",
                "*.example",
                "a, SERVICE.example:8000 ,b",
                "::1,example",
            )
        ),
        *(
            ({"http_proxy": "p:1", "NO_PROXY": exceptions}, "http://p:1")
            for exceptions in ("", "127.0.0.1,::1,[::1]", "service.example:9", "vice.example", "10.0.0.0/8", "[::1]:80")
        ),
    ],
)
def test_the_variables_mean_what_they_mean_to_other_programs(variables: dict[str, str], proxy: str | None) -> None:
    chosen = proxy_for(httpx.URL(ELSEWHERE), variables)
    assert (None if chosen is None else str(chosen.url)) == (None if proxy is None else str(httpx.URL(proxy)))


@pytest.mark.parametrize("host", ["http://dienst.köln.example", "http://xn--kln-sna.example", "http://köln.example"])
@pytest.mark.parametrize("exceptions", ["köln.example", "KÖLN.example", "*.xn--kln-sna.example"])
def test_international_names_in_both_spellings(host: str, exceptions: str) -> None:
    variables = {"http_proxy": "http://xn--a.example:1", "no_proxy": exceptions}
    assert proxy_for(httpx.URL(host), variables) is None
    assert proxy_for(httpx.URL("http://xn--bonn-.example"), variables) is not None


@pytest.mark.parametrize("exceptions", ["10.1.2.3", "10.0.0.0/8", "10.1.2.3:8000", "::1,10.1.2.3/32"])
def test_addresses_and_networks_without_a_proxy(exceptions: str) -> None:
    variables = {"http_proxy": "p:1", "no_proxy": exceptions}
    assert proxy_for(httpx.URL("http://10.1.2.3:8000"), variables) is None
    assert proxy_for(httpx.URL("http://11.1.2.3:8000"), variables) is not None


@pytest.mark.parametrize("exceptions", ["[fd00::7]", "fd00::7", "fd00::/16", "[fd00::7]:8000"])
def test_ipv6_without_a_proxy(exceptions: str) -> None:
    variables = {"http_proxy": "p:1", "no_proxy": exceptions}
    assert proxy_for(httpx.URL("http://[fd00::7]:8000"), variables) is None
    assert proxy_for(httpx.URL("http://[fd01::7]:8000"), variables) is not None


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9", "the package socksio is not installed"),
        ("all_proxy", "socks4://127.0.0.1:9", "an unsupported scheme"),
        ("http_proxy", "http://[::1:9", "is not a proxy URL"),
        ("http_proxy", "127.0.0.1:99999", "port 99999"),
        ("HTTP_PROXY", "http://", "does not name a host"),
        ("http_proxy", "http://user:secret-word@p:port", "is not a proxy URL"),
        ("http_proxy", "ftp://user:secret-word@p", "an unsupported scheme"),
        ("no_proxy", "[::1", "not a host, address or network"),
        ("NO_PROXY", "10.0.0.0/99", "not a host, address or network"),
        ("no_proxy", "host:port", "not a host, address or network"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_where_it_counts(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    monkeypatch.setattr("cli.proxies.find_spec", lambda _: None)
    variables = {"HTTPS_PROXY": "p:1", "http_proxy": "p:1"} if "no" in variable.lower()[:2] else {}
    with pytest.raises(InvalidInput, match=why) as refused:
        proxy_for(httpx.URL(ELSEWHERE), {**variables, variable: value})
    assert refused.value.field == variable
    assert variable in refused.value.detail
    assert "secret-word" not in str(refused.value.as_problem())
    assert proxy_for(httpx.URL("http://127.0.0.1:8000"), {**variables, variable: value}) is None


@pytest.mark.parametrize(
    "variables",
    [
        {"no_proxy": "127.0.0.1,::1,[::1]", "http_proxy": "PROXY"},
        {"ALL_PROXY": "socks5://127.0.0.1:9"},
        {"http_proxy": "PROXY", "https_proxy": "PROXY", "ALL_PROXY": "PROXY"},
    ],
)
def test_the_gate_finds_a_service_on_this_machine_whatever_the_variables(
    tmp_path: Path, listeners: tuple[Listener, Listener], variables: dict[str, str]
) -> None:
    """The listener is no service, so there is no verdict: but it was reached, and the proxy was not."""
    service, proxy = listeners
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbfopen-sesame\r\n")
    command = ("coverage", "1", "--url", service.url, "--api-key-file", "key")
    shell = {name: proxy.url if value == "PROXY" else value for name, value in variables.items()}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(cli.main.__file__).parents[1]), **shell},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert service.heard == [("GET /jobs/1/coverage HTTP/1.1", f"Bearer {KEY}")]
    assert proxy.heard == []


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    with pytest.raises(InvalidInput) as refused:
        ServiceClient("https://service.example", KEY)
    assert refused.value.field == "SSL_CERT_FILE"
    ServiceClient("http://service.example", KEY).close()


def test_names_are_one_part_of_a_path_whatever_they_hold(listeners: tuple[Listener, Listener]) -> None:
    service, _ = listeners
    with suppress(KeyError):
        coverage("a/../b?c#d", url=service.url, api_key_file=_key_file())
    assert service.heard[0][0] == "GET /jobs/a%2F..%2Fb%3Fc%23d/coverage HTTP/1.1"


def _key_file() -> Path:
    reading, writing = os.pipe()
    os.write(writing, KEY.encode())
    os.close(writing)
    return Path(f"/proc/self/fd/{reading}")
