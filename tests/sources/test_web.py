"""Files of web servers: nothing but allowed hosts at allowed addresses is ever connected to."""

import hashlib
import socket
from typing import Any
from unittest.mock import Mock

import pytest

from service.delivery.addresses import AllowedHosts
from service.errors import DigestMismatch, InvalidInput, Unavailable
from service.sources.web import WebReader
from tests.sources.conftest import Answers, OpenFetcher, content_of

DATA = b"weights" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.mark.proves("source", "https://")
def test_a_file_is_fetched_with_its_digest(web: str, answers: Answers, open_fetcher: OpenFetcher) -> None:
    answers["/v1/w.pt"] = (200, {"ETag": '"abc"'}, DATA)
    fetcher = open_fetcher()
    uri = f"{web}/v1/w.pt"
    result = fetcher.fetch(uri, sha256=None)
    assert result == {"sha256": DIGEST, "bytes": len(DATA), "place": uri, "version": '"abc"'}
    assert content_of(fetcher, DIGEST) == DATA
    assert fetcher.fetch(uri, sha256=DIGEST) == result


def test_content_of_another_digest_is_not_kept(web: str, answers: Answers, open_fetcher: OpenFetcher) -> None:
    answers["/w.pt"] = (200, {}, b"others")
    fetcher = open_fetcher()
    with pytest.raises(DigestMismatch, match="has changed") as changed:
        fetcher.fetch(f"{web}/w.pt", sha256=DIGEST)
    assert (changed.value.field, changed.value.value) == ("sha256", DIGEST)
    assert content_of(fetcher, hashlib.sha256(b"others").hexdigest()) is None


def test_a_redirect_is_followed_on_the_same_host_alone(web: str, answers: Answers, open_fetcher: OpenFetcher) -> None:
    answers["/to.pt"] = (302, {"Location": "/w.pt"}, b"")
    answers["/w.pt"] = (200, {}, DATA)
    answers["/round.pt"] = (302, {"Location": "/round.pt"}, b"")
    answers["/away.pt"] = (302, {"Location": "http://localhost:9/w.pt"}, b"")
    assert open_fetcher().fetch(f"{web}/to.pt", sha256=DIGEST)["sha256"] == DIGEST
    answers["/odd.pt"] = (302, {"Location": "http://["}, b"")
    for path, said in (("/round.pt", "again and again"), ("/away.pt", "another host"), ("/odd.pt", "another host")):
        with pytest.raises(InvalidInput, match=said):
            open_fetcher().fetch(web + path, sha256=None)


@pytest.mark.parametrize("declared", [True, False])
def test_what_is_too_large_is_not_kept(web: str, answers: Answers, open_fetcher: OpenFetcher, declared: bool) -> None:
    answers["/w.pt"] = (200, {} if declared else {"Content-Length": ""}, DATA)
    with pytest.raises(InvalidInput, match="more bytes") as refused:
        open_fetcher(most=len(DATA) - 1).fetch(f"{web}/w.pt", sha256=None)
    assert "MAX_FILE_GB" in str(refused.value.remedy)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((404, {}, b""), InvalidInput),
        ((401, {}, b""), InvalidInput),
        ((503, {}, b""), Unavailable),
        ((429, {}, b""), Unavailable),
        ((200, {"Content-Length": "7000000"}, DATA), Unavailable),
    ],
)
def test_what_a_server_does_not_give(
    web: str, answers: Answers, open_fetcher: OpenFetcher, answer: Any, error: type[Exception]
) -> None:
    answers["/w.pt"] = answer
    with pytest.raises(error) as raised:
        open_fetcher().fetch(f"{web}/w.pt", sha256=None)
    assert raised.value.remedy  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("hosts", "uri", "addresses", "entry"),
    [
        ("", "https://models.example/w.pt", None, "models.example"),
        ("other.example", "https://models.example/w.pt", None, "models.example"),
        ("models.example", "https://models.example/w.pt", ["10.0.0.7"], "10.0.0.7"),
        ("models.example", "https://models.example/w.pt", ["93.184.215.14", "127.0.0.1"], "127.0.0.1"),
        ("public", "https://models.example/w.pt", ["169.254.169.254"], "169.254.169.254"),
        ("public", "https://models.example/w.pt", ["::ffff:192.168.1.1"], "::ffff:192.168.1.1"),
        ("public", "https://models.example/w.pt", ["64:ff9b::a00:7"], "64:ff9b::a00:7"),
        ("public", "https://[::1]/w.pt", None, "::1"),
        ("public", "https://192.168.1.1/w.pt", None, "192.168.1.1"),
        ("public,10.0.0.0/8", "https://172.16.0.1/w.pt", None, "172.16.0.1"),
    ],
)
def test_a_forbidden_address_is_never_connected_to(
    monkeypatch: pytest.MonkeyPatch, hosts: str, uri: str, addresses: list[str] | None, entry: str
) -> None:
    connect = Mock(side_effect=AssertionError("connected"))
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=AssertionError("looked up")))
    resolve = Mock(return_value=[(0, 0, 0, "", (address, 443)) for address in addresses or ()])
    reader = WebReader(AllowedHosts.of(hosts, "SOURCE_HOSTS"), resolve)
    with pytest.raises(InvalidInput) as refused, reader.open(uri):
        pass
    assert f"add {entry} to SOURCE_HOSTS" in str(refused.value.remedy)
    assert not connect.called
    assert resolve.called == (addresses is not None), "an unlisted name is not even looked up"


def test_what_goes_without_tls_stays_on_this_machine() -> None:
    reader = WebReader(
        AllowedHosts.of("public", "SOURCE_HOSTS"), lambda *_, **__: [(0, 0, 0, "", ("93.184.215.14", 80))]
    )
    with pytest.raises(InvalidInput, match="TLS"), reader.open("http://models.example/w.pt"):
        pass


def test_the_connection_goes_to_the_address_that_was_checked(web: str, answers: Answers) -> None:
    answers["/w.pt"] = (200, {}, DATA)
    port = web.rpartition(":")[2]
    looked_up = []

    def resolve(host: str, *_: object, **__: object) -> list[Any]:
        looked_up.append(host)
        return [(0, 0, 0, "", ("127.0.0.1", int(port)))]

    reader = WebReader(AllowedHosts.of("127.0.0.0/8", "SOURCE_HOSTS"), resolve)
    with reader.open(f"http://models.example:{port}/w.pt") as content:
        assert b"".join(content.pieces) == DATA
    assert looked_up == ["models.example"]


def test_a_server_that_is_away(open_fetcher: OpenFetcher) -> None:
    with pytest.raises(Unavailable, match="failed or broke"):
        open_fetcher().fetch("http://127.0.0.1:9/w.pt", sha256=None)


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(InvalidInput, match="SOURCE_HOSTS holds"):
        AllowedHosts.of("http://x", "SOURCE_HOSTS")
