"""Queries on the listings of images that workers made of headers."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.picture_tables import ImageListingRow


def keep_listing(session: Session, sha256: str, data: bytes) -> None:
    """Keep a listing under the digest of its bytes."""
    statement = insert(ImageListingRow).values(sha256=sha256, data=data)
    session.execute(statement.on_conflict_do_nothing())


def get_listing(session: Session, sha256: str) -> bytes:
    """A listing that is kept. Raises NoResultFound: digests come from specifications, not from callers."""
    return session.execute(select(ImageListingRow.data).where(ImageListingRow.sha256 == sha256)).scalar_one()
