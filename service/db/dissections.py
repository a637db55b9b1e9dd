"""Queries on the dissections of models: jobs with a result, in a line each, without what they found."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from service.db.paging import cut_page, newest_first
from service.db.tables import JobRow, ResourceRow
from service.domain.glances import DissectionLine
from service.domain.jobs import JobStatus
from service.domain.pages import Page, Position
from service.domain.resources import ResourceKind

_LINE = (
    JobRow.id,
    JobRow.target_id,
    JobRow.options["target"].as_string().label("model"),
    JobRow.options["dissector"].as_string().label("dissector"),
    JobRow.options["probe_set"].as_string().label("probe_set"),
    JobRow.options["concept_set"].as_string().label("concept_set"),
    JobRow.options["shuffled"].as_integer().label("shuffled"),
    JobRow.created_at,
    JobRow.finished_at,
)


def list_dissections(
    session: Session, *, model: str | None, limit: int, after: Position | None
) -> Page[DissectionLine]:
    """Succeeded jobs, newest first. model: only those on any version of that name."""
    query = newest_first(_succeeded(), JobRow.id, limit=limit, after=after)
    if model is not None:
        query = query.where(JobRow.target_id.in_(_versions(model)))
    rows, next_position = cut_page(session.execute(query).all(), limit, lambda row: row.id)
    return Page(tuple(map(_line, rows)), next_position)


def newest_dissections(session: Session, model_ids: Collection[UUID]) -> dict[UUID, DissectionLine]:
    """The newest dissection of each of these versions of models, as it is and not shuffled, by the version's id."""
    query = _succeeded().where(JobRow.target_id.in_(model_ids), JobRow.options["shuffled"].as_integer().is_(None))
    rows = session.execute(query.ext(distinct_on(JobRow.target_id)).order_by(JobRow.target_id, JobRow.id.desc()))
    return {row.target_id: _line(row) for row in rows}


def find_dissection(session: Session, job_id: UUID) -> DissectionLine | None:
    """A succeeded job in a line."""
    row = session.execute(_succeeded().where(JobRow.id == job_id)).first()
    return None if row is None else _line(row)


def _succeeded() -> Select[*tuple[Any, ...]]:
    return select(*_LINE).where(JobRow.status == JobStatus.SUCCEEDED)


def _versions(model: str) -> Select[UUID]:
    return select(ResourceRow.id).where(ResourceRow.kind == ResourceKind.MODEL, ResourceRow.name == model)


def _line(row: Row[Any]) -> DissectionLine:
    return DissectionLine(
        job=row.id,
        model=row.model,
        dissector=row.dissector,
        probe_set=row.probe_set,
        concept_set=row.concept_set,
        shuffled=row.shuffled,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
