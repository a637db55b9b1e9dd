"""The table of reviews."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.domain.reviews import Decision

_DECISIONS = ", ".join(f"'{decision}'" for decision in Decision)


class ReviewRow(Base):
    """What a reader said of a neuron, once. Rows are only added: the service's role may change and delete none.

    They go with their job.
    """

    __tablename__ = "reviews"
    __table_args__ = (
        ForeignKeyConstraint(["layer_id", "unit"], ["neurons.layer_id", "neurons.unit"], ondelete="CASCADE"),
        UniqueConstraint("layer_id", "unit", "reader", "version"),
        CheckConstraint(f"decision IN ({_DECISIONS})", name="decision"),
        CheckConstraint("(decision = 'comment') = (stance IS NULL)", name="stance"),
        CheckConstraint("(decision = 'rename') = (name IS NOT NULL)", name="name"),
        CheckConstraint("(name IS NULL) = (name_in_set IS NULL)", name="name_in_set"),
        CheckConstraint("version >= 1", name="version"),
        Index(None, "job_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    layer_id: Mapped[UUID]
    unit: Mapped[int]
    reader: Mapped[str]

    version: Mapped[int]
    """Counts the reader's reviews of the neuron; the highest is the current one."""

    decision: Mapped[str]

    stance: Mapped[str | None]
    """What judgements are compared by; NULL for a comment, which judges nothing."""

    name: Mapped[str | None]
    name_in_set: Mapped[bool | None]
    reason: Mapped[str]

    blind: Mapped[bool]
    """Whether the reader could see no other review of the neuron."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
