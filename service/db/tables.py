"""The tables. Keys are time-ordered UUIDs made by the database; every constraint has a name."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service.domain.jobs import JobStatus

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
_STATUSES = ", ".join(f"'{status}'" for status in JobStatus)

RESOURCE_KINDS = ("model", "dissector", "probe_set", "concept_set")


class Base(DeclarativeBase):
    """Declarative base: JSONB for dicts and lists, timestamps with time zone."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own spelling
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        datetime: DateTime(timezone=True),
        str: Text,
    }


class ResourceRow(Base):
    """One immutable version of a registered model, dissector, probe set or concept set."""

    __tablename__ = "resources"
    __table_args__ = (
        UniqueConstraint("kind", "name", "version"),
        UniqueConstraint("kind", "name", "digest"),
        CheckConstraint("kind IN ({})".format(", ".join(f"'{kind}'" for kind in RESOURCE_KINDS)), name="kind"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    kind: Mapped[str]
    name: Mapped[str]
    version: Mapped[int]
    digest: Mapped[str]
    spec: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class InspectionRow(Base):
    """The layers of a registered model, found by a worker; or the problem that opening it met."""

    __tablename__ = "inspections"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True)
    layers: Mapped[list[Any] | None]
    problem: Mapped[dict[str, Any] | None]
    inspected_at: Mapped[datetime] = mapped_column(server_default=func.now())


class JobRow(Base):
    """A dissection job: what it asks for, where it stands, and what made its result."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        Index(None, "status", "id"),
        Index(None, "target_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    target_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    dissector_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    probe_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    concept_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    options: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    cancel_requested: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    progress: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    manifest: Mapped[dict[str, Any] | None]
    problem: Mapped[dict[str, Any] | None]
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    request_digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class LayerRow(Base):
    """One dissected layer of a job, with the figures of GET /layers."""

    __tablename__ = "layers"
    __table_args__ = (UniqueConstraint("job_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str]
    position: Mapped[int]
    units: Mapped[int]
    dead_units: Mapped[int]
    mean_top_score: Mapped[float | None]
    threshold_met: Mapped[int]
    top_categories: Mapped[list[Any]]


class NeuronRow(Base):
    """One unit of a dissected layer; the columns beside the JSON are what the API filters and sorts by."""

    __tablename__ = "neurons"
    __table_args__ = (
        Index("ix_neurons_layer_id_score", "layer_id", text("score DESC NULLS LAST"), "unit"),
        Index(None, "layer_id", "concept"),
    )

    layer_id: Mapped[UUID] = mapped_column(ForeignKey("layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    dead: Mapped[bool]
    concept: Mapped[str | None]
    category: Mapped[str | None]
    broad_category: Mapped[str | None]
    score: Mapped[float | None] = mapped_column(Float(53))
    activation: Mapped[dict[str, Any]]
    concepts: Mapped[list[Any]]
    images: Mapped[list[Any]]
