"""Reports on dissections and comparisons, and results as files."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, BinaryIO, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from api.dependencies import SessionDep, SettingsDep
from service.analysis.export import ExportFormat
from service.reports.comparison import comparison_html, comparison_json
from service.reports.dissection import dissection_html, dissection_json
from service.usecases import reports

jobs = APIRouter(prefix="/jobs", tags=["reports"])
comparisons = APIRouter(prefix="/comparisons", tags=["reports"])

ReportFormat = Literal["html", "json"]
FormatQuery = Annotated[
    ReportFormat | None,
    Query(alias="format", description="Left out: JSON where `Accept` asks for that rather than HTML, else HTML."),
]
AcceptHeader = Annotated[str, Header(include_in_schema=False)]

_HTML, _JSON = "text/html", "application/json"
_REPORTS: dict[int | str, dict[str, Any]] = {200: {"content": {_HTML: {}, _JSON: {}}}}
_EXPORTS: dict[ExportFormat, tuple[str, str]] = {
    "published": ("csv", "text/csv"),
    "csv": ("csv", "text/csv"),
    "parquet": ("parquet", "application/vnd.apache.parquet"),
    "json": ("json", _JSON),
}
_CHUNK = 1 << 20


@jobs.get("/{job_id}/report", response_class=Response, responses=_REPORTS)
def read_report(
    job_id: UUID,
    session: SessionDep,
    settings: SettingsDep,
    form: FormatQuery = None,
    accept: AcceptHeader = _HTML,
) -> Response:
    """The report on a succeeded job: one HTML file that needs nothing else and opens from disk, or the same as JSON.

    The HTML shows the images by their manifest rows, with small pictures where this process can read the images; the
    JSON has no pictures.
    """
    report = reports.read_report(session, job_id, must_have=settings.must_have_path)
    if _choose(form, accept) == "json":
        return _json(dissection_json(report))
    return _page(dissection_html(report, reports.thumbnails_of(session, job_id)), f"report-{job_id}.html")


@comparisons.get("/{comparison_id}/report", response_class=Response, responses=_REPORTS)
def read_comparison_report(
    comparison_id: UUID, session: SessionDep, form: FormatQuery = None, accept: AcceptHeader = _HTML
) -> Response:
    """The report on a comparison: one HTML file that needs nothing else, or the same as JSON."""
    report = reports.read_comparison_report(session, comparison_id)
    if _choose(form, accept) == "json":
        return _json(comparison_json(report))
    return _page(comparison_html(report), f"comparison-{comparison_id}.html")


@jobs.get(
    "/{job_id}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for _, kind in _EXPORTS.values()}}},
)
def export_job(
    job_id: UUID,
    session: SessionDep,
    form: Annotated[
        ExportFormat,
        Query(
            alias="format",
            description="`published`: the CSV of Mammo-CLIP Dissect; csv and parquet: one line a neuron and rank.",
        ),
    ] = "csv",
) -> StreamingResponse:
    """The whole result of a succeeded job as one file."""
    suffix, kind = _EXPORTS[form]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        reports.export_job(session, job_id, form, path)
        size = path.stat().st_size
        file = path.open("rb")  # outlives its name, so nothing is left behind however the answer ends
    headers = {"Content-Length": str(size), **_named(f"dissection-{job_id}.{suffix}", "attachment")}
    return StreamingResponse(_chunks(file), media_type=kind, headers=headers)


def _choose(named: ReportFormat | None, accept: str) -> ReportFormat:
    """The format that the caller named, or prefers by its Accept header."""
    if named is not None:
        return named
    return "json" if _JSON in accept and _HTML not in accept else "html"


def _json(content: bytes) -> Response:
    return Response(content, media_type=_JSON, headers={"Vary": "Accept"})


def _page(html: str, name: str) -> Response:
    return Response(html, media_type=_HTML, headers={"Vary": "Accept", **_named(name, "inline")})


def _named(name: str, disposition: Literal["inline", "attachment"]) -> dict[str, str]:
    return {"Content-Disposition": f'{disposition}; filename="{name}"'}


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
