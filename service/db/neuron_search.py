"""Queries for the neurons whose directions are nearest to a vector, over all jobs and models."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    ColumnExpressionArgument,
    Double,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from service.db.direction_tables import INDEXED_WIDTHS, LayerDirectionsRow, NeuronDirectionRow, stored_width
from service.db.directions import filled_up
from service.db.half_vectors import HalfVector, Vector
from service.db.tables import JobRow, LayerRow, NeuronRow, ResourceRow
from service.domain.jobs import JobStatus
from service.domain.pages import Page, Position
from service.domain.search import HitFilter, LeftOut, NeuronHit, NeuronPlace, Scope, ScopeFilter, Space
from service.domain.verdicts import Verdict

MOST_COMPARED = 50_000
"""Neurons that are all compared with what is searched by. More are searched through the index."""

MOST_NEAREST = 500
"""How many of the nearest neurons a search through the index gives."""

_JOBS_NAMED = 20

_INDEX_ONLY = text(
    """
    SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '100', true),
      set_config('hnsw.max_scan_tuples', '20000', true), set_config('enable_seqscan', 'off', true),
      set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)
    """
)
_PLAN_ANEW = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
"""The index serves one width alone, and long lists are hashed only where the planner sees them."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of neurons, nearest first."""

    page: Page[NeuronHit]
    exact: bool
    """Were all neurons compared? Otherwise the index named the nearest."""


def spaces(session: Session, where: ScopeFilter) -> list[Space]:
    """The spaces that have directions of these layers; that of the newest job first."""
    newest = func.max(cast(JobRow.id, Text)).label("newest")  # there is no max of uuids
    layers = _layers(where).with_only_columns(LayerDirectionsRow.dissector, LayerDirectionsRow.width, newest)
    of_spaces = layers.group_by(LayerDirectionsRow.dissector, LayerDirectionsRow.width).subquery()
    query = (
        select(of_spaces.c.dissector, JobRow.dissector_id, of_spaces.c.width)
        .join(JobRow, JobRow.id == cast(of_spaces.c.newest, Uuid))
        .order_by(JobRow.id.desc())
    )
    return [Space(*row) for row in session.execute(query)]


def find_scope(session: Session, dissector: str, where: ScopeFilter) -> Scope:
    """The layers that are searched. dissector: its digest."""
    layers = _layers(where).where(LayerDirectionsRow.dissector == dissector)
    query = layers.with_only_columns(LayerDirectionsRow.layer_id, LayerDirectionsRow.neurons, JobRow.id)
    rows = session.execute(query.order_by(LayerDirectionsRow.layer_id)).all()
    return Scope(
        layer_ids=tuple(layer_id for layer_id, _, _ in rows),
        neurons=sum(neurons for _, neurons, _ in rows),
        jobs=len({job_id for _, _, job_id in rows}),
    )


def find_left_out(session: Session, dissector: str, where: ScopeFilter) -> LeftOut:
    """The dissections that a search passes over."""
    of_job = select(LayerDirectionsRow.layer_id).join(LayerRow, LayerRow.id == LayerDirectionsRow.layer_id)
    of_job = of_job.where(LayerRow.job_id == JobRow.id).correlate(JobRow)
    in_space = of_job.where(LayerDirectionsRow.dissector == dissector).exists()
    kind = case((of_job.exists(), literal("other")), else_=literal("none")).label("kind")

    passed_over = select(JobRow.id, kind).where(JobRow.status == JobStatus.SUCCEEDED, *_of_jobs(where), ~in_space)
    rows = session.execute(passed_over.order_by(JobRow.id.desc())).all()
    without = [job_id for job_id, why in rows if why == "none"]
    return LeftOut(len(without), len(rows) - len(without), tuple(without[:_JOBS_NAMED]))


def direction_of(session: Session, place: NeuronPlace) -> tuple[str, int, Vector | None] | None:
    """The dissector's digest, the width and a unit's direction, None for a unit without one; None for such a layer."""
    layers = (
        select(LayerDirectionsRow.layer_id, LayerDirectionsRow.dissector, LayerDirectionsRow.width)
        .join(LayerRow, LayerRow.id == LayerDirectionsRow.layer_id)
        .where(LayerRow.job_id == place.job_id, LayerRow.name == place.layer)
    )
    layer = session.execute(layers).first()
    if layer is None:
        return None
    of_unit = (NeuronDirectionRow.layer_id == layer.layer_id, NeuronDirectionRow.unit == place.unit)
    direction = session.scalar(select(NeuronDirectionRow.direction).where(*of_unit))
    return layer.dissector, layer.width, None if direction is None else direction[: layer.width]


def find_nearest(
    session: Session,
    scope: Scope,
    vector: Vector,
    where: HitFilter,
    *,
    but: NeuronPlace | None,
    limit: int,
    after: Position | None,
) -> Found:
    """The neurons whose directions are nearest to a vector, page by page: all of these layers, or those that an index
    names as the nearest.

    vector: float32 [D], of any length but 0. but: a neuron that is left out.
    """
    width = stored_width(len(vector))
    exact = scope.neurons <= MOST_COMPARED or width not in INDEXED_WIDTHS
    session.execute(_PLAN_ANEW)
    if not exact:
        session.execute(_INDEX_ONLY)

    wanted = cast(bindparam("wanted", filled_up(vector), HalfVector()), HalfVector())
    candidates = _candidates(scope, wanted, None if exact else width, where, but)
    rows = session.execute(_page(candidates, limit, after)).all()
    hits = tuple(_hit(row) for row in rows[:limit])
    if len(rows) <= limit:
        return Found(Page(hits), exact)
    last = rows[limit - 1]
    return Found(Page(hits, (last.distance, str(last.layer_id), last.unit)), exact)


def _candidates(
    scope: Scope, wanted: ColumnElement[Vector], indexed: int | None, where: HitFilter, but: NeuronPlace | None
) -> Select[UUID, int, float]:
    """Layer, unit and distance of all neurons, or of the nearest that the index for a width names."""
    direction: ColumnElement[Vector] | InstrumentedAttribute[Vector] = NeuronDirectionRow.direction
    if indexed is not None:
        direction = cast(NeuronDirectionRow.direction, HalfVector(indexed))
        wanted = cast(wanted, HalfVector(indexed))
    distance: ColumnElement[float] = direction.op("<=>", return_type=Double())(wanted)

    layer_ids = bindparam("layer_ids", list(scope.layer_ids), ARRAY(Uuid))
    query = select(NeuronDirectionRow.layer_id, NeuronDirectionRow.unit, distance.label("distance")).where(
        NeuronDirectionRow.layer_id == any_(layer_ids)
    )
    if not where.is_empty:
        query = query.join(NeuronRow, _same_neuron(NeuronDirectionRow.layer_id, NeuronDirectionRow.unit))
        query = query.where(*_of_hits(where))
    if but is not None:
        own = select(LayerRow.id).where(LayerRow.job_id == but.job_id, LayerRow.name == but.layer).scalar_subquery()
        query = query.where((NeuronDirectionRow.layer_id != own) | (NeuronDirectionRow.unit != but.unit))
    if indexed is not None:
        # The index is used for exactly this condition, written in this way.
        of_width = func.vector_dims(NeuronDirectionRow.direction) == literal_column(str(indexed))
        query = query.where(of_width).order_by(distance).limit(MOST_NEAREST)
    return query


def _page(candidates: Select[UUID, int, float], limit: int, after: Position | None) -> Select[*tuple[Any, ...]]:
    """One page of them, and one row more, with all that is listed of a neuron."""
    near = candidates.subquery("near")
    position = (near.c.distance, near.c.layer_id, near.c.unit)
    page = select(*position).order_by(*position).limit(limit + 1)
    if after is not None:
        distance, layer_id, unit = after
        behind = tuple_(literal(distance, Double()), literal(UUID(str(layer_id)), Uuid()), literal(unit))
        page = page.where(tuple_(*position) > behind)

    hits = page.subquery("hits")
    target = aliased(ResourceRow)
    return (
        select(
            *hits.c,
            JobRow.id.label("job_id"),
            target.name.label("target"),
            target.version,
            LayerRow.name.label("layer"),
            NeuronRow.concept,
            NeuronRow.evidence["verdict"]["name"].as_string().label("name"),
            NeuronRow.verdict,
            NeuronRow.category,
            NeuronRow.broad_category,
            NeuronRow.z,
            NeuronRow.score,
        )
        .join(NeuronRow, _same_neuron(hits.c.layer_id, hits.c.unit))
        .join(LayerRow, LayerRow.id == hits.c.layer_id)
        .join(JobRow, JobRow.id == LayerRow.job_id)
        .join(target, target.id == JobRow.target_id)
        .order_by(hits.c.distance, hits.c.layer_id, hits.c.unit)
    )


def _layers(where: ScopeFilter) -> Select[UUID]:
    """The layers with directions that are searched, with their jobs."""
    query = (
        select(LayerDirectionsRow.layer_id)
        .join(LayerRow, LayerRow.id == LayerDirectionsRow.layer_id)
        .join(JobRow, JobRow.id == LayerRow.job_id)
        .where(JobRow.status == JobStatus.SUCCEEDED, *_of_jobs(where))
    )
    return query if where.layer is None else query.where(LayerRow.name == where.layer)


def _of_jobs(where: ScopeFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where.job_id is not None:
        conditions.append(JobRow.id == where.job_id)
    else:
        conditions += [JobRow.replay_of.is_(None), JobRow.options["shuffled"].as_integer().is_(None)]
    if where.model is not None:
        name, version = where.model
        targets = select(ResourceRow.id).where(ResourceRow.kind == "model", ResourceRow.name == name)
        targets = targets if version is None else targets.where(ResourceRow.version == version)
        conditions.append(JobRow.target_id.in_(targets))
    return conditions


def _of_hits(where: HitFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where.verdicts is not None:
        conditions.append(NeuronRow.verdict.in_([str(verdict) for verdict in where.verdicts]))
    if where.category is not None:
        conditions.append(NeuronRow.category == where.category)
    if where.min_z is not None:
        conditions.append(NeuronRow.z >= where.min_z)
    return conditions


def _same_neuron(layer_id: ColumnExpressionArgument[UUID], unit: ColumnExpressionArgument[int]) -> ColumnElement[bool]:
    return and_(NeuronRow.layer_id == layer_id, NeuronRow.unit == unit)


def _hit(row: Row[Any]) -> NeuronHit:
    return NeuronHit(
        job_id=row.job_id,
        model=f"{row.target}@{row.version}",
        layer=row.layer,
        unit=row.unit,
        concept=row.concept,
        name=row.name,
        verdict=None if row.verdict is None else Verdict(row.verdict),
        category=row.category,
        broad_category=row.broad_category,
        z=row.z,
        score=row.score,
        cosine=1.0 - row.distance,
    )
