"""Who is signed in at the pages: sessions that nobody stores, each proved by a seal made from its name's API key.

Taking a key out of the settings ends its sessions, and so does another key for the same name.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.requests import cookie_parser
from starlette.types import Scope

from api.keys import ApiKey, name_of

COOKIE = "mammodissect_session"
LASTS_S = 12 * 3600

_NONCE_BYTES = 18
_PARTS = re.compile(r"([a-z0-9][a-z0-9._-]{0,63}):([0-9]{1,12}):([A-Za-z0-9_-]{24}):([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session: the name of the key, when it ends in seconds since 1970, and what tells it from all others."""

    name: str
    ends_at: int
    nonce: str


class SignIns:
    """Makes and reads sessions, for the names of the API keys."""

    def __init__(self, keys: Sequence[ApiKey], now: Callable[[], float] = time.time) -> None:
        self._keys = tuple(keys)
        self._sealing_keys: Mapping[str, bytes] = {key.name: _sealing_key(key) for key in keys}
        self._now = now

    def sign_in(self, given_key: str) -> SignedIn | None:
        """A new session for whoever gives a key; None for no such key. Takes as long whichever it is."""
        name = name_of(self._keys, given_key)
        if name is None:
            return None
        return SignedIn(name, int(self._now()) + LASTS_S, secrets.token_urlsafe(_NONCE_BYTES))

    def cookie_of(self, session: SignedIn) -> str:
        """What the browser keeps."""
        return f"{session.name}:{session.ends_at}:{session.nonce}:{self._seal('session', session)}"

    def form_token(self, session: SignedIn) -> str:
        """What every form of that session has to carry, which a page of another origin cannot know."""
        return self._seal("form", session)

    def read(self, cookie: str) -> SignedIn | None:
        """The session of that cookie; None where it is no cookie of ours, has ended, or its key is gone."""
        parts = _PARTS.fullmatch(cookie)
        if parts is None or parts[1] not in self._sealing_keys:
            return None

        session = SignedIn(parts[1], int(parts[2]), parts[3])
        if not hmac.compare_digest(parts[4], self._seal("session", session)):
            return None
        return session if self._now() < session.ends_at else None

    def session_of(self, scope: Scope) -> SignedIn | None:
        """The session of a request; None without a valid cookie."""
        for name, value in scope["headers"]:
            if name == b"cookie" and (cookie := cookie_parser(value.decode("latin-1")).get(COOKIE)):
                return self.read(cookie)
        return None

    def has_token(self, session: SignedIn, token: str) -> bool:
        """Whether that is the form token of the session."""
        return hmac.compare_digest(token.encode(), self.form_token(session).encode())

    def _seal(self, purpose: str, session: SignedIn) -> str:
        message = "\n".join((purpose, session.name, str(session.ends_at), session.nonce))
        return hmac.new(self._sealing_keys[session.name], message.encode(), hashlib.sha256).hexdigest()


def _sealing_key(key: ApiKey) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"mammodissect sessions of pages").derive(key.key)
