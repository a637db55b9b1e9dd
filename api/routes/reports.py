"""Reports on dissections and comparisons, and results as files."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi import Path as PathParameter

from api.dependencies import CallerDep, RootsDep, SessionDep, SettingsDep
from api.one_thread import FileRoute, LongReadingRoute, OpenFileResponse
from api.report_answers import (
    HTML,
    JSON,
    REPORTS,
    AcceptHeader,
    FormatQuery,
    choose_format,
    html_answer,
    json_answer,
    named,
)
from service.analysis.export import ExportFormat
from service.reports.comparison import comparison_html, comparison_json
from service.reports.dissection import dissection_json
from service.reports.probe_set import probe_set_html, probe_set_json
from service.usecases import reports

jobs = APIRouter(prefix="/jobs", tags=["reports"], route_class=LongReadingRoute)
exports = APIRouter(prefix="/jobs", tags=["reports"], route_class=FileRoute)
probe_sets = APIRouter(prefix="/probe-sets", tags=["reports"], route_class=LongReadingRoute)
comparisons = APIRouter(prefix="/comparisons", tags=["reports"], route_class=LongReadingRoute)

_EXPORTS: dict[ExportFormat, tuple[str, str]] = {
    "published": ("csv", "text/csv"),
    "csv": ("csv", "text/csv"),
    "parquet": ("parquet", "application/vnd.apache.parquet"),
    "json": ("json", JSON),
}


@jobs.get("/{job_id}/report", response_class=Response, responses=REPORTS)
def read_report(
    job_id: UUID,
    session: SessionDep,
    settings: SettingsDep,
    caller: CallerDep,
    form: FormatQuery = None,
    accept: AcceptHeader = HTML,
) -> Response:
    """The report on a succeeded job: one HTML file that needs nothing else and opens from disk, or the same as JSON.

    It has what readers say as far as the caller may see it. The HTML shows the images by their manifest rows, with the
    small pictures that a worker drew when it stored the result; the JSON has no pictures.
    """
    report = reports.read_report(session, job_id, must_have=settings.must_have_path, caller=caller)
    if choose_format(form, accept) == "json":
        return json_answer(dissection_json(report))
    return html_answer(reports.write_html(session, report, job_id), f"report-{job_id}.html")


@comparisons.get("/{comparison_id}/report", response_class=Response, responses=REPORTS)
def read_comparison_report(
    comparison_id: UUID, session: SessionDep, form: FormatQuery = None, accept: AcceptHeader = HTML
) -> Response:
    """The report on a comparison: one HTML file that needs nothing else, or the same as JSON."""
    report = reports.read_comparison_report(session, comparison_id)
    if choose_format(form, accept) == "json":
        return json_answer(comparison_json(report))
    return html_answer(comparison_html(report), f"comparison-{comparison_id}.html")


@exports.get(
    "/{job_id}/export",
    response_class=Response,
    responses={200: {"content": {media_type: {} for _, media_type in _EXPORTS.values()}}},
)
def export_job(
    job_id: UUID,
    session: SessionDep,
    caller: CallerDep,
    form: Annotated[
        ExportFormat,
        Query(
            alias="format",
            description="`published`: the CSV of Mammo-CLIP Dissect; csv and parquet: one line a neuron and rank.",
        ),
    ] = "csv",
) -> Response:
    """The whole result of a succeeded job as one file, with the reviews that the caller may see."""
    suffix, media_type = _EXPORTS[form]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        reports.export_job(session, job_id, form, path, caller=caller)
        size = path.stat().st_size
        file = path.open("rb")  # outlives its name, so nothing is left behind however the answer ends

    headers = {"Content-Length": str(size), **named(f"dissection-{job_id}.{suffix}", "attachment")}
    return OpenFileResponse(file, media_type=media_type, headers=headers)


@probe_sets.get("/{name}/report", response_class=Response, responses=REPORTS)
def read_probe_set_report(
    name: Annotated[str, PathParameter(max_length=80, description="`name` (its newest version) or `name@version`.")],
    session: SessionDep,
    roots: RootsDep,
    concept_set: Annotated[
        str | None, Query(max_length=80, description="Whose concepts the findings are compared with; else `bi-rads`.")
    ] = None,
    form: FormatQuery = None,
    accept: AcceptHeader = HTML,
) -> Response:
    """The report on what the check of a probe set has found: one HTML file that needs nothing else, or JSON.

    409 while no check of it has ended.
    """
    report = reports.read_probe_set_report(session, name, roots, concept_set=concept_set)
    if choose_format(form, accept) == "json":
        return json_answer(probe_set_json(report))
    return html_answer(probe_set_html(report), f"probe-set-{report.name.replace('@', '-')}.html")
