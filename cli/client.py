"""The HTTP API as the command line sees it: the client, with our proxies and our errors."""

import os
import ssl
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from cli.addresses import service_url
from cli.documents import write_document
from cli.proxies import Proxy, proxy_for
from client import Away, ClientError, Connection, Event, Unreachable, path_of
from client.answers import Answer
from client.connection import Parameter
from client.following import follow_job
from service.errors import DissectError, InvalidInput, Unavailable
from service.key_files import check_key

__all__ = ["Answer", "Parameter", "ServiceClient", "ServiceError", "path_of"]

_POLL_S = 0.3
_DOWNLOAD_S = 600.0


class ServiceError(DissectError):
    """The service answered with a problem, or something that is not the service answered."""

    code, title = "service-error", "The service refused the request"


class ServiceClient:
    """Calls the service with an API key and turns its problems into errors.

    Calls to this machine go there directly; others go through the proxy that the environment names.
    patience_s: for how long requests that fail for a while are repeated.
    """

    def __init__(self, url: str, api_key: str, *, patience_s: float = 0.0) -> None:
        """Raises InvalidInput for a URL, key, proxy or certificate file that cannot be used. Nothing connects yet."""
        check_key(api_key, field="api_key", remedy="Give the API key that the service was started with.")
        address = service_url(url)
        self._proxy = proxy_for(address, os.environ)
        transport = _transport(address, self._proxy)
        self._connection = Connection(address, api_key, patience_s=patience_s, transport=transport)

    @property
    def url(self) -> str:
        """The address of the service."""
        return str(self._connection.url)

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()

    def get(self, path: str, **params: Parameter) -> Answer:
        """The JSON at a path. Raises ServiceError, Unavailable."""
        with self._in_our_errors():
            return self._connection.get(path, **params)

    def post(
        self, path: str, body: Mapping[str, object], *, idempotency_key: str | None = None, repeatable: bool = False
    ) -> Answer:
        """The JSON that answers a POST, see `Connection.post`. Raises ServiceError, Unavailable."""
        with self._in_our_errors():
            return self._connection.post(path, body, idempotency_key=idempotency_key, repeatable=repeatable)

    def pages(self, path: str, params: Mapping[str, Parameter], *, limit: int | None) -> Iterator[Answer]:
        """The pages of a list, until they have that many items. Raises ServiceError, Unavailable."""
        with self._in_our_errors():
            yield from self._connection.pages(path, params, limit=limit)

    def events(self, path: str, *, last_event_id: int = 0) -> Generator[Event, None, None]:
        """The events at a path, behind that one, until the stream ends. Raises ServiceError, Unavailable."""
        with self._in_our_errors():
            yield from self._connection.events(path, last_event_id=last_event_id)

    def job_events(self, job_id: str) -> Generator[Event, None, None]:
        """A job's events until it has ended, over as many streams as that takes. Raises ServiceError, Unavailable."""
        with self._in_our_errors():
            yield from follow_job(self._connection, job_id)

    def download(self, path: str, out: Path, **params: Parameter) -> None:
        """Write the body at a path to a file, whole or not at all. Raises ServiceError, Unavailable, InvalidInput."""
        with self._in_our_errors():
            response = self._connection.send("GET", path, params=params, timeout_s=_DOWNLOAD_S)
        write_document(out, response.content, field="out")

    def follow(self, job_id: str) -> Iterator[Answer]:
        """The job again and again, until it has ended."""
        while True:
            job = self.get(path_of("jobs", job_id))
            yield job
            if job["finished_at"] is not None:
                return
            time.sleep(_POLL_S)

    def wait_for_images(self, probe_set: str) -> None:
        """Wait until the probe set's patches are known. Raises ServiceError where an image cannot be measured."""
        while True:
            registered = self.get(f"/probe-sets/{probe_set}")
            if registered["spec"]["images"] is not None:
                return

            problem = registered["problem"]
            if problem is not None:
                raise ServiceError(problem["detail"], remedy=problem.get("remedy"))

            time.sleep(_POLL_S)

    @contextmanager
    def _in_our_errors(self) -> Iterator[None]:
        try:
            yield
        except Unreachable as error:
            raise self._unreachable(error) from error
        except Away as error:
            raise Unavailable(error.detail, remedy=error.remedy) from error
        except ClientError as error:
            raise ServiceError(error.detail, field=error.field, value=error.value, remedy=error.remedy) from error

    def _unreachable(self, error: Unreachable) -> Unavailable:
        remedy = error.remedy
        if self._proxy is not None:
            through = f"Calls to it go through the proxy of {self._proxy.variable}; no_proxy names hosts without one."
            remedy = f"{remedy} {through}"
        return Unavailable(error.detail, field=error.field, value=error.value, remedy=remedy)


def _transport(url: httpx.URL, proxy: Proxy | None) -> httpx.HTTPTransport:
    # Without encryption there is no certificate to check, and no file of authorities to read.
    encrypted = url.scheme == "https" or (proxy is not None and proxy.url.scheme == "https")

    try:
        return httpx.HTTPTransport(verify=encrypted, proxy=None if proxy is None else httpx.Proxy(proxy.url))
    except (OSError, ssl.SSLError) as error:
        variables_set = (name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
        variable = next(variables_set, "SSL_CERT_FILE")
        raise InvalidInput(
            f"The CA certificates cannot be read: {error}.",
            field=variable,
            value=os.environ.get(variable),
            remedy=f"Set {variable} to a PEM file or folder that can be read, or unset it.",
        ) from None
