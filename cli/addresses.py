"""Where the service is: what `--url` may be, and which addresses are this machine's own."""

import ipaddress
import re
import socket
from contextlib import suppress

import httpx

from service.errors import InvalidInput

_REMEDY = "Write it like http://127.0.0.1:8000 or https://dissect.hospital.example; IPv6 like http://[::1]:8000."
_LABEL = re.compile("[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LONGEST_NAME = 253
_OWN_NAMES = {
    "localhost",
    *("localhost4", "localhost6", "ip6-localhost", "ip6-loopback"),
    *("localhost.localdomain", "localhost4.localdomain4", "localhost6.localdomain6"),
}
"""What files of hosts call this machine, whoever made them."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def service_url(text: str) -> httpx.URL:
    """The URL of a service. Raises InvalidInput, naming what is wrong with it, for all that no call could go to."""
    text = text.strip()

    def refused(why: str) -> InvalidInput:
        shown = without_password(text)
        return InvalidInput(f"--url '{shown}' {why}.", field="url", value=shown, remedy=_REMEDY)

    if "://" not in text:
        raise refused("does not begin with http:// or https://")

    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        # Where there is a password, the reason may hold a part of it.
        raise refused("is not a URL" if "@" in text else f"is not a URL: {_lower(str(error))}") from None

    if url.scheme not in {"http", "https"}:
        raise refused("does not begin with http:// or https://")
    if url.userinfo:
        raise refused("contains a user or password; the API key is used instead")
    if url.query or url.fragment:
        raise refused("has a part after ? or #")
    if problem := host_problem(ascii_host(url)):
        raise refused(problem)
    if problem := port_problem(url.port):
        raise refused(problem)

    return url


def host_problem(host: str) -> str | None:
    """Why no connection could ever go to such a host; None where one could."""
    if not host:
        return "does not name a host"
    if address_of(host) is not None:
        return None

    labels = host.rstrip(".").lower().split(".")
    if len(host) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        return f"names an impossible host, '{host}'"

    return None


def port_problem(port: int | None) -> str | None:
    """Why there is no such port; None where there is."""
    return None if port is None or 0 < port < 2**16 else f"names port {port}, which is not from 1 to 65535"


def ascii_host(url: httpx.URL) -> str:
    """The host as it is asked for: international names in ASCII, xn--..."""
    return url.raw_host.decode("ascii")


def is_this_machine(host: str) -> bool:
    """Does the host, by its name or number alone, stand for this machine? A connection to no address goes here, too."""
    name = host.rstrip(".").lower()
    if name in {*_OWN_NAMES, socket.gethostname().lower()} or name.endswith(".localhost"):
        return True

    address = address_of(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address is not None and (address.is_loopback or address.is_unspecified)


def address_of(host: str) -> Address | None:
    """The number that a host is, in brackets or not; None for a name."""
    with suppress(ValueError):
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    with suppress(OSError):  # 127.1 and the like, which the system takes for numbers, too
        return ipaddress.ip_address(socket.inet_ntoa(socket.inet_aton(host)))
    return None


def without_password(text: str) -> str:
    """A URL as it may be shown."""
    return re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", text, flags=re.DOTALL)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
