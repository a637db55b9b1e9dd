"""Pages of rows with the newest first, where the newest has the highest id. A page ends at the id of its last row."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

from service.domain.pages import Position

Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])
PageRow = TypeVar("PageRow")


def newest_first(query: Query, row_id: InstrumentedAttribute[UUID], *, limit: int, after: Position | None) -> Query:
    """The query for the page behind `after`, and for one row more, which tells whether another page follows."""
    query = query.order_by(row_id.desc()).limit(limit + 1)
    return query if after is None else query.where(row_id < UUID(str(after[0])))


def cut_page(
    rows: Sequence[PageRow], limit: int, id_of: Callable[[PageRow], UUID]
) -> tuple[Sequence[PageRow], Position | None]:
    """The page of the rows that such a query found, and where it ends; None there for the last page."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], (str(id_of(rows[limit - 1])),)
