"""The paper's tables as files: JSON, CSV, and a page with figures."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import TypeAdapter

from service.analysis.paper import CategoryCount, PaperLayer, PaperTables
from service.reports.html import render
from service.reports.svg import PALETTE

PaperFormat = Literal["json", "csv", "csv-layers", "html"]

_UNIT_COLUMNS = (
    "network",
    "layer",
    "unit",
    "concept",
    "score",
    "category",
    "broad_category",
    "meets_local",
    "meets_global",
)
_LAYER_COLUMNS = (
    "network",
    "layer",
    "units",
    "local_threshold",
    "global_threshold",
    "meeting_local",
    "meeting_global",
    "mammographic",
    "other",
    "categories",
    "top_broad_categories",
)
_COLOURS = {"mammographic": PALETTE[0], "other": PALETTE[1]}
_LIMITS = (
    "The paper's thresholds are means: about half of the units meet them whatever the network has learned. They say "
    "nothing of chance; the report on a dissection does.",
)
_TABLES = TypeAdapter(PaperTables)


@dataclass(frozen=True, slots=True)
class PaperReport:
    """Everything that the page says."""

    names: tuple[str, ...]
    concept_set: str
    tables: PaperTables

    layers: tuple[tuple[str, tuple[tuple[str, PaperLayer], ...]], ...]
    """Each layer with the networks that have it."""

    greatest_threshold: float
    most_units: int
    limits: tuple[str, ...]
    colours: dict[str, str]


def paper_file(tables: PaperTables, concept_set: str, form: PaperFormat) -> bytes:
    """The tables in one of the formats, in UTF-8. concept_set: its name."""
    match form:
        case "json":
            return _TABLES.dump_json(tables, indent=1)
        case "csv":
            return _units_csv(tables).encode()
        case "csv-layers":
            return _layers_csv(tables).encode()
        case "html":
            return _html(tables, concept_set).encode()


def _units_csv(tables: PaperTables) -> str:
    """A line for each unit of each network."""
    rows = ({"network": network.network, **asdict(unit)} for network in tables.networks for unit in network.units)
    return _csv(_UNIT_COLUMNS, rows)


def _layers_csv(tables: PaperTables) -> str:
    """A line for each layer of each network; counts by category as `mass 12|calcifications 3`."""
    rows = []
    for network in tables.networks:
        for layer in network.layers:
            counts = {name: _counted(getattr(layer, name)) for name in ("categories", "top_broad_categories")}
            rows.append({"network": network.network, **asdict(layer), **counts})
    return _csv(_LAYER_COLUMNS, rows)


def _html(tables: PaperTables, concept_set: str) -> str:
    """The tables as one HTML file with bars."""
    names = [network.network for network in tables.networks]
    layers: dict[str, list[tuple[str, PaperLayer]]] = {}
    for network in tables.networks:
        for layer in network.layers:
            layers.setdefault(layer.layer, []).append((network.network, layer))

    shown = [layer for rows in layers.values() for _, layer in rows]
    report = PaperReport(
        names=tuple(names),
        concept_set=concept_set,
        tables=tables,
        layers=tuple((name, tuple(rows)) for name, rows in layers.items()),
        greatest_threshold=max((layer.local_threshold for layer in shown), default=0.0),
        most_units=max((layer.meeting_global for layer in shown), default=0),
        limits=(*tables.notes, *_LIMITS),
        colours=_COLOURS,
    )
    return render("paper.html", report=report)


def _counted(counts: Sequence[CategoryCount]) -> str:
    return "|".join(f"{count.category} {count.units}" for count in counts)


def _csv(columns: Sequence[str], rows: Iterable[dict[str, object]]) -> str:
    text = io.StringIO()
    lines = csv.DictWriter(text, columns, lineterminator="\n")
    lines.writeheader()
    for row in rows:
        lines.writerow({name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()})
    return text.getvalue()
