"""The HTTP API as the command line sees it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from service.errors import DissectError, InvalidInput, Unavailable

_AWAY = {502, 503, 504}
"""What the service answers while it cannot work, and a proxy before it while it cannot be reached."""

_POLL_S = 0.3
_DOWNLOAD_S = 600.0


class ServiceError(DissectError):
    """The service answered with a problem, or something that is not the service answered."""

    code, title = "service-error", "The service refused the request"


class ServiceClient:
    """Calls the service with an API key and turns its problems into errors."""

    def __init__(self, url: str, api_key: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=60.0)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The JSON at a path. Raises ServiceError, Unavailable."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON that answers a POST. Raises ServiceError, Unavailable."""
        return self._call("POST", path, json=body)

    def download(self, path: str, out: Path, **params: Any) -> None:
        """Write the body at a path to a file, whole or not at all. Raises ServiceError, Unavailable, InvalidInput."""
        answer = self._send("GET", path, params=params, timeout=_DOWNLOAD_S)
        unfinished = out.with_name(f".{out.name}.{uuid4().hex}")
        try:
            unfinished.write_bytes(answer.content)
            unfinished.replace(out)
        except OSError as error:
            raise InvalidInput(
                f"The file cannot be written: {error.strerror}.",
                field="out",
                value=out,
                remedy="Check folder and rights.",
            ) from None
        finally:
            unfinished.unlink(missing_ok=True)

    def follow(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job again and again, until it has ended."""
        while True:
            job = self.get(f"/jobs/{job_id}")
            yield job
            if job["finished_at"] is not None:
                return
            time.sleep(_POLL_S)

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        answer = _object(self._send(method, path, **arguments))
        if answer is None:
            raise ServiceError(
                f"The answer to {method} {path} is not what the service answers.",
                field="url",
                value=self._http.base_url,
                remedy="Is the service at that URL, with nothing before it that asks for a login?",
            )
        return answer

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unavailable("The service cannot be reached.", remedy="Is it running?") from error
        if not response.is_success:
            raise _problem(response)
        return response


def _problem(response: httpx.Response) -> DissectError:
    problem = _object(response) or {}
    status = f"{response.status_code} {response.reason_phrase}".strip()
    detail, remedy = problem.get("detail"), problem.get("remedy")
    if response.status_code in _AWAY:
        return Unavailable(str(detail or f"The service cannot be reached now: {status}."), remedy=remedy)
    if detail is None:
        return ServiceError(
            f"The answer was {status}, without a reason.",
            field="url",
            value=response.url,
            remedy="Is the service at that URL?",
        )
    return ServiceError(str(detail), field=problem.get("field"), value=problem.get("value"), remedy=remedy)


def _object(response: httpx.Response) -> dict[str, Any] | None:
    """The JSON object in an answer; None where it holds none."""
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
