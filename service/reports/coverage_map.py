"""The coverage map: what each layer represents, category by category and concept by concept."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.analysis.coverage import CategoryCoverage, ConceptCoverage, Coverage

CONCEPTS = 25
"""Concepts in the map: those with most neurons."""

LAYERS_ABREAST = 16
"""Columns that fit beside each other on paper; more layers go into further maps."""

_SHADES = 5


@dataclass(frozen=True, slots=True)
class MapCell:
    """Significant neurons in one layer."""

    neurons: int
    shade: int
    """0 (none) to 5, by their share of the map's greatest count."""


@dataclass(frozen=True, slots=True)
class MapRow:
    """One category or concept."""

    covered: CategoryCoverage | ConceptCoverage
    cells: tuple[MapCell, ...]
    """Of each layer, in the dissection's order."""


def category_rows(coverage: Coverage, layers: Sequence[str]) -> tuple[MapRow, ...]:
    """All categories, also those without any neuron: the map is there to show gaps."""
    return _rows(coverage.categories, layers)


def concept_rows(coverage: Coverage, layers: Sequence[str]) -> tuple[MapRow, ...]:
    """The CONCEPTS concepts with most neurons; equal counts in the order of the concept set."""
    represented = [concept for concept in coverage.concepts if concept.neurons]
    most_neurons_first = sorted(represented, key=lambda concept: -concept.neurons)
    return _rows(most_neurons_first[:CONCEPTS], layers)


def column_groups(layers: int) -> list[range]:
    """The layers' places, LAYERS_ABREAST at a time."""
    return [range(start, min(start + LAYERS_ABREAST, layers)) for start in range(0, layers, LAYERS_ABREAST)]


def _rows(covered: Sequence[CategoryCoverage | ConceptCoverage], layers: Sequence[str]) -> tuple[MapRow, ...]:
    counts = [count.neurons for coverage in covered for count in coverage.layers]
    greatest = max(counts, default=0)

    rows = []
    for coverage in covered:
        neurons_in = {count.layer: count.neurons for count in coverage.layers}
        cells = tuple(_cell(neurons_in.get(layer, 0), greatest) for layer in layers)
        rows.append(MapRow(coverage, cells))
    return tuple(rows)


def _cell(neurons: int, greatest: int) -> MapCell:
    shade = -(-neurons * _SHADES // greatest) if neurons else 0  # rounded up, so that no neuron goes unseen
    return MapCell(neurons, shade)
