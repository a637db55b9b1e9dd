"""Forms of pages: where they may come from, what proves that, and what they hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request, Response
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import Scope

from api.one_thread import OneThreadRoute
from api.sessions import SignedIn, SignIns
from api.trail import READING
from service.errors import Forbidden, InvalidInput, UnsupportedMediaType

TOKEN_FIELD = "form_token"  # noqa: S105 - the name of a field
_MEDIA_TYPE = "application/x-www-form-urlencoded"
_MOST_FIELDS = 5_000
"""A form that lists the layers of a large network has two thousand."""

_ASK_AGAIN = "Open the page again, and send its form from there."


class Refused(Exception):
    """A form is answered with a page that says what is wrong; what it has changed is rolled back, its entry too."""

    def __init__(self, answer: Response) -> None:
        super().__init__("a form was refused")
        self.answer = answer


async def answer_refused(_: Request, error: Exception) -> Response:
    """The page of a refused form."""
    assert isinstance(error, Refused)  # noqa: S101 - registered for that class
    return error.answer


@dataclass(frozen=True, slots=True)
class Form:
    """What somebody has filled in: fields with their values, in the order in which they were sent."""

    fields: Mapping[str, Sequence[str]]

    def text(self, name: str) -> str:
        """The last value of a field without blanks around it, empty where it was not sent."""
        values = self.fields.get(name, ())
        return values[-1].strip() if values else ""

    def texts(self, name: str) -> list[str]:
        """All values of a field that are not empty."""
        return [value.strip() for value in self.fields.get(name, ()) if value.strip()]

    def has(self, name: str) -> bool:
        """Whether the field was sent: a box that is not ticked is not."""
        return name in self.fields


class PageRoute(OneThreadRoute):
    """A page, or where its form goes. A form has to come from a page of ours, with the token of the session's forms.

    A caller that sends its key in a header has no session and needs no token: no page can make a browser send one.
    """

    def check_head(self, scope: Scope) -> None:
        """Raise Forbidden for a form of another origin, and UnsupportedMediaType for what is no form."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != headers.get("host", ""):
            raise Forbidden(
                "The form was sent from a page of another server.",
                field="Origin",
                value=origin,
                remedy="Open the page at the address of this service. A proxy before it has to pass on `Host`.",
            )

        declared = headers.get("content-type", "")
        if declared.partition(";")[0].strip().lower() not in {"", _MEDIA_TYPE}:
            raise UnsupportedMediaType(
                "What was sent is no form.", field="Content-Type", value=declared, remedy=f"Send {_MEDIA_TYPE}."
            )

    def check_body(self, scope: Scope, body: bytes) -> None:
        """Raise Forbidden for a form without the session's token, and InvalidInput for what is no form."""
        form = parse_form(body)
        session = session_of(scope)
        if session is None:
            return

        sign_ins: SignIns = scope["app"].state.sign_ins
        if not sign_ins.has_token(session, form.text(TOKEN_FIELD)):
            raise Forbidden("The form does not belong to your present session.", field=TOKEN_FIELD, remedy=_ASK_AGAIN)


class LongPageRoute(PageRoute):
    """A page that may take seconds."""

    takes_long = True


def _host_of(origin: str) -> str | None:
    """The host of an origin, with its port; None where it is none, as `null` is."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def session_of(scope: Scope) -> SignedIn | None:
    """The session that `KeyCheck` found; None where the caller sent a key, or is nobody yet."""
    session: SignedIn | None = scope.get("state", {}).get("signed_in")
    return session


def parse_form(body: bytes) -> Form:
    """The fields of a form. Raises InvalidInput for a body that is none."""
    try:
        text = body.decode("ascii")
        fields = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise InvalidInput(
            f"The form cannot be read, or has more than {_MOST_FIELDS:,} fields.", field="body", remedy=_ASK_AGAIN
        ) from None

    if any("\0" in value for values in fields.values() for value in values):
        raise InvalidInput("The form holds the character NUL.", field="body", remedy="Leave it out.")
    return Form(fields)


async def _form(request: Request) -> Form:
    return Form({}) if request.method in READING else parse_form(await request.body())


FormDep = Annotated[Form, Depends(_form)]


def see_other(response: Response, path: str, *, made: str | None = None) -> Response:
    """The answer to a form: go on to that page.

    response: FastAPI's, where the trail looks for what has come of a call. made: what has come of it, as the API names
    it: `/jobs/1`.
    """
    if made is not None:
        response.headers["Location"] = made
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})
