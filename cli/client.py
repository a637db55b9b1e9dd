"""The HTTP API as the command line sees it."""

import time
from collections.abc import Iterator
from typing import Any

import httpx

from service.errors import DissectError, Unavailable

_POLL_S = 0.3


class ServiceError(DissectError):
    """The service answered with a problem."""

    code, title = "service-error", "The service refused the request"


class ServiceClient:
    """Calls the service with an API key and turns its problems into errors."""

    def __init__(self, url: str, api_key: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {api_key}"}, timeout=60.0)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The JSON at a path. Raises ServiceError, Unavailable."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The JSON that answers a POST. Raises ServiceError, Unavailable."""
        return self._call("POST", path, json=body)

    def follow(self, job_id: str) -> Iterator[dict[str, Any]]:
        """The job again and again, until it has ended."""
        while True:
            job = self.get(f"/jobs/{job_id}")
            yield job
            if job["finished_at"] is not None:
                return
            time.sleep(_POLL_S)

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unavailable("The service cannot be reached.", remedy="Is it running?") from error
        answer: dict[str, Any] = response.json()
        if response.is_error:
            raise ServiceError(
                answer["detail"], field=answer.get("field"), value=answer.get("value"), remedy=answer.get("remedy")
            )
        return answer
