"""The table of ablations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.domain.ablations import AblationStatus
from service.domain.json_values import StoredJson
from service.errors import ProblemFields

_STATUSES = ", ".join(f"'{status}'" for status in AblationStatus)


class AblationRow(Base):
    """An ablation of a job: which units are held at what, where it stands, and what changed."""

    __tablename__ = "ablations"
    __table_args__ = (
        UniqueConstraint("job_id", "request_digest"),
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        CheckConstraint("(status = 'succeeded') = (result IS NOT NULL)", name="result"),
        Index(None, "job_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    request: Mapped[StoredJson]
    request_digest: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    result: Mapped[StoredJson | None]
    problem: Mapped[ProblemFields | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
