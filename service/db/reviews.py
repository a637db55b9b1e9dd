"""Queries on reviews. What one reader says of a neuron, another sees only once they have judged it themselves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, cast, exists, func, insert, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from service.db.paging import cut_page, newest_first
from service.db.review_tables import ReviewRow
from service.db.tables import LayerRow, NeuronRow
from service.domain.pages import Page, Position
from service.domain.reviews import (
    Decision,
    Judgement,
    Review,
    ReviewedNeuron,
    ReviewFilter,
    Standing,
    measured_name,
    standing_of,
)

_VERDICT_NAME = NeuronRow.evidence["verdict"]["name"].as_string()


@dataclass(frozen=True, slots=True)
class LockedNeuron:
    """A neuron that nobody else may review until the transaction ends."""

    layer_id: UUID
    dead: bool
    measured: str | None
    """What the dissection calls it."""


def lock_neuron(session: Session, job_id: UUID, layer: str, unit: int) -> LockedNeuron | None:
    """The neuron, whose reviews nobody else may add to until this transaction ends; None where there is none."""
    query = (
        select(NeuronRow.layer_id, NeuronRow.dead, NeuronRow.verdict, NeuronRow.concept, _VERDICT_NAME.label("called"))
        .join(LayerRow, LayerRow.id == NeuronRow.layer_id)
        .where(LayerRow.job_id == job_id, LayerRow.name == layer, NeuronRow.unit == unit)
        .with_for_update(of=NeuronRow, key_share=True)
    )
    row = session.execute(query).first()
    if row is None:
        return None
    return LockedNeuron(row.layer_id, row.dead, measured_name(row.verdict, row.called, row.concept))


def current_review(session: Session, job_id: UUID, layer_id: UUID, unit: int, reader: str) -> Review | None:
    """What a reader says of a neuron now."""
    query = _reviews(job_id).where(
        ReviewRow.layer_id == layer_id, ReviewRow.unit == unit, ReviewRow.reader == reader, _is_current()
    )
    row = session.execute(query).first()
    return None if row is None else _review(row)


def sees_others(session: Session, layer_id: UUID, unit: int, reader: str) -> bool:
    """Could the reader see another's review of the neuron by now?"""
    of_neuron = select(ReviewRow.id).where(ReviewRow.layer_id == layer_id, ReviewRow.unit == unit)
    own = of_neuron.where(ReviewRow.reader == reader, ReviewRow.stance.is_not(None))
    others = of_neuron.where(ReviewRow.reader != reader)
    return bool(session.scalar(select(own.exists() & others.exists())))


def add_review(
    session: Session,
    job_id: UUID,
    layer_id: UUID,
    unit: int,
    *,
    reader: str,
    version: int,
    judgement: Judgement,
    name_in_set: bool | None,
    reason: str,
    blind: bool,
) -> UUID:
    """Insert a review; the caller has locked the neuron."""
    values = {
        "job_id": job_id,
        "layer_id": layer_id,
        "unit": unit,
        "reader": reader,
        "version": version,
        "decision": judgement.decision,
        "stance": judgement.stance,
        "name": judgement.name,
        "name_in_set": name_in_set,
        "reason": reason,
        "blind": blind,
    }
    return session.execute(insert(ReviewRow).values(**values).returning(ReviewRow.id)).scalar_one()


def find_review(session: Session, job_id: UUID, review_id: UUID, *, caller: str) -> Review | None:
    """A review of the job that the caller may see, current or not."""
    row = session.execute(_reviews(job_id).where(ReviewRow.id == review_id, _is_visible(caller))).first()
    return None if row is None else _review(row)


def reviews_of_neuron(session: Session, job_id: UUID, layer: str, unit: int, *, caller: str) -> list[Review]:
    """The current reviews of a neuron that the caller may see, by reader."""
    query = _reviews(job_id).where(LayerRow.name == layer, ReviewRow.unit == unit, _is_current(), _is_visible(caller))
    return [_review(row) for row in session.execute(query.order_by(ReviewRow.reader))]


def list_reviews(
    session: Session, job_id: UUID, *, caller: str, where: ReviewFilter, limit: int, after: Position | None
) -> Page[Review]:
    """The job's reviews that the caller may see, newest first."""
    query = _reviews(job_id).where(_is_visible(caller), *_conditions(job_id, caller, where))
    query = newest_first(query, ReviewRow.id, limit=limit, after=after)
    rows, next_position = cut_page(session.execute(query).all(), limit, lambda row: row.id)
    return Page(tuple(map(_review, rows)), next_position)


def standings_of(
    session: Session, job_id: UUID, places: Sequence[tuple[str, int]], *, caller: str
) -> dict[tuple[str, int], Standing]:
    """How neurons, each a layer and a unit, stand as far as the caller sees; those that nobody judges are left out."""
    query = (
        select(LayerRow.name.label("layer"), ReviewRow.unit, ReviewRow.decision, ReviewRow.name)
        .join(LayerRow, LayerRow.id == ReviewRow.layer_id)
        .where(LayerRow.job_id == job_id, tuple_(LayerRow.name, ReviewRow.unit).in_(places))
        .where(ReviewRow.stance.is_not(None), _is_current(), _is_visible(caller))
    )
    judgements: dict[tuple[str, int], list[Judgement]] = {}
    for row in session.execute(query):
        judgements.setdefault((row.layer, row.unit), []).append(_judgement(row))
    standings = {place: standing_of(of_neuron) for place, of_neuron in judgements.items()}
    return {place: standing for place, standing in standings.items() if standing is not None}


def state_of(session: Session, job_id: UUID) -> str:
    """What changes with every review of the job: they are only added, and may be committed in another order."""
    newest = func.max(cast(ReviewRow.id, Text))  # there is no max of uuids
    count, last = session.execute(select(func.count(), newest).where(ReviewRow.job_id == job_id)).one()
    return f"{count} {last}"


def reviewed_neurons(session: Session, job_id: UUID, *, caller: str) -> list[ReviewedNeuron]:
    """The neurons of a job that are judged, as far as the caller sees, in the order of the dissection."""
    return _by_neuron(session.execute(_judgements(job_id).where(_is_visible(caller))))


def judged_neurons(session: Session, job_id: UUID) -> list[ReviewedNeuron]:
    """The same whoever sees it: for sums over many neurons alone."""
    return _by_neuron(session.execute(_judgements(job_id)))


def blind_judgements(session: Session, job_id: UUID) -> list[ReviewedNeuron]:
    """What each reader said last of each neuron without seeing what others say: for sums over many neurons alone."""
    later = aliased(ReviewRow)
    replaced = exists().where(
        later.layer_id == ReviewRow.layer_id,
        later.unit == ReviewRow.unit,
        later.reader == ReviewRow.reader,
        later.version > ReviewRow.version,
        later.blind.is_(True),
    )
    query = _in_brief(job_id).where(ReviewRow.blind.is_(True), ReviewRow.stance.is_not(None), ~replaced)
    return _by_neuron(session.execute(query))


def count_hidden(session: Session, job_id: UUID, *, caller: str) -> int:
    """How many current reviews of the job the caller may not see yet."""
    query = select(func.count()).where(ReviewRow.job_id == job_id, _is_current(), ~_is_visible(caller))
    return session.execute(query).scalar_one()


def count_decisions(session: Session, job_id: UUID, *, caller: str) -> dict[Decision, int]:
    """How many current reviews of the job that the caller may see decide what."""
    query = (
        select(ReviewRow.decision, func.count())
        .where(ReviewRow.job_id == job_id, _is_current(), _is_visible(caller))
        .group_by(ReviewRow.decision)
    )
    return {Decision(decision): count for decision, count in session.execute(query)}


def has_reviews(session: Session, job_id: UUID) -> bool:
    """Has anybody reviewed a neuron of the job?"""
    return bool(session.scalar(select(exists().where(ReviewRow.job_id == job_id))))


def is_disputed(job_id: UUID, layer_id: Any, unit: Any) -> ColumnElement[bool]:
    """The condition that current judgements of a neuron of the job differ."""
    row = aliased(ReviewRow)
    disputed = (
        select(row.layer_id, row.unit)
        .where(row.job_id == job_id, _is_current(row))
        .group_by(row.layer_id, row.unit)
        .having(func.count(row.stance.distinct()) > 1)
    )
    return tuple_(layer_id, unit).in_(disputed)


def is_reviewed_by(reader: str, layer_id: Any, unit: Any) -> ColumnElement[bool]:
    """The condition that the reader has reviewed a neuron."""
    row = aliased(ReviewRow)
    return exists().where(row.layer_id == layer_id, row.unit == unit, row.reader == reader)


def _is_current(row: Any = ReviewRow) -> ColumnElement[bool]:
    """The condition that the reader has not replaced a review."""
    later = aliased(ReviewRow)
    return ~exists().where(
        later.layer_id == row.layer_id,
        later.unit == row.unit,
        later.reader == row.reader,
        later.version > row.version,
    )


def _has_judged(caller: str) -> ColumnElement[bool]:
    """Once they have, they have seen the others' reviews, whatever they say later."""
    own = aliased(ReviewRow)
    return exists().where(
        own.layer_id == ReviewRow.layer_id,
        own.unit == ReviewRow.unit,
        own.reader == caller,
        own.stance.is_not(None),
    )


def _is_visible(caller: str) -> ColumnElement[bool]:
    """Their own reviews, and those of neurons that they have judged."""
    return or_(ReviewRow.reader == caller, _has_judged(caller))


def _conditions(job_id: UUID, caller: str, where: ReviewFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where.layer is not None:
        conditions.append(LayerRow.name == where.layer)
    if where.unit is not None:
        conditions.append(ReviewRow.unit == where.unit)
    if where.reader is not None:
        conditions.append(ReviewRow.reader == where.reader)
    if where.decision is not None:
        conditions.append(ReviewRow.decision == where.decision)
    if where.disputed is not None:
        seen_disputed = _has_judged(caller) & is_disputed(job_id, ReviewRow.layer_id, ReviewRow.unit)
        conditions.append(seen_disputed if where.disputed else ~seen_disputed)
    if not where.history:
        conditions.append(_is_current())
    return conditions


def _reviews(job_id: UUID) -> Select[*tuple[Any, ...]]:
    columns = (
        ReviewRow.id,
        ReviewRow.job_id,
        LayerRow.name.label("layer"),
        ReviewRow.unit,
        ReviewRow.reader,
        ReviewRow.version,
        ReviewRow.decision,
        ReviewRow.name,
        ReviewRow.name_in_set,
        ReviewRow.reason,
        ReviewRow.blind,
        ReviewRow.created_at,
    )
    return select(*columns).join(LayerRow, LayerRow.id == ReviewRow.layer_id).where(ReviewRow.job_id == job_id)


def _judgements(job_id: UUID) -> Select[*tuple[Any, ...]]:
    return _in_brief(job_id).where(ReviewRow.stance.is_not(None), _is_current())


def _in_brief(job_id: UUID) -> Select[*tuple[Any, ...]]:
    columns = (
        LayerRow.name.label("layer"),
        ReviewRow.unit,
        ReviewRow.reader,
        ReviewRow.decision,
        ReviewRow.name,
        NeuronRow.verdict,
        NeuronRow.concept,
        _VERDICT_NAME.label("called"),
    )
    return (
        select(*columns)
        .join(LayerRow, LayerRow.id == ReviewRow.layer_id)
        .join(NeuronRow, (NeuronRow.layer_id == ReviewRow.layer_id) & (NeuronRow.unit == ReviewRow.unit))
        .where(ReviewRow.job_id == job_id)
        .order_by(LayerRow.position, ReviewRow.unit, ReviewRow.reader)
    )


def _by_neuron(rows: Iterable[Any]) -> list[ReviewedNeuron]:
    """The rows of `_in_brief`, together for each neuron."""
    judgements: dict[tuple[str, int], dict[str, Judgement]] = {}
    measured: dict[tuple[str, int], str | None] = {}
    for row in rows:
        place = (row.layer, row.unit)
        judgements.setdefault(place, {})[row.reader] = _judgement(row)
        measured[place] = measured_name(row.verdict, row.called, row.concept)
    return [ReviewedNeuron(*place, measured[place], of_neuron) for place, of_neuron in judgements.items()]


def _judgement(row: Any) -> Judgement:
    return Judgement(Decision(row.decision), row.name)


def _review(row: Any) -> Review:
    return Review(
        id=row.id,
        job=row.job_id,
        layer=row.layer,
        unit=row.unit,
        reader=row.reader,
        version=row.version,
        judgement=_judgement(row),
        name_in_set=row.name_in_set,
        reason=row.reason,
        blind=row.blind,
        created_at=row.created_at,
    )
