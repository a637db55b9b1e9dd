"""The report on a comparison: its content, as HTML and as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from service.domain.comparisons import CategoryRow, Comparison, beyond_noise
from service.reports.comparison_wording import anything_changed, comparison_limits, comparison_sentences
from service.reports.coverage_map import column_groups
from service.reports.facts import Facts
from service.reports.html import render


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Everything that a report on a comparison says. names: of the networks, all different, the first the reference."""

    id: str
    names: tuple[str, ...]
    networks: tuple[Facts, ...]
    summary: tuple[str, ...]
    result: Comparison
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GainCell:
    """Neurons gained in one layer, None where no network has any there; beyond: more than the exams alone would do."""

    gain: float | None
    beyond: bool


_REPORT = TypeAdapter(ComparisonReport)


def report_comparison(identifier: str, networks: Sequence[Facts], result: Comparison) -> ComparisonReport:
    """Sum up a comparison of networks in its order."""
    names = _names(networks)
    return ComparisonReport(
        id=identifier,
        names=names,
        networks=tuple(networks),
        summary=tuple(comparison_sentences(names, result)),
        result=result,
        limits=comparison_limits(result),
    )


def comparison_json(report: ComparisonReport) -> bytes:
    """The report as UTF-8 JSON."""
    return _REPORT.dump_json(report, indent=1)


def comparison_html(report: ComparisonReport) -> str:
    """The report as one HTML file."""
    return render(
        "comparison.html",
        report=report,
        gains=[_by_gain(report.result.network.categories.rows, other) for other in _others(report)],
        broad_gains=[_by_gain(report.result.network.broad_categories.rows, other) for other in _others(report)],
        changed=[anything_changed(report.result, other) for other in _others(report)],
        paired=[any(layer.churn[other] for layer in report.result.layers) for other in _others(report)],
        maps=[gain_map(report.result, other) for other in _others(report)],
        broad_maps=[gain_map(report.result, other, broad=True) for other in _others(report)],
        groups=column_groups(len(report.result.layers)),
    )


def gain_map(result: Comparison, other: int, *, broad: bool = False) -> list[tuple[str, list[GainCell]]]:
    """For each category the gains in all layers of the other network at that place (0 is the second network)."""
    layers = [layer.broad_categories if broad else layer.categories for layer in result.layers]
    whole = result.network.broad_categories if broad else result.network.categories
    rows = [{row.name: row.changes[other] for row in layer.rows} for layer in layers]
    return [
        (
            row.name,
            [
                GainCell(None, beyond=False)
                if (change := its.get(row.name)) is None
                else GainCell(change.gain, beyond=beyond_noise(change))
                for its in rows
            ],
        )
        for row in whole.rows
    ]


def _by_gain(rows: Sequence[CategoryRow], other: int) -> list[CategoryRow]:
    return sorted(rows, key=lambda row: -row.changes[other].gain)


def _others(report: ComparisonReport) -> range:
    return range(len(report.names) - 1)


def _names(networks: Sequence[Facts]) -> tuple[str, ...]:
    often = Counter(facts.target for facts in networks)
    return tuple(
        facts.target if often[facts.target] == 1 else f"{facts.target} (no. {number})"
        for number, facts in enumerate(networks, start=1)
    )
