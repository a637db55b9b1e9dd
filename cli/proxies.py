"""Which proxy a call to the service goes through, by the environment's variables.

Read here and not by httpx, which fails on what other programs take, like an IPv6 address in `no_proxy`, and would send
calls to this very machine, with the API key in them, to a proxy elsewhere.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec

import httpx

from cli.addresses import (
    Address,
    address_of,
    ascii_host,
    host_problem,
    is_this_machine,
    port_problem,
    without_password,
)
from service.errors import InvalidInput

_SOCKS = ("socks5", "socks5h")
_SCHEMES = ("http", "https", *_SOCKS)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the variable that names it."""

    url: httpx.URL
    variable: str


def proxy_for(url: httpx.URL, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a URL; none for this machine itself, whatever the variables say, and where `no_proxy` says so.

    Raises InvalidInput, naming the variable, where the one that counts cannot be understood or used.
    """
    if is_this_machine(ascii_host(url)):
        return None
    chosen = _chosen(url.scheme, environment)
    if chosen is None or _goes_direct(url, environment):
        return None
    return _proxy(*chosen)


def _chosen(scheme: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """(variable, value) of the first that is set. Small letters go first, and an empty one hides its capitals."""
    for variable in (f"{scheme}_proxy", "all_proxy"):
        for spelling in (variable, variable.upper()):
            if spelling in environment:
                value = environment[spelling].strip()
                if value:
                    return spelling, value
                break

    return None


def _proxy(variable: str, value: str) -> Proxy:
    def refused(why: str, remedy: str) -> InvalidInput:
        shown = without_password(value)
        return InvalidInput(f"{variable} is '{shown}', which {why}.", field=variable, value=shown, remedy=remedy)

    malformed = f"Set {variable} like http://proxy.example:3128, unset it, or name the service's host in no_proxy."
    try:
        url = httpx.URL(value if "://" in value else f"http://{value}")
    except (httpx.InvalidURL, ValueError):
        raise refused("is not a proxy URL", malformed) from None

    if url.scheme not in _SCHEMES:
        raise refused(f"has an unsupported scheme, {url.scheme}://", malformed)
    if problem := host_problem(ascii_host(url)) or port_problem(url.port):
        raise refused(problem, malformed)
    if url.scheme in _SOCKS and find_spec("socksio") is None:
        raise refused(
            "is a SOCKS proxy, for which the package socksio is not installed",
            f"Install socksio, set {variable} to an HTTP proxy, or name the service's host in no_proxy.",
        )

    return Proxy(url, variable)


def _goes_direct(url: httpx.URL, environment: Mapping[str, str]) -> bool:
    port = url.port or _DEFAULT_PORTS[url.scheme]
    for variable, entry in _exceptions(environment):
        host, entry_port = _split_port(variable, entry)
        if entry_port in {None, port} and _covers(variable, host, ascii_host(url)):
            return True
    return False


def _exceptions(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    variable = "no_proxy" if "no_proxy" in environment else "NO_PROXY"
    for entry in environment.get(variable, "").replace(" ", ",").split(","):
        if entry:
            yield variable, entry


def _split_port(variable: str, entry: str) -> tuple[str, int | None]:
    """'host:80' -> ('host', 80); IPv6 addresses have a port only behind brackets."""
    host, colon, port = entry.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    if not colon or not (in_brackets or ":" not in host):
        return entry, None
    if not port.isdecimal():
        raise _unclear(variable, entry)

    return host, int(port)


def _covers(variable: str, entry: str, host: str) -> bool:
    """Does an entry of `no_proxy` mean the host? `*`, a name with all names below it, an address, or a network."""
    if entry == "*":
        return True
    if "[" in entry or "]" in entry or "/" in entry or ":" in entry:
        network = _network(variable, entry)
        return _in(address_of(host), network)
    if (address := address_of(entry)) is not None:
        return address_of(host) == address

    name = host.rstrip(".").lower()
    wanted = _in_ascii(entry.lower().removeprefix("*").strip("."))
    return name == wanted or name.endswith(f".{wanted}")


def _in_ascii(name: str) -> str:
    with suppress(httpx.InvalidURL):
        return ascii_host(httpx.URL(scheme="http", host=name))
    return name


def _network(variable: str, entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    in_brackets = entry.startswith("[") and entry.endswith("]")
    bare = entry[1:-1] if in_brackets else entry
    try:
        return ipaddress.ip_network(bare, strict=False)
    except ValueError:
        raise _unclear(variable, entry) from None


def _in(address: Address | None, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return address is not None and address.version == network.version and address in network


def _unclear(variable: str, entry: str) -> InvalidInput:
    return InvalidInput(
        f"{variable} holds '{entry}', which is not a host, address or network.",
        field=variable,
        value=entry,
        remedy=f"In {variable}, write names, addresses like 10.1.2.3 or ::1, and networks like 10.0.0.0/8, by commas.",
    )
