"""Files of web servers: of allowed hosts alone, at addresses that were looked up and checked before the connection."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urljoin, urlsplit

import httpx

from service.delivery.addresses import AllowedHosts, Destination, Resolver
from service.errors import DissectError
from service.sources.content import PIECE, Content, away, refused

_PORTS = {"http": 80, "https": 443}
_MOST_REDIRECTS = 5
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


@dataclass(frozen=True, slots=True)
class WebReader:
    """See `Reader`. hosts: the setting SOURCE_HOSTS, understood."""

    hosts: AllowedHosts
    resolve: Resolver = socket.getaddrinfo

    @contextmanager
    def open(self, uri: str) -> Iterator[Content]:
        """See `Reader.open`. A redirect is followed on the same host."""
        with httpx.Client(verify=httpx.create_ssl_context(), timeout=_TIMEOUT, trust_env=False) as client:
            url = uri
            for _ in range(_MOST_REDIRECTS):
                with self._requested(client, url, uri) as response:
                    if not response.is_redirect:
                        yield _content(response, uri)
                        return
                    url = _redirected(url, response, uri)
            raise refused("The server redirects again and again.", uri, "Name the file's final address.")

    @contextmanager
    def _requested(self, client: httpx.Client, url: str, uri: str) -> Iterator[httpx.Response]:
        destination = self._look_up(url, uri)
        request = client.build_request(
            "GET",
            destination.url_at(destination.addresses[0]),
            headers={"host": destination.host_header, "accept-encoding": "identity"},
            extensions={"sni_hostname": destination.host},
        )
        try:
            response = client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise _failed(error, uri) from None

        try:
            yield response
        finally:
            response.close()

    def _look_up(self, url: str, uri: str) -> Destination:
        """Where the URL leads. Raises InvalidInput unless host and every address of it are allowed."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        literal = _literal(host)
        if literal is None and not self.hosts.lists(host):
            raise _forbidden(f"Files may not be fetched from {host}.", host, uri)

        try:
            infos = [(0, 0, 0, "", (literal,))] if literal else self.resolve(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise away(f"{host} cannot be resolved.", uri) from None

        addresses = tuple(dict.fromkeys(str(socket_address[0]) for *_, socket_address in infos))
        for address in addresses:
            if not self.hosts.admit_listed(host, address):
                raise _forbidden(f"{host} is {address}, from where files may not be fetched.", address, uri)
            if parts.scheme == "http" and not ip_address(address).is_loopback:
                raise refused("Without TLS, anyone on the network path can change it.", uri, "Use https://.")
        return Destination(parts, host, port, addresses)


def _content(response: httpx.Response, uri: str) -> Content:
    status = response.status_code
    if status >= 500 or status in _LATER:
        raise away(f"The server answered {status}.", uri)
    if status != HTTPStatus.OK:
        raise refused(f"The server answered {status}.", uri, "Name a file that the server gives without a login.")

    length = response.headers.get("content-length", "")
    size = int(length) if length.isdecimal() else None
    return Content(_pieces(response, uri), size, uri, response.headers.get("etag"))


def _pieces(response: httpx.Response, uri: str) -> Iterator[bytes]:
    try:
        yield from response.iter_raw(PIECE)
    except httpx.HTTPError as error:
        raise _failed(error, uri) from None


def _redirected(url: str, response: httpx.Response, uri: str) -> str:
    before = urlsplit(url)
    try:
        location = urljoin(url, str(response.headers.get("location", "")))
        after = urlsplit(location)
        is_same_host = (after.scheme, after.hostname, after.port) == (before.scheme, before.hostname, before.port)
    except ValueError:  # it is no URL
        is_same_host = False
    if not is_same_host:
        raise refused("The server redirects to another host.", uri, "Name the file's final address.")
    return location


def _failed(error: httpx.HTTPError, uri: str) -> DissectError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return away(f"The server's certificate is not trusted: {cause.verify_message}.", uri)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.TimeoutException):
        return away("The server does not answer in time.", uri)
    return away("The connection to the server failed or broke.", uri)


def _forbidden(detail: str, entry: str, uri: str) -> DissectError:
    return refused(detail, uri, f"If they should be, add {entry} to SOURCE_HOSTS of the workers.")


def _literal(host: str) -> str | None:
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        return None
