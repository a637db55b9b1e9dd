"""Requests whose body is JSON, read in our own way and with our own errors."""

from typing import Self

from fastapi import Request

from service.domain.json_text import parse_json
from service.errors import InvalidInput, UnsupportedMediaType

_JSON = "application/json"
_READ_AS_JSON = frozenset({"", _JSON, "application/x-www-form-urlencoded", "text/json", "text/plain"})
"""Kinds that are read as JSON: besides JSON what curl -d declares, and what clients send that declare nothing."""

_REMEDY = "Send the body as JSON in UTF-8, with the header `Content-Type: application/json`."


class JsonRequest(Request):
    """A request whose JSON has been read."""

    _document: object

    @classmethod
    async def read(cls, request: Request) -> Self:
        """The request with its JSON. Raises UnsupportedMediaType, and InvalidInput where it is no JSON to work with."""
        body = await request.body()
        declared = request.headers.get("content-type", "")
        media_type = declared.partition(";")[0].strip().lower()
        if body and not (media_type in _READ_AS_JSON or media_type.endswith("+json")):
            raise UnsupportedMediaType(
                "The Content-Type header declares something other than JSON.",
                field="Content-Type",
                value=declared,
                remedy=_REMEDY,
            )

        other_headers = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
        scope = {**request.scope, "headers": [*other_headers, (b"content-type", _JSON.encode())]}
        json_request = cls(scope, request.receive)
        json_request._body = body

        try:
            json_request._document = parse_json(body) if body else None
        except InvalidInput as error:
            if media_type in {_JSON, ""} or error.remedy is None:
                raise
            raise type(error)(
                error.detail, field=error.field, value=error.value, remedy=f"{error.remedy} {_REMEDY}"
            ) from None

        return json_request

    async def json(self) -> object:
        """The body's JSON."""
        return self._document
