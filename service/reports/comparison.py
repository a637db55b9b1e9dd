"""The report on a comparison: its content, as HTML and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from service.analysis.paper import distinct_names
from service.domain.comparisons import CategoryRow, Comparison, Composition, Scope, beyond_noise
from service.domain.manifests import entries_of, name_on_part
from service.reports.comparison_wording import anything_changed, comparison_limits, comparison_sentences
from service.reports.coverage_map import column_groups
from service.reports.html import render
from service.reports.provenance import Provenance


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Everything that a report on a comparison says."""

    id: str
    names: tuple[str, ...]
    """The networks' names, all different; the first is the reference."""
    networks: tuple[Provenance, ...]
    summary: tuple[str, ...]
    result: Comparison
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GainCell:
    """What one category gains in one layer."""

    gain: float | None
    """Neurons gained; None where no network has any there."""
    beyond: bool
    """Is the gain more than the choice of exams alone would make of it?"""


_NOTHING_THERE = GainCell(None, beyond=False)


_REPORT = TypeAdapter(ComparisonReport)


def report_comparison(identifier: str, networks: Sequence[Provenance], result: Comparison) -> ComparisonReport:
    """Sum up a comparison of networks in its order."""
    parts = [entries_of(network.manifest, "probe_set").get("where") for network in networks]
    network_names = distinct_names([name_on_part(network.target, network.manifest) for network in networks])
    return ComparisonReport(
        id=identifier,
        names=network_names,
        networks=tuple(networks),
        summary=tuple(comparison_sentences(network_names, result, same_images=not any(parts))),
        result=result,
        limits=comparison_limits(result),
    )


def comparison_json(report: ComparisonReport) -> bytes:
    """The report as UTF-8 JSON."""
    return _REPORT.dump_json(report, indent=1)


def comparison_html(report: ComparisonReport) -> str:
    """The report as one HTML file."""
    result = report.result
    others = range(len(report.names) - 1)
    categories = result.network.categories.rows
    broad_categories = result.network.broad_categories.rows

    return render(
        "comparison.html",
        report=report,
        gains=[_by_gain(categories, other) for other in others],
        broad_gains=[_by_gain(broad_categories, other) for other in others],
        changed=[anything_changed(result, other) for other in others],
        paired=[any(layer.churn[other] for layer in result.layers) for other in others],
        maps=[gain_map(result, other) for other in others],
        broad_maps=[gain_map(result, other, broad=True) for other in others],
        groups=column_groups(len(result.layers)),
    )


def gain_map(result: Comparison, other: int, *, broad: bool = False) -> list[tuple[str, list[GainCell]]]:
    """For each category the gains in all layers of the other network at that place (0 is the second network)."""
    network = _composition(result.network, broad=broad)
    layers = [_composition(layer, broad=broad) for layer in result.layers]
    cells_by_layer = [_gain_cells(layer, other) for layer in layers]

    categories = []
    for row in network.rows:
        cells_of_category = [cells.get(row.name, _NOTHING_THERE) for cells in cells_by_layer]
        categories.append((row.name, cells_of_category))
    return categories


def _composition(scope: Scope, *, broad: bool) -> Composition:
    return scope.broad_categories if broad else scope.categories


def _gain_cells(composition: Composition, other: int) -> dict[str, GainCell]:
    """Category -> its gain."""
    cells = {}
    for row in composition.rows:
        change = row.changes[other]
        cells[row.name] = GainCell(change.gain, beyond=beyond_noise(change))
    return cells


def _by_gain(rows: Sequence[CategoryRow], other: int) -> list[CategoryRow]:
    return sorted(rows, key=lambda row: -row.changes[other].gain)
