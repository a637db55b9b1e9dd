"""Queries on the listings of images that workers made of headers."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.picture_tables import HeaderPartRow, ImageListingRow


def keep_listing(session: Session, sha256: str, data: bytes) -> None:
    """Keep a listing under the digest of its bytes."""
    statement = insert(ImageListingRow).values(sha256=sha256, data=data)
    session.execute(statement.on_conflict_do_nothing())


def get_listing(session: Session, sha256: str) -> bytes:
    """A listing that is kept. Raises NoResultFound: digests come from specifications, not from callers."""
    return session.execute(select(ImageListingRow.data).where(ImageListingRow.sha256 == sha256)).scalar_one()


def add_headers(session: Session, probe_set_id: UUID, data: bytes) -> None:
    """Keep headers that were read for a listing until it ends."""
    parts = select(func.coalesce(func.max(HeaderPartRow.part) + 1, 0)).where(HeaderPartRow.probe_set_id == probe_set_id)
    values = {"probe_set_id": probe_set_id, "part": parts.scalar_subquery(), "data": data}
    session.execute(insert(HeaderPartRow).values(values).on_conflict_do_nothing())


def iterate_headers(session: Session, probe_set_id: UUID) -> Iterator[bytes]:
    """The headers that are kept of a listing that has not ended."""
    query = select(HeaderPartRow.data).where(HeaderPartRow.probe_set_id == probe_set_id).order_by(HeaderPartRow.part)
    yield from session.scalars(query.execution_options(yield_per=8))


def forget_headers(session: Session, probe_set_id: UUID) -> None:
    """A listing has ended."""
    session.execute(delete(HeaderPartRow).where(HeaderPartRow.probe_set_id == probe_set_id))
