"""The table of what the checks of probe sets have found."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.domain.checks import SetCheck


class ProbeSetCheckRow(Base):
    """What the last check of a probe set has found of its images."""

    __tablename__ = "probe_set_checks"

    probe_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True)
    result: Mapped[SetCheck] = mapped_column(JSONB)
    checked_at: Mapped[datetime] = mapped_column(server_default=func.now())
