"""A template filled in, as the answer that a browser gets."""

from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version

from fastapi import Request, Response
from jinja2 import Environment

from api.pages import static_files, words
from api.pages.forms import TOKEN_FIELD, session_of
from api.sessions import SignIns
from service.reports.environments import environment_of

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # Under `no-referrer` browsers would send `Origin: null` with our own forms; other servers learn nothing either way.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}


def page(request: Request, template: str, /, *, status_code: int = 200, **content: object) -> Response:
    """A page: the template in api/pages/templates, filled in. All of it is escaped, except our own drawings.

    Every name that the template uses has to be in `content`, or be one of `_surroundings`.
    """
    text = _environment().get_template(template).render(**_surroundings(request), **content)
    return Response(text, status_code, HEADERS, "text/html; charset=utf-8")


def _surroundings(request: Request) -> dict[str, object]:
    """What every template may use: who is signed in, the token of their forms, the navigation, where this page is."""
    session = session_of(request.scope)
    sign_ins: SignIns = request.app.state.sign_ins
    return {
        "actor": getattr(request.state, "actor", None),
        "signed_in": session is not None,
        "form_token": "" if session is None else sign_ins.form_token(session),
        "token_field": TOKEN_FIELD,
        "navigation": request.app.state.navigation,
        "here": request.url.path,
        "asked": request.query_params,
    }


@cache
def _environment() -> Environment:
    environment = environment_of("api.pages")
    environment.filters |= {
        "spoken_time": spoken_time,
        "machine_time": machine_time,
    }
    environment.globals |= {
        "asset": static_files.address_of,
        "version": version("mammo-clip-dissect-service"),
        "words": words.WORDS,
    }
    return environment


def spoken_time(moment: datetime) -> str:
    """A moment for people; a script of ours puts it into the reader's own zone."""
    return moment.astimezone(UTC).strftime("%-d %B %Y, %H:%M UTC")


def machine_time(moment: datetime) -> str:
    """A moment for the attribute `datetime`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
