"""The table of what searches go by that only workers can read."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.domain.search import SearchKind
from service.errors import ProblemFields

_KINDS = ", ".join(f"'{kind}'" for kind in SearchKind)


class SearchVectorRow(Base):
    """Where a text or an image lies in a dissector's space. Vector and problem are NULL until a worker has read it."""

    __tablename__ = "search_vectors"
    __table_args__ = (
        CheckConstraint(f"kind IN ({_KINDS})", name="kind"),
        Index("ix_search_vectors_open", "dissector_id", postgresql_where=text("vector IS NULL AND problem IS NULL")),
    )

    dissector_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)

    query: Mapped[str] = mapped_column(primary_key=True)
    """The text; or job and manifest row of an image, as the request names them."""

    vector: Mapped[bytes | None]
    """float32 [D], little-endian."""

    problem: Mapped[ProblemFields | None]
    """Why it cannot be read."""

    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
