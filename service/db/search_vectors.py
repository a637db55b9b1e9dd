"""Queries on what searches go by that only workers can read: texts and images in a dissector's space."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, delete, func, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.search_tables import SearchVectorRow
from service.domain.search import SearchKind
from service.errors import ProblemFields

_STORED = np.dtype("<f4")
_OPEN = (SearchVectorRow.vector.is_(None), SearchVectorRow.problem.is_(None))


class SearchVector(NamedTuple):
    """Where the reading of a text or an image stands; vector and problem are None until a worker has read it."""

    vector: NDArray[np.float32] | None
    problem: ProblemFields | None
    is_old: bool
    """Was it asked for more than a minute ago?"""


def find_search_vector(session: Session, dissector_id: UUID, kind: SearchKind, query: str) -> SearchVector | None:
    """None where nobody has asked for it."""
    is_old = SearchVectorRow.asked_at < func.clock_timestamp() - timedelta(minutes=1)
    columns = select(SearchVectorRow.vector, SearchVectorRow.problem, is_old.label("is_old"))
    row = session.execute(columns.where(*_of(dissector_id, kind, query))).first()
    if row is None:
        return None
    vector = None if row.vector is None else np.frombuffer(row.vector, _STORED).astype(np.float32, copy=False)
    return SearchVector(vector, row.problem, row.is_old)


def add_search_vector(session: Session, dissector_id: UUID, kind: SearchKind, query: str) -> None:
    """Ask for one, or ask again for one that failed."""
    statement = insert(SearchVectorRow).values(dissector_id=dissector_id, kind=kind, query=query)
    key = [SearchVectorRow.dissector_id, SearchVectorRow.kind, SearchVectorRow.query]
    again = {"vector": null(), "problem": null(), "asked_at": func.now()}
    session.execute(statement.on_conflict_do_update(index_elements=key, set_=again))


def open_search_vectors(session: Session, dissector_id: UUID) -> list[tuple[SearchKind, str]]:
    """What a dissector is still to read, what was asked for first before the rest."""
    query = select(SearchVectorRow.kind, SearchVectorRow.query).where(
        SearchVectorRow.dissector_id == dissector_id, *_OPEN
    )
    ordered = query.order_by(SearchVectorRow.asked_at, SearchVectorRow.kind, SearchVectorRow.query)
    return [(SearchKind(kind), searched) for kind, searched in session.execute(ordered)]


def save_search_vector(
    session: Session, dissector_id: UUID, kind: SearchKind, query: str, found: NDArray[np.float32] | ProblemFields
) -> None:
    """Note where a text or an image lies, or why that cannot be found out."""
    if isinstance(found, np.ndarray):
        values: dict[str, object] = {"vector": found.astype(_STORED).tobytes(), "problem": null()}
    else:
        values = {"vector": None, "problem": dict(found)}
    session.execute(update(SearchVectorRow).where(*_of(dissector_id, kind, query)).values(values))


def fail_open_search_vectors(session: Session, dissector_id: UUID, problem: ProblemFields) -> None:
    """Note why nobody has read what a dissector was to read."""
    of_dissector = SearchVectorRow.dissector_id == dissector_id
    session.execute(update(SearchVectorRow).where(of_dissector, *_OPEN).values(problem=dict(problem)))


def forget_search_vectors(session: Session, *, older_than: timedelta) -> None:
    """Delete what was asked for that long ago: whoever searches by it has it read again."""
    old = SearchVectorRow.asked_at < func.clock_timestamp() - older_than
    session.execute(delete(SearchVectorRow).where(old))


def _of(dissector_id: UUID, kind: SearchKind, query: str) -> tuple[ColumnElement[bool], ...]:
    return (
        SearchVectorRow.dissector_id == dissector_id,
        SearchVectorRow.kind == kind,
        SearchVectorRow.query == query,
    )
