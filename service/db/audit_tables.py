"""The tables of deployments and audits."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.domain.audits import AuditStatus
from service.domain.json_values import StoredJson
from service.errors import ProblemFields

_STATUSES = ", ".join(f"'{status}'" for status in AuditStatus)


class DeploymentRow(Base):
    """A deployed model: the version in use, how it is dissected, and what it must fulfil."""

    __tablename__ = "deployments"
    __table_args__ = (Index(None, "registered_model"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    name: Mapped[str] = mapped_column(unique=True)
    target_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    dissector_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    probe_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    concept_set_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    options: Mapped[StoredJson]
    policy_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    baseline_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id"))
    registered_model: Mapped[str | None]
    alert_budget: Mapped[int | None]
    snooze: Mapped[StoredJson | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AuditRow(Base):
    """One audit: what it was judged by and on, and the verdict, which a trigger keeps from being changed."""

    __tablename__ = "audits"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        CheckConstraint("(status = 'judged') = (verdict IS NOT NULL)", name="verdict"),
        Index(None, "deployment_id", "id"),
        Index(None, "schedule_id"),
        Index("ix_audits_running", "id", postgresql_where=text("status = 'running'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id"))
    trigger: Mapped[str]
    schedule_id: Mapped[UUID | None]
    fire_time: Mapped[datetime | None]
    target_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    candidate: Mapped[bool]
    policy_id: Mapped[UUID] = mapped_column(ForeignKey("resources.id"))
    policy: Mapped[StoredJson]
    baseline_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id"))
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    status: Mapped[str] = mapped_column(server_default=text("'running'"))
    verdict: Mapped[str | None]
    facts: Mapped[StoredJson | None]
    outcomes: Mapped[list[object] | None]
    problem: Mapped[ProblemFields | None]
    acknowledgement: Mapped[StoredJson | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class AuditStratumRow(Base):
    """The dissection of the exams with one value of a stratum, or why there is none."""

    __tablename__ = "audit_strata"

    audit_id: Mapped[UUID] = mapped_column(ForeignKey("audits.id", ondelete="CASCADE"), primary_key=True)
    stratum: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    exams: Mapped[int]
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey("jobs.id"))
    reason: Mapped[str | None]


class RegistryVersionRow(Base):
    """Where the weights of a model registry's version are."""

    __tablename__ = "registry_versions"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]


class RegistryAliasRow(Base):
    """Which of a model registry's versions has an alias, by the newest event. version: None where none has it."""

    __tablename__ = "registry_aliases"

    name: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[str | None]
    at: Mapped[datetime]


class RegistryFollowingRow(Base):
    """What follows from a registry's version for a deployment: an audit, once the version's source was fetched.

    alias: the alias by which the version is taken into use; None for a candidate. Its status is `waiting` for the
    source, then `audited` until the registry was `told` of the verdict; `dropped` where nothing follows any more.
    """

    __tablename__ = "registry_followings"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'audited', 'told', 'dropped')", name="status"),
        Index(
            "ix_registry_followings_open",
            "status",
            "next_at",
            postgresql_where=text("status IN ('waiting', 'audited')"),
        ),
        Index(None, "name", "version"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    name: Mapped[str]
    version: Mapped[str]
    alias: Mapped[str | None]
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    target_id: Mapped[UUID | None] = mapped_column(ForeignKey("resources.id", ondelete="CASCADE"))
    audit_id: Mapped[UUID | None] = mapped_column(ForeignKey("audits.id", ondelete="CASCADE"))
    status: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_at: Mapped[datetime] = mapped_column(server_default=func.now())
