"""Where webhooks may go. Whoever may register a URL must not thereby reach what only this machine can reach."""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

from service.config import Settings
from service.delivery.failed import AttemptFailed
from service.domain.alerts import Failure
from service.errors import InvalidInput

PUBLIC = "public"
LONGEST_URL = 2000

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
AddressInfo = tuple[int, int, int, str, tuple[object, ...]]
"""Family, type, protocol, canonical name, and socket address, which begins with the IP address."""

Resolver = Callable[..., Sequence[AddressInfo]]
"""As socket.getaddrinfo."""

_NAT64 = IPv6Network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """A setting of allowed hosts, understood. A name that is listed may lead to any address but link-local ones."""

    public: bool
    host_names: frozenset[str]
    suffixes: tuple[str, ...]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, setting: str, name: str = "ALERT_HOSTS") -> "AllowedHosts":
        """Understand the setting of that name.

        Raises InvalidInput for an entry that is neither name, suffix nor network.
        """
        public = False
        host_names: set[str] = set()
        suffixes: list[str] = []
        networks: list[Network] = []

        entries = (part.strip().lower() for part in setting.split(","))
        for entry in filter(None, entries):
            if entry == PUBLIC:
                public = True
            elif entry.startswith("*.") and _is_name(entry[2:]):
                suffixes.append(entry[1:])
            elif (network := _network(entry)) is not None:
                networks.append(network)
            elif _is_name(entry):
                host_names.add(entry)
            else:
                raise InvalidInput(
                    f"{name} holds '{entry}', which is not a name, suffix or network.",
                    field=name.lower(),
                    value=entry,
                    remedy="Write it as in public,alerts.example.org,*.example.org,10.20.0.0/16.",
                )

        return cls(public, frozenset(host_names), tuple(suffixes), tuple(networks))

    def admit(self, host: str, address: Address) -> bool:
        """May a webhook for this host go to this address?"""
        address = _inner(address)
        if self._in_network(address):
            return True
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            return False

        return self._names(host) or (self.public and address.is_global)

    def lists(self, host: str) -> bool:
        """May anything be asked of this host, whatever address it has? One that no entry covers is not looked up."""
        return self.public or bool(self.networks) or self._names(host)

    def admit_listed(self, host: str, address: str) -> bool:
        """As `admit`, but an address that is not public has to be in one of the networks: a name is not enough."""
        parsed = _address(address)
        if parsed is None:
            return False

        parsed = _inner(parsed)
        if self._in_network(parsed):
            return True
        return parsed.is_global and not parsed.is_multicast and (self.public or self._names(host))

    def _names(self, host: str) -> bool:
        host = host.lower().rstrip(".")
        return host in self.host_names or host.endswith(self.suffixes)

    def _in_network(self, address: Address) -> bool:
        same_version = [network for network in self.networks if network.version == address.version]
        return any(address in network for network in same_version)


@dataclass(frozen=True, slots=True)
class Destination:
    """A URL whose host has been looked up: the addresses that may be connected to."""

    parts: SplitResult
    host: str
    port: int
    addresses: tuple[str, ...]

    def url_at(self, address: str) -> str:
        """The URL with the address in place of the name, so that nothing is looked up a second time."""
        literal = f"[{address}]" if ":" in address else address
        return self.parts._replace(netloc=f"{literal}:{self.port}").geturl()

    @property
    def host_header(self) -> str:
        """Host as the receiver knows it."""
        return self.parts.netloc


def check_url(url: str, settings: Settings) -> SplitResult:
    """Could a webhook go there? Names are looked up later, when it does. Raises InvalidInput."""
    parts = _split(url)
    host = parts.hostname or ""
    literal = _address(host)
    on_loopback = host == "localhost" or (literal is not None and _inner(literal).is_loopback)
    if parts.scheme == "http" and not on_loopback and not settings.alert_http:
        raise _unusable(url, "Without TLS, anyone on the network path can read it.", "Use https://, or set ALERT_HTTP.")

    allowed = AllowedHosts.of(settings.alert_hosts)
    if literal is not None and not allowed.admit(host, literal):
        raise _unusable(url, f"Alerts are not allowed to go to {host}.", _remedy(host))
    if host == "localhost" and not allowed.admit(host, IPv4Address("127.0.0.1")):
        raise _unusable(url, "Alerts are not allowed to go to this machine.", _remedy(host))

    return parts


def look_up(url: str, settings: Settings, resolve: Resolver = socket.getaddrinfo) -> Destination:
    """Look up the host of a URL. Raises AttemptFailed if there is none, or any of its addresses is not allowed."""
    try:
        parts = check_url(url, settings)
    except InvalidInput as error:  # the settings have changed since it was registered
        raise AttemptFailed(Failure.FORBIDDEN_ADDRESS, str(error)) from error

    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    try:
        infos = resolve(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AttemptFailed(Failure.NAME, f"{host} cannot be resolved.") from error

    addresses = tuple(dict.fromkeys(str(socket_address[0]) for *_, socket_address in infos))
    allowed = AllowedHosts.of(settings.alert_hosts)
    for address in addresses:
        parsed = _address(address)
        if parsed is None or not allowed.admit(host, parsed):
            detail = f"{host} resolves to {address}, where alerts are not allowed to go. {_remedy(host)}"
            raise AttemptFailed(Failure.FORBIDDEN_ADDRESS, detail)

    return Destination(parts, host, port, addresses)


def _split(url: str) -> SplitResult:
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise _unusable(url, "It is too long or contains characters that must be escaped.", "Write it in plain ASCII.")

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _unusable(url, "It cannot be read.", "Write it as in https://alerts.example.org/hook.") from error

    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise _unusable(url, "It does not name a web server.", "Write it as in https://alerts.example.org/hook.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _unusable(url, "It contains a user or a fragment.", "Leave them out; the signature says who sends it.")

    return parts


def _unusable(url: str, why: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"Alerts cannot go to this URL. {why}", field="url", value=url, remedy=remedy)


def _remedy(host: str) -> str:
    return f"If they should, add {host} to ALERT_HOSTS of API and scheduler."


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    labels = text.split(".")
    return all(label and label.replace("-", "").replace("_", "").isalnum() and label.isascii() for label in labels)


def _inner(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that is only another way to it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)

    return address
