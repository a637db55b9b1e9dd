"""The tables of units' directions."""

from uuid import UUID

from sqlalchemy import REAL, ForeignKey, Index, Integer, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.half_vectors import HalfVector, Vector
from service.db.tables import Base

INDEXED_WIDTHS = (128, 256, 512, 768, 1024, 1536, 2048, 4000)
"""Widths that directions are filled up to with zeros, which changes no cosine: there is an index for each.

The last is the widest that pgvector can index.
"""


def stored_width(width: int) -> int:
    """The width to which directions of that width are filled up; their own where they are too wide for an index."""
    return next((indexed for indexed in INDEXED_WIDTHS if indexed >= width), width)


class LayerDirectionsRow(Base):
    """That the units of a layer have directions, and in which space."""

    __tablename__ = "layer_directions"

    layer_id: Mapped[UUID] = mapped_column(ForeignKey("layers.id", ondelete="CASCADE"), primary_key=True)

    dissector: Mapped[str]
    """Digest of the dissector, whose space they are in."""

    width: Mapped[int]
    """Of the dissector's embeddings."""

    neurons: Mapped[int]
    """How many units have a direction; one that never changes has none."""


class NeuronDirectionRow(Base):
    """The direction of a unit in the dissector's space, of length 1, and what was its length."""

    __tablename__ = "neuron_directions"
    __table_args__ = tuple(
        Index(
            f"ix_neuron_directions_{width}",
            literal_column(f"(direction::halfvec({width}))").label("direction"),
            postgresql_using="hnsw",
            postgresql_ops={"direction": "halfvec_cosine_ops"},
            postgresql_where=text(f"vector_dims(direction) = {width}"),
        )
        for width in INDEXED_WIDTHS
    )

    layer_id: Mapped[UUID] = mapped_column(
        ForeignKey("layer_directions.layer_id", ondelete="CASCADE"), primary_key=True
    )
    unit: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)

    length: Mapped[float] = mapped_column(REAL)
    """By how much the activation rises for each unit of embedding along the direction."""

    direction: Mapped[Vector] = mapped_column(HalfVector())
    """Filled up to `stored_width`."""
