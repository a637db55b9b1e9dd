"""Errors as RFC 9457 problem details. One table says which class of error has which status."""

from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException

from api.request_errors import shortened, wrong_fields
from service.errors import (
    Conflict,
    DissectError,
    Forbidden,
    InvalidInput,
    NotFound,
    Overloaded,
    TooLarge,
    TooSlow,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
RETRY_SOON_AFTER_S = 1
"""Where only too many asked at once: the queue is short."""

STATUS: dict[type[DissectError], int] = {
    InvalidInput: 422,
    TooLarge: 413,
    TooSlow: 408,
    UnsupportedMediaType: 415,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
}
"""Status of an error: that of its nearest ancestor in this table, else 500."""

_CONTRACT = "GET /openapi.json lists every path with its methods."

log = structlog.get_logger()

Presentation = Callable[[Request, JSONResponse], Response]
"""What a problem becomes for whoever asked: the problem itself, or a page that shows it."""

_Maker = Callable[[Request, Exception], Awaitable[JSONResponse]]


class Problem(BaseModel):
    """An RFC 9457 problem: what went wrong, with which input, and what to do about it."""

    type: str = Field(examples=["urn:mammodissect:problem:unknown-layer"])
    title: str
    status: int
    detail: str
    field: str | None = None
    value: str | None = None
    remedy: str | None = None
    errors: list[dict[str, str]] | None = Field(default=None, description="All wrong fields, or the first 20.")


def install(app: FastAPI, present: Presentation) -> None:
    """Answer every error of the app with a problem, as `present` makes an answer of it."""
    makers: dict[type[Exception], _Maker] = {
        DissectError: _on_dissect_error,
        RequestValidationError: _on_invalid_request,
        HTTPException: _on_http_error,
        Exception: _on_crash,
    }

    def presented(make: _Maker) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def answer(request: Request, error: Exception) -> Response:
            return present(request, await make(request, error))

        return answer

    for kind, make in makers.items():
        app.add_exception_handler(kind, presented(make))


def describe(app: FastAPI) -> None:
    """Describe errors in the app's OpenAPI document as what they are, in place of FastAPI's own validation errors."""
    without_problems: Callable[[], dict[str, Any]] = app.openapi

    @cache
    def openapi() -> dict[str, Any]:
        document = without_problems()
        schemas = document["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)

        answer = {
            "description": "A problem",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["responses"]["default"] = answer

        return document

    app.openapi = openapi  # type: ignore[method-assign]


def overloaded(detail: str) -> Overloaded:
    """The error for a request that may be sent again soon, as `answer_to` tells its client."""
    return Overloaded(detail, remedy="Retry after the number of seconds in the header Retry-After.")


def status_of(error: DissectError) -> int:
    """The status that an error is answered with."""
    statuses = (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    return next(statuses, 500)


def answer_to(error: DissectError) -> JSONResponse:
    """The problem that an error is."""
    answer = _answer(status_of(error), **error.as_problem())
    if isinstance(error, Overloaded):
        answer.headers["Retry-After"] = str(RETRY_SOON_AFTER_S)
    return answer


def _answer(status: int, code: str, title: str, detail: str, **more: object) -> JSONResponse:
    body = {"type": f"urn:mammodissect:problem:{code}", "title": title, "status": status, "detail": detail}

    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(body | more, status, headers=headers, media_type=MEDIA_TYPE)


async def _on_dissect_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DissectError)  # noqa: S101 - registered for that class
    return answer_to(error)


async def _on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for that class
    listed_fields, unlisted = wrong_fields(error.errors(), error.body)
    errors = [field.as_json() for field in listed_fields]

    explained = dict(errors[0])
    if unlisted:
        explained["detail"] += f" Besides the {len(errors)} wrong fields that are listed, there are {unlisted:,} more."
    return _answer(422, InvalidInput.code, InvalidInput.title, **explained, errors=errors)


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "-")

    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            explained = _nothing_there(request)
        case HTTPStatus.METHOD_NOT_ALLOWED:
            explained = _not_allowed(request)
        case _:
            detail = f"The request was answered with {error.status_code}, {phrase}."
            explained = {"detail": detail, "remedy": _CONTRACT}

    answer = _answer(error.status_code, code, phrase, **explained)
    answer.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_allowed(request))
    return answer


def _nothing_there(request: Request) -> dict[str, str]:
    path = shortened(request.url.path)
    return {"detail": f"No resource exists at {path}.", "field": "path", "value": path, "remedy": _CONTRACT}


def _not_allowed(request: Request) -> dict[str, str]:
    path = shortened(request.url.path)
    method = shortened(request.method)
    return {
        "detail": f"{path} does not support {method}.",
        "field": "method",
        "value": method,
        "remedy": f"Use {' or '.join(_allowed(request))}.",
    }


def _allowed(request: Request) -> list[str]:
    """The methods of all routes at the request's path: the framework knows those of the first."""
    path = get_route_path(request.scope)
    routes = [context for context in iter_route_contexts(request.app.routes) if hasattr(context, "path_regex")]
    at_path = [route for route in routes if route.path_regex.match(path)]
    return sorted({method for route in at_path for method in route.methods or ()})


async def _on_crash(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return _answer(
        500,
        DissectError.code,
        DissectError.title,
        "An unexpected error occurred; the service's log has the details.",
        remedy="Tell whoever runs the service, with the time of the request.",
    )
