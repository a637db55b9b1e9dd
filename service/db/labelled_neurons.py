"""Queries on who knows a concept: the neurons of a job that are labelled with it, counted or with their images."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Row, Select, and_, cast, func, or_, select
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.orm import Session

from service.db.tables import LayerRow, NeuronRow
from service.domain.evidence import NO_CONCEPT
from service.domain.glances import IMAGES_AT_GLANCE, KnownInJob, LabelCount, NeuronGlance
from service.domain.neurons import TopImage
from service.domain.pages import Page, Position
from service.domain.verdicts import UnitVerdict, Verdict

_IMAGES = TypeAdapter(tuple[TopImage, ...])
_VERDICT = TypeAdapter(UnitVerdict)

_FIRST_IMAGES = func.jsonb_path_query_array(NeuronRow.images, cast(f"$[0 to {IMAGES_AT_GLANCE - 1}]", JSONPATH)).label(
    "images"
)
_NAMED = func.count().filter(NeuronRow.verdict == Verdict.NAMED).label("named")
_UNVERIFIED = func.count().filter(NeuronRow.verdict == Verdict.UNVERIFIED).label("unverified")

_GLANCE = (
    LayerRow.name.label("layer"),
    LayerRow.position,
    NeuronRow.unit,
    NeuronRow.concept,
    NeuronRow.category,
    NeuronRow.score,
    NeuronRow.z,
    NeuronRow.evidence["significance"]["q"].as_float().label("q"),
    NeuronRow.evidence["direction"]["correlation"].as_float().label("correlation"),
    NeuronRow.evidence["verdict"].label("verdict"),
    _FIRST_IMAGES,
)


def count_labels(session: Session, job_id: UUID, layer: str | None = None) -> list[LabelCount]:
    """The labels of a job or of one of its layers with their neurons, the commonest first, equal counts by name."""
    label = (NeuronRow.concept, NeuronRow.category, NeuronRow.broad_category)
    query = select(*label, func.count().label("neurons"), _NAMED, _UNVERIFIED)
    query = query.where(
        NeuronRow.layer_id.in_(_layers([job_id], layer)),
        NeuronRow.concept.is_not(None),
        NeuronRow.concept != NO_CONCEPT,
    )
    counts = [_count(row) for row in session.execute(query.group_by(*label))]
    return sorted(counts, key=lambda count: (-count.neurons, count.concept))


def count_in_jobs(session: Session, job_ids: Sequence[UUID], concepts: Sequence[str]) -> dict[UUID, KnownInJob]:
    """The neurons of each of these jobs that are labelled with any of the concepts; no entry for a job without any."""
    query = (
        select(
            LayerRow.job_id,
            func.count().label("neurons"),
            _NAMED,
            _UNVERIFIED,
            func.count(NeuronRow.layer_id.distinct()).label("layers"),
            func.max(NeuronRow.z).label("strongest_z"),
        )
        .join(LayerRow, NeuronRow.layer_id == LayerRow.id)
        .where(LayerRow.job_id.in_(job_ids), NeuronRow.concept.in_(concepts))
        .group_by(LayerRow.job_id)
    )
    return {
        row.job_id: KnownInJob(row.neurons, row.named, row.unverified, row.layers, row.strongest_z)
        for row in session.execute(query)
    }


def list_knowing(
    session: Session,
    job_id: UUID,
    concepts: Sequence[str],
    *,
    verdicts: Sequence[Verdict] | None,
    limit: int,
    after: Position | None,
) -> Page[NeuronGlance]:
    """The neurons of a job that are labelled with any of the concepts, of all layers, by descending z.

    Those without one come last, in the order of layers and units. verdicts: only neurons with any of these.
    """
    query = _glances().where(LayerRow.job_id == job_id, NeuronRow.concept.in_(concepts))
    if verdicts is not None:
        query = query.where(NeuronRow.verdict.in_(verdicts))
    if after is not None:
        query = query.where(_behind(after))

    query = query.order_by(NeuronRow.z.desc().nulls_last(), LayerRow.position, NeuronRow.unit).limit(limit + 1)
    rows = session.execute(query).all()
    neurons = tuple(map(_glance, rows[:limit]))
    if len(rows) <= limit:
        return Page(neurons)

    last_row = rows[limit - 1]
    return Page(neurons, (last_row.z, last_row.position, last_row.unit))


def first_images(session: Session, job_id: UUID, layer: str, units: Sequence[int]) -> dict[int, tuple[TopImage, ...]]:
    """The first IMAGES_AT_GLANCE top images of these units of a layer."""
    query = select(NeuronRow.unit, _FIRST_IMAGES).where(
        NeuronRow.layer_id.in_(_layers([job_id], layer)), NeuronRow.unit.in_(units)
    )
    return {row.unit: _IMAGES.validate_python(row.images) for row in session.execute(query)}


def _layers(job_ids: Sequence[UUID], layer: str | None) -> Select[UUID]:
    query = select(LayerRow.id).where(LayerRow.job_id.in_(job_ids))
    return query if layer is None else query.where(LayerRow.name == layer)


def _glances() -> Select[*tuple[Any, ...]]:
    return select(*_GLANCE).join(LayerRow, NeuronRow.layer_id == LayerRow.id)


def _behind(after: Position) -> ColumnElement[bool]:
    z, position, unit = after
    behind_place = or_(LayerRow.position > position, and_(LayerRow.position == position, NeuronRow.unit > unit))
    if z is None:
        return and_(NeuronRow.z.is_(None), behind_place)
    return or_(NeuronRow.z < z, and_(NeuronRow.z == z, behind_place), NeuronRow.z.is_(None))


def _count(row: Any) -> LabelCount:
    return LabelCount(
        concept=row.concept,
        category=row.category,
        broad_category=row.broad_category,
        neurons=row.neurons,
        named=row.named,
        unverified=row.unverified,
    )


def _glance(row: Row[Any]) -> NeuronGlance:
    return NeuronGlance(
        layer=row.layer,
        unit=row.unit,
        dead=False,
        concept=row.concept,
        category=row.category,
        score=row.score,
        z=row.z,
        q=row.q,
        correlation=row.correlation,
        verdict=None if row.verdict is None else _VERDICT.validate_python(row.verdict),
        images=_IMAGES.validate_python(row.images),
    )
