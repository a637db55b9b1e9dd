"""Sign in with an API key, and sign out."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse
from starlette.types import Scope

from api.dependencies import SessionDep
from api.key_check import PAGES, SIGN_IN
from api.pages.forms import FormDep, PageRoute, parse_form
from api.pages.rendering import page
from api.sessions import COOKIE, LASTS_S, SignIns
from api.trail import name_actor
from service.errors import Unauthorized


class SignInRoute(PageRoute):
    """Where keys are sent. A wrong one takes no place of the gate and leaves nothing in the trail."""

    secret_bodies = True

    def check_body(self, scope: Scope, body: bytes) -> None:
        """Raise Unauthorized for a wrong key."""
        sign_ins: SignIns = scope["app"].state.sign_ins
        if sign_ins.sign_in(parse_form(body).text("key")) is None:
            raise _wrong_key()


router = APIRouter(include_in_schema=False, route_class=PageRoute)
entry = APIRouter(include_in_schema=False, route_class=SignInRoute)
"""Served without a key."""

NextPage = Annotated[str, Query(alias="next", max_length=2_000)]


@entry.get(SIGN_IN)
def show_sign_in(request: Request) -> Response:
    """The form that asks for a key."""
    return page(request, "sign_in.html", refused=None)


@entry.post(SIGN_IN)
def sign_in(request: Request, form: FormDep, _: SessionDep, next_page: NextPage = PAGES) -> Response:
    """Begin a session, and go on to the page that was asked for. Raises Unauthorized for a wrong key."""
    sign_ins: SignIns = request.app.state.sign_ins
    session = sign_ins.sign_in(form.text("key"))
    if session is None:
        raise _wrong_key()

    name_actor(request, session.name)
    answer = RedirectResponse(_local(next_page), 303, headers={"Cache-Control": "no-store"})
    answer.set_cookie(
        COOKIE,
        sign_ins.cookie_of(session),
        max_age=LASTS_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/ui/sign-out")
def sign_out(request: Request, _: SessionDep) -> Response:
    """End the session in this browser."""
    answer = RedirectResponse(SIGN_IN, 303, headers={"Cache-Control": "no-store"})
    secure = request.url.scheme == "https"
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=secure)
    return answer


def _local(next_page: str) -> str:
    """The page to go on to; home instead of anything that is no page of ours."""
    path = next_page.partition("?")[0]
    printable = next_page.isascii() and next_page.isprintable() and "\\" not in next_page and " " not in next_page
    return next_page if printable and (path == PAGES or path.startswith(f"{PAGES}/")) else PAGES


def _wrong_key() -> Unauthorized:
    return Unauthorized("That is no API key of this service.", field="key", remedy="Ask whoever runs it for one.")
