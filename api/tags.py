"""Entity tags of results: who has an answer that cannot have changed is told so, without the work for another.

A route calls `tag` with what its answer follows from, as soon as it knows that and before it computes anything. The tag
also has the release, which may write the same result in another way, and the request's path and query.
"""

import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request, Response

from service.domain.digests import digest_of

DISTRIBUTION = "mammo-clip-dissect-service"

Handler = Callable[[Request], Coroutine[object, None, Response]]

_TAG = re.compile(r'(?:W/)?"[^"]*"')
_REVALIDATED = {"Cache-Control": "private, no-cache"}
"""A cache may keep the answer for this caller, and asks before it uses it."""


class NotModified(Exception):
    """The caller has the answer already."""

    def __init__(self, entity_tag: str) -> None:
        super().__init__(entity_tag)
        self.entity_tag = entity_tag


def tag(request: Request, *sources: object) -> None:
    """Give the answer an entity tag. sources: what it follows from beside path, query and release, as texts.

    Raises NotModified where the caller has an answer with that tag.
    """
    asked = [version(DISTRIBUTION), request.url.path, request.url.query, request.headers.get("accept", "")]
    entity_tag = f'W/"{digest_of([*asked, *map(str, sources)])[:32]}"'
    if _has(request.headers.getlist("if-none-match"), entity_tag):
        raise NotModified(entity_tag)
    request.state.entity_tag = entity_tag


def version_of_file(path: Path | None) -> str:
    """What changes when somebody writes the file; empty without one, and for a file that cannot be read."""
    if path is None:
        return ""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{path} {status.st_ino} {status.st_size} {status.st_mtime_ns}"


def with_tag(handle: Handler) -> Handler:
    """The handler whose answers carry the tag that its route has given."""

    async def handle_tagged(request: Request) -> Response:
        answer = await handle(request)
        entity_tag = getattr(request.state, "entity_tag", None)
        if entity_tag is not None and answer.status_code == HTTPStatus.OK:
            answer.headers.update({"ETag": entity_tag, **_REVALIDATED})
        return answer

    return handle_tagged


def install(app: FastAPI) -> None:
    """Answer with 304 where a route finds that the caller has the answer."""
    app.add_exception_handler(NotModified, _on_not_modified)


async def _on_not_modified(_: Request, error: Exception) -> Response:
    assert isinstance(error, NotModified)  # noqa: S101 - registered for that class
    headers = {"ETag": error.entity_tag, "Vary": "Accept", **_REVALIDATED}
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)


def _has(given: list[str], entity_tag: str) -> bool:
    """By weak comparison, as RFC 9110 has it for this header."""
    known = entity_tag.removeprefix("W/")
    return any(
        value.strip() == "*" or known in {one.removeprefix("W/") for one in _TAG.findall(value)} for value in given
    )
