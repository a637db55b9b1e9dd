"""Reports as answers: HTML unless the caller asks for JSON or PDF."""

from typing import Annotated, Literal

from fastapi import Header, Query, Response
from sqlalchemy.orm import Session

from service.db.session import expect_pause
from service.domain.json_values import StoredJson
from service.reports.pdf import draw_pdf

ReportFormat = Literal["html", "json", "pdf"]
FormatQuery = Annotated[
    ReportFormat | None,
    Query(
        alias="format",
        description="`pdf`: the page as it is printed. Left out: JSON or PDF where `Accept` asks for that rather than "
        "HTML, else HTML.",
    ),
]
AcceptHeader = Annotated[str, Header(include_in_schema=False)]

HTML, JSON, PDF = "text/html", "application/json", "application/pdf"
REPORTS: dict[int | str, StoredJson] = {200: {"content": {HTML: {}, JSON: {}, PDF: {}}}}
"""The description of a route that answers with any of them."""


def choose_format(form: ReportFormat | None, accept: str) -> ReportFormat:
    """The format that the caller named, or prefers by its Accept header."""
    if form is not None:
        return form
    if HTML in accept:
        return "html"
    if JSON in accept:
        return "json"
    return "pdf" if PDF in accept else "html"


def json_answer(content: bytes) -> Response:
    """The JSON of a report."""
    return Response(content, media_type=JSON, headers={"Vary": "Accept"})


def page_answer(session: Session, page: str, name: str, form: ReportFormat) -> Response:
    """A report as a page that a browser shows and keeps under that name, or as PDF. Raises what `draw_pdf` raises."""
    headers = {"Vary": "Accept", **named(f"{name}.{form}", "inline")}
    if form == "pdf":
        expect_pause(session)
        return Response(draw_pdf(page), media_type=PDF, headers=headers)
    return Response(page, media_type=HTML, headers=headers)


def named(name: str, disposition: Literal["inline", "attachment"]) -> dict[str, str]:
    """The header that names a file."""
    return {"Content-Disposition": f'{disposition}; filename="{name}"'}
