"""The tables of alerts: the outbox, who is told, and what became of each attempt."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from service.db.tables import Base
from service.domain.alerts import DeliveryStatus, EndpointKind
from service.domain.json_values import StoredJson


def _among(values: type[EndpointKind] | type[DeliveryStatus]) -> str:
    return ", ".join(f"'{value}'" for value in values)


class AlertEndpointRow(Base):
    """Somebody to be told."""

    __tablename__ = "alert_endpoints"
    __table_args__ = (
        CheckConstraint(f"kind IN ({_among(EndpointKind)})", name="kind"),
        CheckConstraint(
            "(kind = 'webhook') = (url IS NOT NULL AND secret IS NOT NULL AND addresses IS NULL)", name="webhook"
        ),
        CheckConstraint("(kind = 'email') = (url IS NULL AND secret IS NULL AND addresses IS NOT NULL)", name="email"),
        CheckConstraint("enabled = (disabled_reason IS NULL)", name="reason"),
        CheckConstraint("(previous_secret IS NULL) = (previous_secret_until IS NULL)", name="previous_secret"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    url: Mapped[str | None]
    addresses: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    events: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    secret: Mapped[str | None]
    previous_secret: Mapped[str | None]
    previous_secret_until: Mapped[datetime | None]
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    disabled_reason: Mapped[str | None]
    failing_since: Mapped[datetime | None]
    held_until: Mapped[datetime | None]

    lease_expires_at: Mapped[datetime | None]
    """When the lease of the one sender that serves it now expires."""

    fence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """The fence of that sender."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class AlertRow(Base):
    """Something to be told; written in the transaction that it tells of."""

    __tablename__ = "alerts"
    __table_args__ = (Index(None, "kind", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    kind: Mapped[str]
    subject: Mapped[str]
    data: Mapped[StoredJson]
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class AlertDeliveryRow(Base):
    """An alert on its way to an endpoint, or to one address of it (empty for webhooks). Outlives the endpoint."""

    __tablename__ = "alert_deliveries"
    __table_args__ = (
        UniqueConstraint("alert_id", "endpoint_id", "address"),
        CheckConstraint(f"status IN ({_among(DeliveryStatus)})", name="status"),
        CheckConstraint("(status = 'pending') = (ended_at IS NULL)", name="ended"),
        Index(
            "ix_alert_deliveries_pending", "endpoint_id", "due_at", "id", postgresql_where=text("status = 'pending'")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.uuidv7())
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"))
    endpoint_id: Mapped[UUID | None] = mapped_column(ForeignKey("alert_endpoints.id", ondelete="SET NULL"), index=True)
    endpoint_name: Mapped[str]
    address: Mapped[str] = mapped_column(server_default=text("''"))
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class AlertAttemptRow(Base):
    """One attempt, written before it is made and completed after: one without a duration runs, or was lost."""

    __tablename__ = "alert_attempts"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("alert_deliveries.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    duration_s: Mapped[float | None] = mapped_column(Float(53))
    status: Mapped[int | None]
    failure: Mapped[str | None]
    detail: Mapped[str | None]
