"""Errors as RFC 9457 problem details. One table says which class of error has which status."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from service.errors import Conflict, DissectError, InvalidInput, NotFound, Unauthorized, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

STATUS: dict[type[DissectError], int] = {
    InvalidInput: 422,
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
}
"""Status of an error: that of its nearest ancestor in this table, else 500."""

log = structlog.get_logger()


class Problem(BaseModel):
    """An RFC 9457 problem: what went wrong, with which input, and what to do about it."""

    type: str = Field(examples=["urn:mammodissect:problem:unknown-layer"])
    title: str
    status: int
    detail: str
    field: str | None = None
    value: str | None = None
    remedy: str | None = None
    errors: list[dict[str, str]] | None = Field(default=None, description="Every field that is wrong, if several are.")


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    app.add_exception_handler(DissectError, _on_dissect_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_crash)


def _answer(status: int, code: str, title: str, detail: str, **more: Any) -> JSONResponse:
    body = {"type": f"urn:mammodissect:problem:{code}", "title": title, "status": status, "detail": detail}
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(body | more, status, headers=headers, media_type=MEDIA_TYPE)


async def _on_dissect_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DissectError)  # noqa: S101 - registered for that class
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    return _answer(status, **error.as_problem())


async def _on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for that class
    errors = [{"field": _field(one["loc"]), "detail": one["msg"]} for one in error.errors()]
    first = errors[0]
    detail = f"{first['field']}: {first['detail']}."
    return _answer(422, InvalidInput.code, InvalidInput.title, detail, field=first["field"], errors=errors)


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class
    phrase = HTTPStatus(error.status_code).phrase
    answer = _answer(error.status_code, phrase.lower().replace(" ", "-"), phrase, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _on_crash(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return _answer(500, DissectError.code, DissectError.title, "Something went wrong here; the log has the details.")


def _field(location: Sequence[str | int]) -> str:
    """('body', 'method', 'top_k') -> 'method.top_k'."""
    inner = location[1:] if location and location[0] in {"body", "query", "path", "header"} else location
    return ".".join(map(str, inner)) or str(location[0] if location else "body")
