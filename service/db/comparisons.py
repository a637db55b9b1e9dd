"""Queries on comparisons."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.paging import cut_page, newest_first
from service.db.tables import ComparisonRow
from service.domain.comparisons import Comparison, StoredComparison
from service.domain.pages import Page, Position

_RESULT = TypeAdapter(Comparison)


def add_comparison(session: Session, jobs: Sequence[UUID], result: Comparison) -> bool:
    """Store what was found for those jobs in that order; False where somebody has done so before."""
    statement = insert(ComparisonRow).values(job_ids=list(jobs), result=asdict(result))
    added = statement.on_conflict_do_nothing(index_elements=[ComparisonRow.job_ids]).returning(ComparisonRow.id)
    return session.scalar(added) is not None


def find_comparison_of(session: Session, jobs: Sequence[UUID]) -> StoredComparison | None:
    """The comparison of those jobs in that order."""
    return _stored(session.scalar(select(ComparisonRow).where(ComparisonRow.job_ids == list(jobs))))


def get_comparison(session: Session, comparison_id: UUID) -> StoredComparison | None:
    """The comparison with that id."""
    return _stored(session.get(ComparisonRow, comparison_id))


def list_comparisons(session: Session, *, limit: int, after: Position | None) -> Page[StoredComparison]:
    """Comparisons, newest first, without their results."""
    query = select(ComparisonRow.id, ComparisonRow.job_ids, ComparisonRow.created_at)
    query = newest_first(query, ComparisonRow.id, limit=limit, after=after)
    rows, next_position = cut_page(session.execute(query).all(), limit, lambda row: row.id)
    comparisons = tuple(StoredComparison(row.id, tuple(row.job_ids), row.created_at, None) for row in rows)
    return Page(comparisons, next_position)


def _stored(row: ComparisonRow | None) -> StoredComparison | None:
    if row is None:
        return None
    return StoredComparison(row.id, tuple(row.job_ids), row.created_at, _RESULT.validate_python(row.result))
