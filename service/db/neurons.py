"""Storing and querying the neurons of a dissection."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, and_, insert, or_, select
from sqlalchemy.orm import Session

from service.db.tables import JobRow, LayerRow, NeuronRow, ResourceRow
from service.domain.concepts import Concept
from service.domain.jobs import JobStatus
from service.domain.neurons import (
    ActivationSummary,
    LabelledNeuron,
    LayerSummary,
    Neuron,
    NeuronFilter,
    RankedConcept,
    TopImage,
)
from service.domain.pages import Page, Position
from service.domain.probes import Box

Sort = Literal["-score", "unit"]

_ROWS_PER_INSERT = 1_000


def add_layer(
    session: Session,
    job_id: UUID,
    *,
    position: int,
    summary: LayerSummary,
    neurons: Sequence[Neuron],
    concepts: Sequence[Concept],
) -> None:
    """Store a layer's summary and all its neurons; the neurons' concept indices point into `concepts`."""
    layer = LayerRow(
        job_id=job_id,
        name=summary.layer,
        position=position,
        units=summary.units,
        dead_units=summary.dead_units,
        mean_top_score=summary.mean_top_score,
        threshold_met=summary.threshold_met,
        top_categories=[list(pair) for pair in summary.top_categories],
    )
    session.add(layer)
    session.flush()
    for start in range(0, len(neurons), _ROWS_PER_INSERT):
        chunk = neurons[start : start + _ROWS_PER_INSERT]
        session.execute(insert(NeuronRow), [_values(layer.id, neuron, concepts) for neuron in chunk])


def latest_job_of_model(session: Session, name: str, version: int | None) -> UUID | None:
    """The newest succeeded job whose target is that model."""
    query = (
        select(JobRow.id)
        .join(ResourceRow, ResourceRow.id == JobRow.target_id)
        .where(ResourceRow.name == name, JobRow.status == JobStatus.SUCCEEDED)
    )
    if version is not None:
        query = query.where(ResourceRow.version == version)
    return session.scalar(query.order_by(JobRow.id.desc()).limit(1))


def list_layers(session: Session, job_id: UUID) -> list[LayerSummary]:
    """The layers of a job, in the order of the dissection."""
    rows = session.scalars(select(LayerRow).where(LayerRow.job_id == job_id).order_by(LayerRow.position))
    return [
        LayerSummary(
            layer=row.name,
            units=row.units,
            dead_units=row.dead_units,
            mean_top_score=row.mean_top_score,
            threshold_met=row.threshold_met,
            top_categories=tuple((name, count) for name, count in row.top_categories),
        )
        for row in rows
    ]


def list_neurons(
    session: Session,
    job_id: UUID,
    layer: str,
    *,
    where: NeuronFilter,
    sort: Sort,
    limit: int,
    after: Position | None,
) -> Page[LabelledNeuron]:
    """Neurons of one layer, by unit or by descending top score (dead neurons last), one page at a time."""
    query = _neurons(job_id, layer).where(*_conditions(where)).limit(limit + 1)
    if sort == "unit":
        query = query.order_by(NeuronRow.unit)
    else:
        query = query.order_by(NeuronRow.score.desc().nulls_last(), NeuronRow.unit)
    if after is not None:
        query = query.where(_behind(after, sort))
    rows = session.execute(query).all()
    page = tuple(_labelled(layer, row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(page)
    last = rows[limit - 1]
    return Page(page, (last.unit,) if sort == "unit" else (last.score, last.unit))


def find_neuron(session: Session, job_id: UUID, layer: str, unit: int) -> LabelledNeuron | None:
    """One neuron with everything that is known of it."""
    row = session.execute(_neurons(job_id, layer).where(NeuronRow.unit == unit)).first()
    return None if row is None else _labelled(layer, row)


_COLUMNS = (
    NeuronRow.unit,
    NeuronRow.dead,
    NeuronRow.score,
    NeuronRow.category,
    NeuronRow.broad_category,
    NeuronRow.activation,
    NeuronRow.concepts,
    NeuronRow.images,
)


def _neurons(job_id: UUID, layer: str) -> Select[Any]:
    layer_id = select(LayerRow.id).where(LayerRow.job_id == job_id, LayerRow.name == layer).scalar_subquery()
    return select(*_COLUMNS).where(NeuronRow.layer_id == layer_id)


def _conditions(where: NeuronFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        getattr(NeuronRow, name) == value
        for name in ("concept", "category", "broad_category", "dead")
        if (value := getattr(where, name)) is not None
    ]
    if where.min_score is not None:
        conditions.append(NeuronRow.score >= where.min_score)
    return conditions


def _behind(after: Position, sort: Sort) -> ColumnElement[bool]:
    score, unit = (None, *after) if sort == "unit" else after
    behind_unit: ColumnElement[bool] = NeuronRow.unit > unit
    if sort == "unit":
        return behind_unit
    if score is None:
        return and_(NeuronRow.score.is_(None), behind_unit)
    return or_(
        NeuronRow.score < score,
        and_(NeuronRow.score == score, behind_unit),
        NeuronRow.score.is_(None),
    )


def _values(layer_id: UUID, neuron: Neuron, concepts: Sequence[Concept]) -> dict[str, Any]:
    top = neuron.concepts[0] if neuron.concepts else None
    label = None if top is None else concepts[top.concept]
    return {
        "layer_id": layer_id,
        "unit": neuron.unit,
        "dead": neuron.dead,
        "concept": None if label is None else label.text,
        "category": None if label is None else label.category,
        "broad_category": None if label is None else label.broad_category,
        "score": None if top is None else top.score,
        "activation": asdict(neuron.activation),
        "concepts": [asdict(ranked) for ranked in neuron.concepts],
        "images": [asdict(image) for image in neuron.images],
    }


def _labelled(layer: str, row: Row[Any]) -> LabelledNeuron:
    neuron = Neuron(
        unit=row.unit,
        dead=row.dead,
        activation=ActivationSummary(**row.activation),
        concepts=tuple(RankedConcept(**ranked) for ranked in row.concepts),
        images=tuple(_image(**image) for image in row.images),
    )
    return LabelledNeuron(layer, neuron, row.category, row.broad_category)


def _image(box: dict[str, int] | None, **rest: Any) -> TopImage:
    return TopImage(box=None if box is None else Box(**box), **rest)
