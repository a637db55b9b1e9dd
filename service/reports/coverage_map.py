"""The coverage map: what each layer represents, category by category and concept by concept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.analysis.coverage import CategoryCoverage, ConceptCoverage, Coverage

CONCEPTS = 25
"""Concepts in the map: those with most neurons."""

LAYERS_ABREAST = 16
"""Columns that fit beside each other on paper; more layers go into further maps."""

_SHADES = 5


@dataclass(frozen=True, slots=True)
class MapCell:
    """Significant neurons in one layer; shade: 0 (none) to 5, by their share of the map's greatest count."""

    neurons: int
    shade: int


@dataclass(frozen=True, slots=True)
class MapRow:
    """One category or concept. cells: one for each layer, in the dissection's order."""

    covered: CategoryCoverage | ConceptCoverage
    cells: tuple[MapCell, ...]


def category_rows(coverage: Coverage, layers: Sequence[str]) -> tuple[MapRow, ...]:
    """All categories, those without any neuron too: gaps are what the map is for."""
    return _rows(coverage.categories, layers)


def concept_rows(coverage: Coverage, layers: Sequence[str]) -> tuple[MapRow, ...]:
    """The CONCEPTS concepts with most neurons, equals in the order of the concept set."""
    represented = [concept for concept in coverage.concepts if concept.neurons]
    return _rows(sorted(represented, key=lambda concept: -concept.neurons)[:CONCEPTS], layers)


def column_groups(layers: int) -> list[range]:
    """The layers' places, LAYERS_ABREAST at a time."""
    return [range(start, min(start + LAYERS_ABREAST, layers)) for start in range(0, layers, LAYERS_ABREAST)]


def _rows(covered: Iterable[CategoryCoverage | ConceptCoverage], layers: Sequence[str]) -> tuple[MapRow, ...]:
    counts = [(one, {count.layer: count.neurons for count in one.layers}) for one in covered]
    greatest = max((neurons for _, its in counts for neurons in its.values()), default=0)
    return tuple(MapRow(one, tuple(_cell(its.get(layer, 0), greatest) for layer in layers)) for one, its in counts)


def _cell(neurons: int, greatest: int) -> MapCell:
    return MapCell(neurons, -(-neurons * _SHADES // greatest) if neurons else 0)
