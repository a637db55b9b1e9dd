"""Our own styles and scripts, each under an address that changes with its content, so that browsers may keep it."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.key_check import OPEN_FILES
from service.errors import NotFound

router = APIRouter(include_in_schema=False)

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
_DIGITS = 16


def address_of(name: str) -> str:
    """Where that file is served. Raises KeyError for a file that is not there: a template names it wrongly."""
    return f"{OPEN_FILES}{digest_of(name)}/{name}"


def digest_of(name: str) -> str:
    """The part of the address that changes with the file's content. Raises KeyError for no such file."""
    return hashlib.sha256(_contents()[name]).hexdigest()[:_DIGITS]


@router.api_route("/ui/static/{digest}/{name}", methods=["GET", "HEAD"])
async def read_file(digest: Annotated[str, Path(max_length=64)], name: Annotated[str, Path(max_length=64)]) -> Response:
    """A file of ours. Raises NotFound for another name, and for the address of an earlier content."""
    if name not in _contents() or digest != digest_of(name):
        raise NotFound(
            "That file is not there any more.", field="name", value=name, remedy="Load the page again that names it."
        )

    suffix = name[name.rfind(".") :]
    return Response(_contents()[name], media_type=_TYPES[suffix], headers=_HEADERS)


@cache
def _contents() -> dict[str, bytes]:
    folder = files("api.pages").joinpath("static")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(tuple(_TYPES))}
