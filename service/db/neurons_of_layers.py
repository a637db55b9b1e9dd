"""Pages of neurons over all layers of a dissection, or several.

Each layer gives the first of its own neurons by its index, and the page is drawn from those: its cost follows the
number of layers and the length of the page, not how many neurons there are. Only then are the rows of the page read.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Row, Select, and_, or_, select, true
from sqlalchemy.orm import Session

from service.db.neurons import LISTED, Sort, conditions_of, listed_neuron, sorted_by
from service.db.tables import LayerRow, NeuronRow
from service.domain.neurons import ListedNeuron, NeuronFilter
from service.domain.pages import Page, Position


@dataclass(frozen=True, slots=True)
class NeuronQuery:
    """Which neurons of a job to list, in which order."""

    job_id: UUID

    layers: Collection[str] | None
    """Their names; None for all."""

    where: NeuronFilter

    sort: Sort
    """By layer and unit, or by descending top score or z, then layer and unit; those without a figure last."""


def list_neurons_of_layers(
    session: Session, query: NeuronQuery, *, limit: int, after: Position | None
) -> Page[ListedNeuron]:
    """Neurons of several layers in brief.

    A position is the layer's place in the job and the unit, behind the figure of the sort, if there is one.
    """
    rows: list[Row[*tuple[Any, ...]]] = []
    for has_figure, start in _sections(query.sort, after):
        missing = limit + 1 - len(rows)
        if missing:
            section = section_query(query, has_figure=has_figure, limit=missing, after=start)
            rows += session.execute(section).all()

    neurons = tuple(listed_neuron(row.layer, row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(neurons)

    last_row = rows[limit - 1]
    place = (last_row.position, last_row.unit)
    return Page(neurons, place if query.sort == "unit" else (last_row.figure, *place))


def section_query(
    query: NeuronQuery, *, has_figure: bool, limit: int, after: Position | None
) -> Select[*tuple[Any, ...]]:
    """The first rows of those that have the figure of the sort, or of those that have none; by unit, of all.

    The two are asked for apart: an index finds where one of them goes on, but not where both together do.
    """
    first = _first_of_layer(query, has_figure, limit, after)
    layers = select(LayerRow.id, LayerRow.name, LayerRow.position, *first.c).join_from(LayerRow, first, true())
    layers = layers.where(LayerRow.job_id == query.job_id)
    if query.layers is not None:
        layers = layers.where(LayerRow.name.in_(query.layers))
    if after is not None and _figure_of(query.sort, after) is None:
        layers = layers.where(LayerRow.position >= after[-2])

    order_of_layers = _order(query.sort, first.c, LayerRow.position)
    ranked = layers.order_by(*order_of_layers).limit(limit).subquery("ranked")
    figure = () if query.sort == "unit" else (ranked.c.figure,)
    is_ranked = and_(NeuronRow.layer_id == ranked.c.id, NeuronRow.unit == ranked.c.unit)
    page = select(ranked.c.name.label("layer"), ranked.c.position, *figure, *LISTED)
    return page.join_from(ranked, NeuronRow, is_ranked).order_by(*_order(query.sort, ranked.c, ranked.c.position))


def _sections(sort: Sort, after: Position | None) -> Sequence[tuple[bool, Position | None]]:
    """Whether its rows have the figure, and where it goes on, for each section that is still to come."""
    if sort == "unit":
        return ((True, after),)
    if after is None or _figure_of(sort, after) is not None:
        return ((True, after), (False, None))
    return ((False, after),)


def _first_of_layer(query: NeuronQuery, has_figure: bool, limit: int, after: Position | None) -> FromClause:
    """The first such neurons of a layer of the query around it."""
    rows = select(NeuronRow.unit).where(NeuronRow.layer_id == LayerRow.id, *conditions_of(query.where))
    if after is not None:
        rows = rows.where(_behind(query.sort, after))
    if query.sort == "unit":
        return rows.order_by(NeuronRow.unit).limit(limit).correlate(LayerRow).lateral("first")

    figure = sorted_by(query.sort)
    figured = rows.add_columns(figure.label("figure")).where(figure.is_not(None) if has_figure else figure.is_(None))
    ordered = figured.order_by(figure.desc().nulls_last(), NeuronRow.unit)
    return ordered.limit(limit).correlate(LayerRow).lateral("first")


def _behind(sort: Sort, after: Position) -> ColumnElement[bool]:
    *_, position, unit = after
    behind_place = or_(LayerRow.position > position, and_(LayerRow.position == position, NeuronRow.unit > unit))
    value = _figure_of(sort, after)
    if value is None:
        return behind_place

    figure = sorted_by(sort)
    return and_(figure <= value, or_(figure < value, behind_place))


def _figure_of(sort: Sort, position: Position) -> Any:
    return None if sort == "unit" else position[0]


def _order(sort: Sort, columns: Any, layer: Any) -> tuple[Any, ...]:
    return (layer, columns.unit) if sort == "unit" else (columns.figure.desc().nulls_last(), layer, columns.unit)
