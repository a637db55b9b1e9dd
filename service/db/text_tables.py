"""The table of concepts' embeddings."""

from datetime import datetime

from sqlalchemy import func
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base


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
