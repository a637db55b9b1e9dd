"""What `--url` may be."""

import pytest

from cli.addresses import ascii_host, is_this_machine, service_url
from service.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000),
        (" http://localhost:8000/\n", "localhost", 8000),
        ("http://[::1]:8000", "::1", 8000),
        ("HTTPS://Dissect.Hospital.example/prefix", "dissect.hospital.example", None),
        ("https://my_host", "my_host", None),
        ("https://dienst.köln.example", "dienst.xn--kln-sna.example", None),
        ("https://xn--kln-sna.example", "xn--kln-sna.example", None),
        ("https://köln.example", "xn--kln-sna.example", None),
        ("https://xn--a.example", "xn--a.example", None),
    ],
)
def test_urls(text: str, host: str, port: int | None) -> None:
    url = service_url(text)
    assert (ascii_host(url), url.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://[::1:8000", "is not a URL"),
        ("http://host:port", "is not a URL"),
        ("http://host:99999", "port 99999"),
        ("http://host:0", "port 0"),
        ("http://host:-1", "port -1"),
        ("http://", "does not name a host"),
        ("http:///path", "does not name a host"),
        ("http://a b", "an impossible host"),
        ("http://..", "an impossible host"),
        ("http://xn--/", "an impossible host"),
        (f"http://{'a' * 64}.example", "an impossible host"),
        ("http://host\tname", "is not a URL"),
        ("localhost:8000", "does not begin with http"),
        ("127.0.0.1:8000", "does not begin with http"),
        ("ftp://host", "does not begin with http"),
        ("", "does not begin with http"),
        ("http://host?query", "a part after"),
        ("http://host/#part", "a part after"),
        ("http://user:secret-word@host", "user or password"),
        ("http://user:secret/word@[host", "is not a URL"),
    ],
)
def test_what_is_no_url_of_a_service_names_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        service_url(text)
    assert refused.value.field == "url"
    assert refused.value.value is not None
    assert "http://127.0.0.1:8000" in str(refused.value.remedy)
    assert "secret" not in str(refused.value.as_problem())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "127.1", "0x7f000001", "::1", "[::1]", "::ffff:127.0.0.1"])
def test_this_machine_by_number(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "0x0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"])  # noqa: S104
def test_no_address_is_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "api.localhost",
        "localhost.localdomain",
        "localhost6",
        "ip6-localhost",
        "ip6-loopback",
    ],
)
def test_this_machine_by_name(host: str) -> None:
    assert is_this_machine(host)


def test_this_machine_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Reading-Room")
    assert is_this_machine("reading-room")


@pytest.mark.parametrize("host", ["10.0.0.1", "128.0.0.1", "::2", "localhost.example", "notlocalhost", "127.example"])
def test_another_machine(host: str) -> None:
    assert not is_this_machine(host)
