"""The tables. Keys are time-ordered UUIDs made by the database; every constraint has a name."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service.domain.ablations import AblationStage
from service.domain.jobs import JobStatus
from service.domain.json_values import StoredJson
from service.domain.manifests import JobManifest
from service.domain.pictures import PictureStage
from service.domain.weights_reading import WeightsReading
from service.domain.work import CHECK_STAGES, InspectedInput, ItemStatus, LayerListing, Preparation
from service.errors import ProblemFields

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
_STATUSES = ", ".join(f"'{status}'" for status in JobStatus)

_ABLATIONS = ", ".join(f"'{stage}'" for stage in AblationStage)
_CHECKS = ", ".join(f"'{stage}'" for stage in CHECK_STAGES)
_PICTURES = ", ".join(f"'{stage}'" for stage in PictureStage)
_PREPARATIONS = ", ".join(f"'{stage}'" for stage in Preparation if stage not in CHECK_STAGES)

RESOURCE_KINDS = ("model", "dissector", "probe_set", "concept_set", "policy")


class Base(DeclarativeBase):
    """Declarative base: JSONB for dicts and lists, timestamps with time zone."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own spelling
        StoredJson: JSONB,
        JobManifest: JSONB,
        ProblemFields: JSONB,
        list[object]: JSONB,
        datetime: DateTime(timezone=True),
        str: Text,
    }


class ResourceRow(Base):
    """One version of a registered model, dissector, probe set, concept set or policy.

    Immutable but for its place, for what is stated of it, and for the number of a probe set's patches, which a worker
    counts once.
    """

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
    spec: Mapped[StoredJson]

    licence: Mapped[str | None]
    """None where nobody stated one."""

    allowed_purposes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    """None where nobody stated any."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class InspectionRow(Base):
    """The layers of a registered model, found by a worker; or the problem that opening it met."""

    __tablename__ = "inspections"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"), primary_key=True)
    layers: Mapped[Sequence[LayerListing] | None] = mapped_column(JSONB)
    problem: Mapped[ProblemFields | None]
    input: Mapped[InspectedInput | None] = mapped_column(JSONB)
    reading: Mapped[WeightsReading | None] = mapped_column(JSONB)
    inspected_at: Mapped[datetime] = mapped_column(server_default=func.now())


class JobRow(Base):
    """A dissection job: what it asks for, where it stands, and what made its result."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        Index(None, "status", "id"),
        Index(None, "target_id", "id"),
        Index(None, "probe_set_id", "id"),
        Index(None, "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    target_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    dissector_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    probe_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    concept_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    options: Mapped[StoredJson]
    status: Mapped[str] = mapped_column(server_default=text("'queued'"))
    replay_of: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id"))
    manifest: Mapped[JobManifest | None]
    problem: Mapped[ProblemFields | None]
    idempotency_key: Mapped[str | None] = mapped_column(unique=True)
    request_digest: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class WorkItemRow(Base):
    """A piece of a job, or a registered thing's preparation, that one worker does under a lease.

    Queue, priority and turn decide whose is next. A thing has one item for each preparation, which is used again; the
    check of a probe set has several.
    """

    __tablename__ = "work_items"
    __table_args__ = (
        UniqueConstraint("job_id", "stage", "position"),
        UniqueConstraint("resource_id", "stage"),
        UniqueConstraint("checked_set_id", "stage", "position"),
        UniqueConstraint("ablation_id", "stage", "position"),
        UniqueConstraint("picture_id"),
        CheckConstraint("status IN ({})".format(", ".join(f"'{status}'" for status in ItemStatus)), name="status"),
        CheckConstraint(
            f"stage IN ('probe', 'score', 'store', {_PREPARATIONS}, {_CHECKS}, {_ABLATIONS}, {_PICTURES})",
            name="stage",
        ),
        CheckConstraint("num_nonnulls(job_id, resource_id, checked_set_id, ablation_id, picture_id) = 1", name="owner"),
        CheckConstraint(f"(stage IN ({_CHECKS})) = (checked_set_id IS NOT NULL)", name="check"),
        CheckConstraint(f"(stage IN ({_ABLATIONS})) = (ablation_id IS NOT NULL)", name="ablation"),
        CheckConstraint(f"(stage IN ({_PICTURES})) = (picture_id IS NOT NULL)", name="picture"),
        CheckConstraint(f"(stage IN ({_PREPARATIONS})) = (resource_id IS NOT NULL)", name="preparation"),
        CheckConstraint("status <> 'leased' OR (lease_expires_at IS NOT NULL AND fence > 0)", name="lease"),
        CheckConstraint("(status = 'done') = (result IS NOT NULL)", name="result"),
        Index("ix_work_items_ready", text("priority DESC"), "turn", "id", postgresql_where=text("status = 'ready'")),
        Index("ix_work_items_leased", "lease_expires_at", postgresql_where=text("status = 'leased'")),
        Index("ix_work_items_turns", "queue", "turn", postgresql_where=text("status IN ('ready', 'leased')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    resource_id: Mapped[UUID | None] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"))

    checked_set_id: Mapped[UUID | None] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"))
    """The probe set whose images are checked."""

    ablation_id: Mapped[UUID | None] = mapped_column(ForeignKey("ablations.id", ondelete="CASCADE"))
    picture_id: Mapped[UUID | None] = mapped_column(ForeignKey("pictures.id", ondelete="CASCADE"))
    stage: Mapped[str]
    position: Mapped[int]
    label: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=text("'ready'"))
    queue: Mapped[str]
    priority: Mapped[int]
    turn: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    ready_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    lease_expires_at: Mapped[datetime | None]
    worker: Mapped[str | None]
    started_at: Mapped[datetime | None]
    updated_at: Mapped[datetime | None]
    done: Mapped[int] = mapped_column(server_default=text("0"))
    total: Mapped[int]
    result: Mapped[StoredJson | None]
    problem: Mapped[ProblemFields | None]


class ArtifactRow(Base):
    """A stored intermediate result: the key says what went into it, the digest what came out."""

    __tablename__ = "artifacts"
    __table_args__ = (Index(None, "used_at"),)

    key: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())


class JobArtifactRow(Base):
    """A job's reference to an artifact, which keeps it from being collected while the job may still need it."""

    __tablename__ = "job_artifacts"
    __table_args__ = (Index(None, "key"),)

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(ForeignKey("artifacts.key", ondelete="CASCADE"), primary_key=True)


class JobEventRow(Base):
    """One line of a job's history."""

    __tablename__ = "job_events"
    __table_args__ = (Index(None, "job_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str]
    data: Mapped[StoredJson]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


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
    top_categories: Mapped[list[tuple[str, int]]] = mapped_column(JSONB)
    significant: Mapped[int | None]
    null: Mapped[StoredJson | None]

    verdicts: Mapped[StoredJson | None]
    """How many neurons have which verdict; NULL where the job has none."""


class NeuronRow(Base):
    """One unit of a dissected layer; the columns beside the JSON are what the API filters and sorts by."""

    __tablename__ = "neurons"
    __table_args__ = (
        Index("ix_neurons_layer_id_score", "layer_id", text("score DESC NULLS LAST"), "unit"),
        Index("ix_neurons_layer_id_z", "layer_id", text("z DESC NULLS LAST"), "unit"),
        Index(None, "layer_id", "concept"),
        Index(None, "layer_id", "verdict"),
    )

    layer_id: Mapped[UUID] = mapped_column(ForeignKey("layers.id", ondelete="CASCADE"), primary_key=True)
    unit: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    dead: Mapped[bool]

    concept: Mapped[str | None]
    """The label's concept."""

    category: Mapped[str | None]
    """The label's category."""

    broad_category: Mapped[str | None]
    """The label's broad category."""

    score: Mapped[float | None] = mapped_column(Float(53))
    z: Mapped[float | None] = mapped_column(Float(53))
    significant: Mapped[bool | None]

    verdict: Mapped[str | None]
    """NULL for dead neurons, and where the job has no verdicts; the rest of it is part of the evidence."""

    activation: Mapped[StoredJson]

    concepts: Mapped[list[object]]
    """The ranking, whatever its significance."""

    images: Mapped[list[object]]
    evidence: Mapped[StoredJson | None]
    resampled: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))
    halves: Mapped[list[int] | None] = mapped_column(ARRAY(Integer))


class ComparisonRow(Base):
    """Dissections compared: their jobs in order, the first the reference, and what was found."""

    __tablename__ = "comparisons"
    __table_args__ = (UniqueConstraint("job_ids"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    job_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    result: Mapped[StoredJson]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
