"""Requests to the service: with its key, repeated where that does no harm, and with errors in place of problems."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self
from urllib.parse import quote

import httpx

from client.answers import Answer, error_in, object_in
from client.errors import Away, ClientError, NotTheService, Refused, Unreachable
from client.events import Event, events_in
from client.retries import Waits, may_repeat

PATIENCE_S = 30.0
_ANSWER_S = 60.0
_PAGE = 200
_LARGEST_PAGE = 500

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)

Parameter = str | int | float | bool | Sequence[str] | None
"""What a query may ask for. None is left out; several values are asked for together."""


class Connection:
    """The service at an address, for one caller's key.

    patience_s: for how long a request that fails for a while is repeated. transport: how requests go out, where they
    do not go as the environment's proxies say.
    """

    def __init__(
        self,
        url: str | httpx.URL,
        api_key: str,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Raises ValueError for a key that no header carries. Nothing connects yet."""
        if not (api_key.strip() == api_key and api_key.isascii() and api_key.isprintable() and api_key):
            raise ValueError("The API key is not one line of printable ASCII.")

        self.patience_s = patience_s
        self._was_there = False
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=_ANSWER_S,
            transport=transport,
        )

    @property
    def url(self) -> httpx.URL:
        """The address of the service."""
        return self._http.base_url

    def may_repeat(self, error: ClientError, *, repeatable: bool = True) -> bool:
        """Whether a request that failed so may be sent again, see `client.retries`."""
        return may_repeat(error, repeatable=repeatable, was_there=self._was_there)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, path: str, **params: Parameter) -> Answer:
        """The JSON at a path. Raises Refused, Away, Unreachable, NotTheService."""
        return self._object("GET", path, self.send("GET", path, params=params))

    def post(
        self, path: str, body: Mapping[str, object], *, idempotency_key: str | None = None, repeatable: bool = False
    ) -> Answer:
        """The JSON that answers a POST. Raises Refused, Away, Unreachable, NotTheService.

        idempotency_key: the service does what is asked once, however often it hears this key. repeatable: whether the
        same POST twice does what it does once, also without a key.
        """
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        repeats = repeatable or idempotency_key is not None
        return self._object("POST", path, self.send("POST", path, body=body, headers=headers, repeatable=repeats))

    def pages(
        self, path: str, params: Mapping[str, Parameter] | None = None, *, limit: int | None = None
    ) -> Iterator[Answer]:
        """The pages of a list, until they have `limit` items or there is no further one. Raises what `get` raises."""
        left = limit
        cursor = None
        while True:
            size = _PAGE if left is None else min(left, _LARGEST_PAGE)
            page = self.get(path, **(dict(params or {}) | {"limit": size, "cursor": cursor}))
            if not isinstance(page.get("items"), list):
                raise self._foreign("GET", path)

            yield page
            cursor = page.get("next")
            if left is not None:
                left -= len(page["items"])
            if cursor is None or (left is not None and left <= 0):
                return

    def items(
        self, path: str, params: Mapping[str, Parameter] | None = None, *, limit: int | None = None
    ) -> Iterator[Answer]:
        """The items of a list, from as many pages as that takes. Raises what `get` raises."""
        for page in self.pages(path, params, limit=limit):
            yield from page["items"]

    def events(self, path: str, *, last_event_id: int = 0) -> Iterator[Event]:
        """The server-sent events at a path, behind that one, until the stream ends. Raises what `get` raises."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last_event_id)}
        try:
            with self._http.stream("GET", path, headers=headers) as response:
                self._was_there = True
                if not response.is_success:
                    response.read()
                    raise error_in(response)
                yield from events_in(response.iter_bytes())
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Parameter] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = _ANSWER_S,
        repeatable: bool | None = None,
    ) -> httpx.Response:
        """The answer to a request, sent again while `may_repeat` and patience allow it. Raises what `get` raises.

        repeatable: whether the same request twice does what it does once; left out: whether it only reads.
        """
        request = self._request(method, path, params, body, headers, timeout_s)
        repeats = method == "GET" if repeatable is None else repeatable
        waits = Waits(self.patience_s)
        while True:
            try:
                return self._send_once(request)
            except (Away, Unreachable) as error:
                if not self.may_repeat(error, repeatable=repeats):
                    raise

                wait_s = waits.before_next(error)
                if wait_s is None:
                    raise

            time.sleep(wait_s)

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, Parameter] | None,
        body: Mapping[str, object] | None,
        headers: Mapping[str, str] | None,
        timeout_s: float,
    ) -> httpx.Request:
        asked = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            return self._http.build_request(
                method, path, params=asked or None, json=body, headers=headers, timeout=timeout_s
            )
        except httpx.InvalidURL as error:
            raise Refused(
                f"{method} {path} is not a possible request: {error}",
                status=400,
                field="url",
                value=path,
                remedy="Check names and ids.",
            ) from None

    def _send_once(self, request: httpx.Request) -> httpx.Response:
        try:
            response = self._http.send(request)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

        self._was_there = True
        if not response.is_success:
            raise error_in(response)
        return response

    def _object(self, method: str, path: str, response: httpx.Response) -> Answer:
        answer = object_in(response)
        if answer is None:
            raise self._foreign(method, path)
        return answer

    def _foreign(self, method: str, path: str) -> NotTheService:
        return NotTheService(
            f"The answer to {method} {path} is not an answer of the service.",
            field="url",
            value=self.url,
            remedy="Check that the service is at that URL, without a login page in front of it.",
        )

    def _unreachable(self, error: httpx.HTTPError) -> Unreachable:
        why = str(error).rstrip(".") or type(error).__name__
        return Unreachable(
            f"The service at {self.url} cannot be reached: {why}.",
            sent=not isinstance(error, _NEVER_SENT),
            value=self.url,
            remedy="Is it running?",
        )


def path_of(*segments: object) -> str:
    """The path of a thing with those names, whatever characters they hold."""
    return "".join(f"/{quote(str(segment), safe='')}" for segment in segments)
