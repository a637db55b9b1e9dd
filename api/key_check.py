"""The API key is checked before anything else is done for a request, the reading of its body included."""

from urllib.parse import quote

from starlette._utils import get_route_path
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.keys import ApiKey, name_of
from api.problems import answer_to
from api.routes import docs
from api.sessions import SignedIn, SignIns
from api.trail import READING
from service.errors import Unauthorized

OPEN_PATHS = (
    frozenset({"/", "/health/live", "/health/ready", "/openapi.json", "/registry-events", "/ui/sign-in"}) | docs.PATHS
)
"""What is served without a key: probes, the contract and its page. A webhook to /registry-events is signed instead."""

PAGES = "/ui"
SIGN_IN = "/ui/sign-in"
OPEN_FILES = "/ui/static/"


class KeyCheck:
    """Lets requests pass that carry a key, and notes under which name; all others are answered 401.

    The session of whoever has signed in stands for the key: everywhere for what only reads, and for what changes
    something only at the pages, whose routes ask for the token of the session's forms. Whoever has not is led from a
    page to the one where they can.
    """

    def __init__(self, app: ASGIApp, keys: tuple[ApiKey, ...], sign_ins: SignIns) -> None:
        self._app = app
        self._keys = keys
        self._sign_ins = sign_ins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or is_open(get_route_path(scope)):
            await self._app(scope, receive, send)
            return

        given_key = _given_key(scope)
        session = None if given_key is not None else self._session_of(scope)
        name = session.name if session is not None else name_of(self._keys, given_key or "")

        if name is None:
            refusal = _to_sign_in(scope) if given_key is None and is_page(scope) else answer_to(no_key())
            await refusal(scope, receive, send)
            return

        state = scope.setdefault("state", {})
        state["actor"] = name
        state["signed_in"] = session
        await self._app(scope, receive, send)

    def _session_of(self, scope: Scope) -> SignedIn | None:
        if scope["method"] not in READING and not is_page(scope):
            return None
        return self._sign_ins.session_of(scope)


def is_open(path: str) -> bool:
    """Whether that path is served without a key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FILES)


def is_page(scope: Scope) -> bool:
    """Whether the request is for a page."""
    path = get_route_path(scope)
    return path == PAGES or path.startswith(f"{PAGES}/")


def no_key() -> Unauthorized:
    """The error for a request without a valid key."""
    return Unauthorized(
        "The request carries no valid API key.",
        field="Authorization",
        remedy="Send it in the header `Authorization: Bearer <key>`.",
    )


def _given_key(scope: Scope) -> str | None:
    """The key in the header; None where there is no such header, and empty where it is of another kind."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            return key.strip() if scheme.lower() == "bearer" else ""
    return None


def _to_sign_in(scope: Scope) -> RedirectResponse:
    """To the sign-in, and from there back to the page; what was posted is not repeated."""
    next_page = PAGES
    if scope["method"] in READING:
        query = scope["query_string"].decode("latin-1")
        next_page = get_route_path(scope) + (f"?{query}" if query else "")

    leads_to = SIGN_IN if next_page == PAGES else f"{SIGN_IN}?next={quote(next_page, safe='/')}"
    return RedirectResponse(leads_to, 303, headers={"Cache-Control": "no-store"})
