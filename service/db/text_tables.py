"""The tables of concepts' embeddings, and of what else is known of how dissectors read concepts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.errors import ProblemFields


class TextEmbeddingsRow(Base):
    """A concept set as a dissector's text encoder has it on one kind of device: float32 [C, D], row by row."""

    __tablename__ = "text_embeddings"

    dissector: Mapped[str] = mapped_column(primary_key=True)
    """Digest of the dissector."""

    concept_set: Mapped[str] = mapped_column(primary_key=True)
    """See `texts_digest`: the digest of the concept set, where there are no prompts."""

    device: Mapped[str] = mapped_column(primary_key=True)
    width: Mapped[int]

    data: Mapped[bytes]
    """The float32 numbers, little-endian."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TextReadingRow(Base):
    """What reading a concept set by a dissector found without any job. Both columns are NULL until a worker has."""

    __tablename__ = "text_readings"

    concept_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True)
    dissector_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True)

    cut: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    """The texts that are cut; see `CutText`."""

    problem: Mapped[ProblemFields | None]
    """Why the dissector cannot read them."""

    asked_at: Mapped[datetime] = mapped_column(server_default=func.now())
