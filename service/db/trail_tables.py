"""The table of the trail. The database numbers, dates and chains what is appended, and refuses all other changes."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base

_DIGESTS = ("request", "before", "after")


class TrailRow(Base):
    """One action. seq, at, previous_hash and hash are set by a trigger, whatever an INSERT says."""

    __tablename__ = "trail"
    __table_args__ = tuple(CheckConstraint(f"{name} ~ '^[0-9a-f]{{64}}$'", name=name) for name in _DIGESTS)

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    request: Mapped[str | None]
    before: Mapped[str | None]
    after: Mapped[str | None]
    previous_hash: Mapped[str]
    hash: Mapped[str]
