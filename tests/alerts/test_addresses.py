"""Where webhooks may go."""

from ipaddress import ip_address

import pytest

from service.config import Settings
from service.delivery.addresses import AllowedHosts, check_url
from service.errors import InvalidInput

INSIDE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::",
    "64:ff9b::a9fe:a9fe",
]


def admitted(setting: str, host: str, address: str) -> bool:
    return AllowedHosts.of(setting).admit(host, ip_address(address))


@pytest.mark.parametrize("address", INSIDE)
def test_by_default_nothing_inside_can_be_reached(address: str) -> None:
    default = Settings().alert_hosts
    assert not admitted(default, "anything.example", address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses(address: str) -> None:
    assert admitted("public", "anything.example", address)
    assert not admitted("alerts.hospital.test", "anything.example", address)
    assert not admitted("", "anything.example", address)


def test_networks_names_and_suffixes() -> None:
    setting = "10.20.0.0/16, Alerts.hospital.test,*.lab.test, fd00:1::/32"
    assert admitted(setting, "x", "10.20.3.4")
    assert admitted(setting, "x", "::ffff:10.20.3.4")
    assert not admitted(setting, "x", "10.21.3.4")
    assert admitted(setting, "x", "fd00:1::9")
    assert admitted(setting, "ALERTS.hospital.test.", "192.168.1.1")
    assert admitted(setting, "a.b.lab.test", "192.168.1.1")
    for host in ("lab.test", "evil-lab.test", "alerts.hospital.test.evil.example", "x.alerts.hospital.test"):
        assert not admitted(setting, host, "192.168.1.1"), host
    assert not admitted(setting, "alerts.hospital.test", "169.254.169.254"), "no name leads to a cloud's secrets"
    assert admitted("169.254.169.254/32", "x", "169.254.169.254")


@pytest.mark.parametrize("setting", ["10.20.0.1/16", "https://x.example", "a b", "*.", "*", "public;private"])
def test_a_setting_that_cannot_be_understood(setting: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        AllowedHosts.of(setting)
    assert caught.value.field == "alert_hosts"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "alerts.example.org/hook",
        "ftp://alerts.example.org/",
        "file:///etc/passwd",
        "https:///hook",
        "https://",
        "https://user:password@alerts.example.org/",
        "https://alerts.example.org/#part",
        "https://alerts.example.org:0/",
        "https://alerts.example.org:99999/",
        "https://alerts.example.org/a b",
        "https://alerts.example.org/\r\nx: y",
        "https://alerts.exämple.org/",
        "https://[::1/",
        "https://alerts.example.org/" + "x" * 2000,
        "http://alerts.example.org/",
        "https://127.0.0.1/",
        "http://127.0.0.1/",
        "https://localhost/",
        "http://localhost:8000/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.5/",
    ],
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_url(url, Settings())
    assert (caught.value.field, bool(caught.value.remedy)) == ("url", True)


def test_urls_that_can_be_used() -> None:
    assert check_url("https://alerts.example.org/hook?x=1", Settings()).hostname == "alerts.example.org"
    assert check_url("http://alerts.example.org/", Settings(alert_http=True))
    inside = Settings(alert_hosts="localhost,127.0.0.0/8,10.0.0.0/8")
    assert check_url("http://localhost:9000/hook", inside).port == 9000
    assert check_url("http://127.0.0.1:9000/hook", inside)
    assert check_url("https://10.0.0.5/", inside)
    with pytest.raises(InvalidInput, match="TLS"):
        check_url("http://10.0.0.5/", inside)
