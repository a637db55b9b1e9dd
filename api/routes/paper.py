"""The tables of Mammo-CLIP Dissect."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.dependencies import RootsDep, SessionDep
from api.one_thread import LongReadingRoute
from api.report_answers import HTML, JSON, named
from service.domain.json_values import StoredJson
from service.reports.paper import PaperFormat, paper_file
from service.usecases import paper

_CSV = "text/csv"
_ANSWERS: dict[int | str, StoredJson] = {200: {"content": {JSON: {}, _CSV: {}, HTML: {}}}}

_FORMATS: dict[PaperFormat, tuple[str, str, Literal["inline", "attachment"]]] = {
    "json": (JSON, "json", "inline"),
    "csv": (_CSV, "csv", "attachment"),
    "csv-layers": (_CSV, "csv", "attachment"),
    "html": (HTML, "html", "inline"),
}

jobs = APIRouter(prefix="/jobs", tags=["paper"], route_class=LongReadingRoute)
comparisons = APIRouter(prefix="/comparisons", tags=["paper"], route_class=LongReadingRoute)
side_by_side = APIRouter(prefix="/paper", tags=["paper"], route_class=LongReadingRoute)

FormatQuery = Annotated[
    PaperFormat,
    Query(
        alias="format",
        description="`csv`: a line for each unit; `csv-layers`: a line for each layer; `html`: a page with figures.",
    ),
]


@jobs.get("/{job_id}/paper", response_class=Response, responses=_ANSWERS)
def read_job_paper(job_id: UUID, session: SessionDep, form: FormatQuery = "json") -> Response:
    """What the published notebooks compute from a dissection: thresholds, units that meet them, counts, categories."""
    return _answer(paper.read_job_paper(session, job_id), form, f"paper-{job_id}")


@comparisons.get("/{comparison_id}/paper", response_class=Response, responses=_ANSWERS)
def read_comparison_paper(comparison_id: UUID, session: SessionDep, form: FormatQuery = "json") -> Response:
    """The same for all networks of a comparison, whose greatest local threshold of a layer is its global one."""
    return _answer(paper.read_comparison_paper(session, comparison_id), form, f"paper-{comparison_id}")


@side_by_side.get("", response_class=Response, responses=_ANSWERS)
def read_paper(
    session: SessionDep,
    roots: RootsDep,
    job: Annotated[list[UUID] | None, Query(description="Ids of succeeded jobs.")] = None,
    table: Annotated[
        list[str] | None,
        Query(description="Result files in the layout of Mammo-CLIP Dissect or CLIP-Dissect, by their absolute paths."),
    ] = None,
    concept_set: Annotated[
        str | None, Query(description="Whose categories count; left out: the concept set of the first job.")
    ] = None,
    form: FormatQuery = "json",
) -> Response:
    """The tables of jobs and of earlier runs of the published scripts, side by side."""
    tables = paper.read_paper(session, job or [], table or [], concept_set, roots)
    return _answer(tables, form, "paper")


def _answer(tables: paper.Tables, form: PaperFormat, name: str) -> Response:
    networks, concept_set = tables
    media_type, suffix, disposition = _FORMATS[form]
    content = paper_file(networks, concept_set.name, form)
    return Response(content, media_type=media_type, headers=named(f"{name}.{suffix}", disposition))
