"""Comparisons, and one comparison: gains and losses, and the neurons behind each number."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import SessionDep
from api.pages.forms import LongPageRoute
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from service.domain.comparisons import CategoryRow, Comparison, Composition, Scope
from service.reports.comparison import ComparisonReport
from service.usecases import comparisons
from service.usecases.reports import read_comparison_report

router = APIRouter(include_in_schema=False, route_class=LongPageRoute)


@dataclass(frozen=True, slots=True)
class NeuronsLink:
    """A number of neurons, and the page that shows them."""

    number: int
    path: str


@dataclass(frozen=True, slots=True)
class LayerLine:
    """The neurons of one category in one layer, of each network."""

    layer: str
    links: tuple[NeuronsLink, ...]


@router.get("/ui/comparisons")
def show_comparisons(request: Request, session: SessionDep, cursor: Cursor = None) -> Response:
    """All comparisons, newest first."""
    listed = comparisons.list_comparisons(session, limit=PAGE_SIZE, after=decode_cursor(cursor))
    return page(
        request,
        "comparisons.html",
        comparisons=listed.items,
        targets=comparisons.targets_of_comparisons(session, listed.items),
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/comparisons/{comparison_id}")
def show_comparison(
    request: Request,
    comparison_id: UUID,
    session: SessionDep,
    category: Annotated[str | None, Query(max_length=500)] = None,
    broad: bool = False,
) -> Response:
    """One comparison. category: the one whose neurons are shown layer by layer; broad: it is a broad one.

    Raises NotFound.
    """
    report = read_comparison_report(session, comparison_id)
    result = report.result
    others = range(len(report.names) - 1)
    return page(
        request,
        "comparison.html",
        comparison_id=comparison_id,
        report=report,
        result=result,
        categories=[_by_gain(result.network.categories, other) for other in others],
        broad_categories=[_by_gain(result.network.broad_categories, other) for other in others],
        category=category,
        broad=broad,
        behind=() if category is None else _behind(report, category, broad=broad),
        path_behind=_path_behind,
    )


def _by_gain(composition: Composition, other: int) -> list[CategoryRow]:
    return sorted(composition.rows, key=lambda row: -row.changes[other].gain)


def _path_behind(name: str, *, broad: bool) -> str:
    """Where the page shows the neurons of a category layer by layer."""
    query = {"category": name, **({"broad": "true"} if broad else {})}
    return f"?{urlencode(query)}#behind"


def _behind(report: ComparisonReport, category: str, *, broad: bool) -> tuple[LayerLine, ...]:
    """The layers in which any network has neurons of that category."""
    lines = (_layer_line(report, layer, category, broad=broad) for layer in report.result.layers)
    return tuple(line for line in lines if any(link.number for link in line.links))


def _layer_line(report: ComparisonReport, layer: Scope, category: str, *, broad: bool) -> LayerLine:
    composition = layer.broad_categories if broad else layer.categories
    row = next((row for row in composition.rows if row.name == category), None)
    numbers = (0,) * len(report.names) if row is None else row.neurons

    links = []
    for network, number in zip(report.networks, numbers, strict=True):
        path = neurons_path(str(network.job), layer.layer or "", report.result, category, broad=broad)
        links.append(NeuronsLink(number, path))
    return LayerLine(layer.layer or "", tuple(links))


def neurons_path(job: str, layer: str, result: Comparison, category: str, *, broad: bool) -> str:
    """The page of a layer with the neurons that a comparison has counted for a category."""
    query = {"broad_category" if broad else "category": category}
    if result.basis == "significant":
        query["significant"] = "yes"
    return f"/ui/jobs/{job}/layers/{quote(layer, safe='')}?{urlencode(query)}"
