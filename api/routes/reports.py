"""Reports on dissections and comparisons, and results as files."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from api.dependencies import CallerDep, RootsDep, SessionDep, SettingsDep
from api.one_thread import FileRoute, LongReadingRoute, OpenFileResponse
from api.picture_access import may_see_pictures
from api.report_answers import (
    HTML,
    JSON,
    REPORTS,
    AcceptHeader,
    FormatQuery,
    choose_format,
    json_answer,
    named,
    page_answer,
)
from api.tags import tag, version_of_file
from service.analysis.export import ExportFormat
from service.reports.comparison import comparison_html, comparison_json
from service.reports.dissection import dissection_json
from service.reports.probe_set import probe_set_html, probe_set_json
from service.usecases import reports
from service.usecases.comparisons import find_comparison
from service.usecases.jobs import choose_job
from service.usecases.reviews import state_of

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
    request: Request,
    caller: CallerDep,
    form: FormatQuery = None,
    accept: AcceptHeader = HTML,
) -> Response:
    """The report on a succeeded job: one HTML file that needs nothing else and opens from disk, PDF, or JSON.

    It has what readers say as far as the caller may see it. The HTML shows the images by their manifest rows, with the
    small pictures that a worker drew when it stored the result; the JSON has no pictures. Whoever may not get pictures
    has a report without them.
    """
    with_pictures = may_see_pictures(request)
    chosen_job = choose_job(session, job_id=job_id, model=None)
    reviewed = state_of(session, chosen_job)
    tag(request, chosen_job, version_of_file(settings.must_have_path), with_pictures, caller, reviewed)
    report = reports.read_report(session, job_id, must_have=settings.must_have_path, caller=caller)
    chosen_form = choose_format(form, accept)
    if chosen_form == "json":
        return json_answer(dissection_json(report))
    page = reports.write_html(session, report, job_id, with_pictures=with_pictures)
    return page_answer(session, page, f"report-{job_id}", chosen_form)


@comparisons.get("/{comparison_id}/report", response_class=Response, responses=REPORTS)
def read_comparison_report(
    comparison_id: UUID, session: SessionDep, request: Request, form: FormatQuery = None, accept: AcceptHeader = HTML
) -> Response:
    """The report on a comparison: one HTML file that needs nothing else, PDF, or JSON."""
    tag(request, find_comparison(session, comparison_id).id)
    report = reports.read_comparison_report(session, comparison_id)
    chosen_form = choose_format(form, accept)
    if chosen_form == "json":
        return json_answer(comparison_json(report))
    return page_answer(session, comparison_html(report), f"comparison-{comparison_id}", chosen_form)


@exports.get(
    "/{job_id}/export",
    response_class=Response,
    responses={200: {"content": {media_type: {} for _, media_type in _EXPORTS.values()}}},
)
def export_job(
    job_id: UUID,
    session: SessionDep,
    request: Request,
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
    chosen_job = choose_job(session, job_id=job_id, model=None)
    tag(request, chosen_job, caller, state_of(session, chosen_job))
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
    """The report on what the check of a probe set has found: one HTML file that needs nothing else, PDF, or JSON.

    409 while no check of it has ended.
    """
    report = reports.read_probe_set_report(session, name, roots, concept_set=concept_set)
    chosen_form = choose_format(form, accept)
    if chosen_form == "json":
        return json_answer(probe_set_json(report))
    return page_answer(session, probe_set_html(report), f"probe-set-{report.name.replace('@', '-')}", chosen_form)
