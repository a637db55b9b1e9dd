"""Reports as answers: HTML unless the caller asks for JSON."""

from typing import Annotated, Literal

from fastapi import Header, Query, Response

from service.domain.json_values import StoredJson

ReportFormat = Literal["html", "json"]
FormatQuery = Annotated[
    ReportFormat | None,
    Query(alias="format", description="Left out: JSON where `Accept` asks for that rather than HTML, else HTML."),
]
AcceptHeader = Annotated[str, Header(include_in_schema=False)]

HTML, JSON = "text/html", "application/json"
REPORTS: dict[int | str, StoredJson] = {200: {"content": {HTML: {}, JSON: {}}}}
"""The description of a route that answers with either."""


def choose_format(form: ReportFormat | None, accept: str) -> ReportFormat:
    """The format that the caller named, or prefers by its Accept header."""
    if form is not None:
        return form
    return "json" if JSON in accept and HTML not in accept else "html"


def json_answer(content: bytes) -> Response:
    """The JSON of a report."""
    return Response(content, media_type=JSON, headers={"Vary": "Accept"})


def html_answer(page: str, name: str) -> Response:
    """A report as a page that a browser shows, and keeps under that name."""
    return Response(page, media_type=HTML, headers={"Vary": "Accept", **named(name, "inline")})


def named(name: str, disposition: Literal["inline", "attachment"]) -> dict[str, str]:
    """The header that names a file."""
    return {"Content-Disposition": f'{disposition}; filename="{name}"'}
