"""Work lists of neurons to review: the order of a draw depends on the dissection and the seed alone."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, and_, cast, func, literal, or_, select
from sqlalchemy.orm import Session

from service.db.reviews import is_disputed, is_reviewed_by
from service.db.tables import LayerRow, NeuronRow
from service.domain.evidence import NO_CONCEPT
from service.domain.review_lists import Draw, DrawnNeuron, WorkList
from service.domain.verdicts import Verdict

_FIT = NeuronRow.evidence["direction"]["fit"].as_float()
_IS_UNNAMED = or_(
    NeuronRow.verdict == Verdict.UNNAMED, and_(NeuronRow.verdict.is_(None), NeuronRow.concept == NO_CONCEPT)
)


def draw_neurons(session: Session, job_id: UUID, draw: Draw, *, reader: str, count: int, seed: int) -> WorkList:
    """The first `count` neurons of the draw; those that the reader has reviewed are left out afterwards.

    Of disputed ones those that the reader has reviewed are none: they have had their say.
    """
    query = _drawn(job_id, draw, reader, seed)
    rows = session.execute(query.limit(count)).all()
    neurons = [
        DrawnNeuron(place, row.layer, row.unit, row.concept, row.verdict, row.z, row.reviewed)
        for place, row in enumerate(rows, start=1)
    ]
    return WorkList(
        draw=draw,
        seed=seed,
        count=count,
        population=rows[0].population if rows else 0,
        drawn=len(rows),
        left=tuple(neuron for neuron in neurons if not neuron.reviewed),
    )


def random_named(session: Session, job_id: UUID, *, seed: int, limit: int) -> list[tuple[str, int]]:
    """Layer and unit of the named neurons, in the order in which the random draw of all live ones has them."""
    order = _random_order(job_id, seed)
    query = select(order.c.layer, order.c.unit).where(order.c.verdict == Verdict.NAMED)
    query = query.order_by(order.c.depth, order.c.position).limit(limit)
    return [(row.layer, row.unit) for row in session.execute(query)]


def _drawn(job_id: UUID, draw: Draw, reader: str, seed: int) -> Select[*tuple[Any, ...]]:
    if draw is Draw.RANDOM:
        order = _random_order(job_id, seed)
        columns = (order.c.layer, order.c.unit, order.c.concept, order.c.verdict, order.c.z, order.c.population)
        reviewed = is_reviewed_by(reader, order.c.layer_id, order.c.unit)
        return select(*columns, reviewed.label("reviewed")).order_by(order.c.depth, order.c.position)

    reviewed = is_reviewed_by(reader, NeuronRow.layer_id, NeuronRow.unit)
    query = select(*_columns(), func.count().over().label("population"), reviewed.label("reviewed"))
    query = query.join(LayerRow, LayerRow.id == NeuronRow.layer_id)
    query = query.where(LayerRow.job_id == job_id, NeuronRow.dead.is_(False))
    order_by: tuple[Any, ...]
    match draw:
        case Draw.STRONGEST:
            order_by = (NeuronRow.z.desc().nulls_last(), NeuronRow.score.desc().nulls_last())
        case Draw.UNNAMED:
            query = query.where(_IS_UNNAMED)
            order_by = (_FIT.desc().nulls_last(), NeuronRow.z.desc().nulls_last())
        case Draw.DISPUTED:
            query = query.where(is_disputed(job_id, NeuronRow.layer_id, NeuronRow.unit), ~reviewed)
            order_by = (_lot(seed), NeuronRow.unit)
    return query.order_by(*order_by, LayerRow.position, NeuronRow.unit)


def _random_order(job_id: UUID, seed: int) -> Any:
    """All live neurons. depth: how far down its layer's own random order a neuron is, from 0 to 1."""
    of_layer = func.row_number().over(partition_by=LayerRow.id, order_by=(_lot(seed), NeuronRow.unit))
    live = func.count().over(partition_by=LayerRow.id)
    return (
        select(
            *_columns(),
            NeuronRow.layer_id,
            LayerRow.position,
            ((of_layer - 0.5) / live).label("depth"),
            func.count().over().label("population"),
        )
        .join(LayerRow, LayerRow.id == NeuronRow.layer_id)
        .where(LayerRow.job_id == job_id, NeuronRow.dead.is_(False))
        .subquery()
    )


def _lot(seed: int) -> ColumnElement[str]:
    """A number that seed, layer and unit decide and nothing else: dissections of one network are drawn alike."""
    return func.md5(literal(f"{seed}/") + LayerRow.name + literal("/") + cast(NeuronRow.unit, String))


def _columns() -> tuple[Any, ...]:
    return (
        LayerRow.name.label("layer"),
        NeuronRow.unit,
        NeuronRow.concept,
        NeuronRow.verdict,
        NeuronRow.z,
    )
