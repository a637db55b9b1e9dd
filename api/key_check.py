"""The API key is checked before anything else is done for a request, the reading of its body included."""

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from api.keys import ApiKey, name_of
from api.problems import answer_to
from api.routes import docs
from service.errors import Unauthorized

OPEN_PATHS = frozenset({"/health/live", "/health/ready", "/openapi.json", "/registry-events"}) | docs.PATHS
"""What is served without a key: probes, the contract and its page. A webhook to /registry-events is signed instead."""


class KeyCheck:
    """Lets requests pass that carry a key, and notes under which name; all others are answered 401."""

    def __init__(self, app: ASGIApp, keys: tuple[ApiKey, ...]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or get_route_path(scope) in OPEN_PATHS:
            await self._app(scope, receive, send)
            return

        name = name_of(self._keys, _given_key(scope))
        if name is None:
            await answer_to(no_key())(scope, receive, send)
            return

        scope.setdefault("state", {})["actor"] = name
        await self._app(scope, receive, send)


def no_key() -> Unauthorized:
    """The error for a request without a valid key."""
    return Unauthorized(
        "The request carries no valid API key.",
        field="Authorization",
        remedy="Send it in the header `Authorization: Bearer <key>`.",
    )


def _given_key(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            return key.strip() if scheme.lower() == "bearer" else ""
    return ""
