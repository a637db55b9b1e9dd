"""The table of units' directions."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base


class LayerDirectionsRow(Base):
    """The directions of a layer's units in the dissector's space, of length 1, and what was their length."""

    __tablename__ = "layer_directions"

    layer_id: Mapped[UUID] = mapped_column(ForeignKey("layers.id", ondelete="CASCADE"), primary_key=True)
    width: Mapped[int]

    directions: Mapped[bytes]
    """float16 [U, D], little-endian, row by row; zeros for a unit that never changes."""

    lengths: Mapped[bytes]
    """float32 [U], little-endian."""
