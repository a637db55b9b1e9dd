"""The HTTP API as the command line sees it."""

import os
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from cli.addresses import service_url
from cli.documents import write_document
from cli.proxies import Proxy, proxy_for
from service.domain.json_values import JsonObject
from service.errors import DissectError, InvalidInput, Unavailable
from service.key_files import check_key

_AWAY = {502, 503, 504}
"""What the service answers while it cannot work, and a proxy before it while it cannot be reached."""

_POLL_S = 0.3
_ANSWER_S = 60.0
_DOWNLOAD_S = 600.0

Answer = dict[str, Any]
"""A JSON object that the service answered; docs/openapi.json has its fields."""

Parameter = str | int | bool
"""What a query may ask for."""


class ServiceError(DissectError):
    """The service answered with a problem, or something that is not the service answered."""

    code, title = "service-error", "The service refused the request"


class ServiceClient:
    """Calls the service with an API key and turns its problems into errors.

    Calls to this machine go there directly; others go through the proxy that the environment names.
    """

    def __init__(self, url: str, api_key: str) -> None:
        """Raises InvalidInput for a URL, key, proxy or certificate file that cannot be used. Nothing connects yet."""
        check_key(api_key, field="api_key", remedy="Give the API key that the service was started with.")
        address = service_url(url)
        self._proxy = proxy_for(address, os.environ)
        self._http = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=_ANSWER_S,
            transport=_transport(address, self._proxy),
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, **params: Parameter) -> Answer:
        """The JSON at a path. Raises ServiceError, Unavailable."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: JsonObject) -> Answer:
        """The JSON that answers a POST. Raises ServiceError, Unavailable."""
        return self._call("POST", path, body=body)

    def download(self, path: str, out: Path, **params: Parameter | list[str]) -> None:
        """Write the body at a path to a file, whole or not at all. Raises ServiceError, Unavailable, InvalidInput."""
        response = self._send("GET", path, params=params, timeout_s=_DOWNLOAD_S)
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

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Parameter | list[str]] | None = None,
        body: JsonObject | None = None,
    ) -> Answer:
        answer = _object(self._send(method, path, params=params, body=body))
        if answer is None:
            raise ServiceError(
                f"The answer to {method} {path} is not an answer of the service.",
                field="url",
                value=self._http.base_url,
                remedy="Check that the service is at that URL, without a login page in front of it.",
            )

        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Parameter | list[str]] | None = None,
        body: JsonObject | None = None,
        timeout_s: float = _ANSWER_S,
    ) -> httpx.Response:
        try:
            response = self._http.request(method, path, params=params, json=body, timeout=timeout_s)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except httpx.InvalidURL as error:
            raise ServiceError(
                f"{method} {path} is not a possible request: {error}",
                field="url",
                value=path,
                remedy="Check names and ids.",
            ) from None

        if not response.is_success:
            raise _problem(response)

        return response

    def _unreachable(self, error: httpx.HTTPError) -> Unavailable:
        why = str(error).rstrip(".") or type(error).__name__
        remedy = "Is it running?"
        if self._proxy is not None:
            remedy += f" Calls to it go through the proxy of {self._proxy.variable}; no_proxy names hosts without one."
        return Unavailable(
            f"The service at {self._http.base_url} cannot be reached: {why}.",
            field="url",
            value=self._http.base_url,
            remedy=remedy,
        )


def path_of(*segments: object) -> str:
    """The path of a thing with those names, whatever characters they hold."""
    return "".join(f"/{quote(str(segment), safe='')}" for segment in segments)


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


def _problem(response: httpx.Response) -> DissectError:
    problem = _object(response) or {}
    status = f"{response.status_code} {response.reason_phrase}".strip()
    detail = problem.get("detail")
    remedy = problem.get("remedy")

    if response.status_code in _AWAY:
        return Unavailable(str(detail or f"The service is not available at the moment: {status}."), remedy=remedy)
    if detail is None:
        return ServiceError(
            f"The service answered {status} without a reason.",
            field="url",
            value=response.url,
            remedy="Check that the service is at that URL.",
        )

    return ServiceError(str(detail), field=problem.get("field"), value=problem.get("value"), remedy=remedy)


def _object(response: httpx.Response) -> Answer | None:
    """The JSON object in an answer; None where it holds none."""
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
