"""The JSON of alert endpoints, alerts and their deliveries."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import Body, Name
from service.delivery.addresses import LONGEST_URL
from service.domain.alerts import (
    MOST_ADDRESSES,
    Alert,
    Attempt,
    Delivery,
    DeliveryStatus,
    Endpoint,
    EndpointKind,
    Failure,
)
from service.domain.json_values import StoredJson
from service.usecases.alerts import EndpointChange

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_URL,
        description="An https:// URL. http:// works only for the loopback, or if ALERT_HTTP is set.",
        examples=["https://alerts.example.org/mammodissect"],
    ),
]
Addresses = Annotated[
    list[Annotated[str, Field(max_length=254)]],
    Field(min_length=1, max_length=MOST_ADDRESSES, examples=[["on-call@example.org"]]),
]
Events = Annotated[
    list[Annotated[str, Field(max_length=80)]] | Literal["all"],
    Field(
        description='Kinds of alerts, or "all": all but those of jobs, which have to be named.',
        examples=[["audit.failed", "audit.error", "schedule.missed"]],
    ),
]


class WebhookIn(Body):
    """A webhook to register."""

    kind: Literal["webhook"]
    name: Name = Field(examples=["on-call"])
    url: Url
    events: Events = "all"


class EmailIn(Body):
    """Mail addresses to register. Each address gets its own message."""

    kind: Literal["email"]
    name: Name = Field(examples=["physicists"])
    addresses: Addresses
    events: Events = "all"


class EndpointPatchIn(Body):
    """The changes. Fields that you leave out stay as they are."""

    url: Url | None = None
    addresses: Addresses | None = None
    events: Events | None = None
    enabled: bool | None = Field(default=None, description="true: the endpoint gets every alert that it has missed.")
    reason: str | None = Field(default=None, min_length=1, max_length=200, description="Why the endpoint is disabled.")

    def change(self) -> EndpointChange:
        """The change in the domain's words."""
        return EndpointChange(**self.model_dump())


class RotationIn(Body):
    """For how long webhooks are also signed with the old secret."""

    overlap_hours: float = Field(default=24.0, ge=0, le=168, allow_inf_nan=False)

    @property
    def overlap(self) -> timedelta:
        """The overlap as a duration."""
        return timedelta(hours=self.overlap_hours)


class RedeliveryIn(Body):
    """Who gets the alert. Left out: everyone whom the alert was for."""

    endpoint: str | None = Field(
        default=None,
        max_length=64,
        description="Only this endpoint, even if it does not subscribe to this kind of alert.",
    )


class EndpointOut(BaseModel):
    """An alert endpoint. `pending`: deliveries that are waiting for it. `failed`: deliveries that the service gave up.

    `failing_since`: the first failed attempt since the last success. `held_until`: the service sends nothing before.
    """

    name: str
    kind: EndpointKind
    url: str | None
    addresses: list[str] | None
    events: list[str] | Literal["all"]
    enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    held_until: datetime | None
    previous_secret_until: datetime | None
    pending: int
    failed: int
    created_at: datetime

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """The endpoint on the wire."""
        return cls(**_endpoint(endpoint))


class EndpointWithSecretOut(EndpointOut):
    """An alert endpoint with the secret that signs its webhooks. Shown only once; null for e-mail."""

    secret: str | None

    @classmethod
    def with_secret(cls, endpoint: Endpoint, secret: str | None) -> Self:
        """The endpoint and its new secret on the wire."""
        return cls(**_endpoint(endpoint), secret=secret)


class AttemptOut(BaseModel):
    """One attempt. `status`: the code of HTTP or the mail server. A running attempt has no duration and no failure."""

    model_config = ConfigDict(from_attributes=True)

    number: int
    at: datetime
    duration_s: float | None
    status: int | None
    failure: Failure | None
    detail: str | None

    @classmethod
    def of(cls, attempt: Attempt) -> Self:
        """The attempt on the wire."""
        return cls.model_validate(attempt)


class DeliveryOut(BaseModel):
    """An alert on its way to an endpoint. `attempts`: all attempts since the delivery was last requested.

    `next_attempt_at`: null when the delivery has ended. Withdrawn: the endpoint or address was removed first.
    """

    endpoint: str
    address: str | None
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    ended_at: datetime | None
    log: list[AttemptOut]

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """The delivery on the wire."""
        return cls(
            endpoint=delivery.endpoint,
            address=delivery.address,
            status=delivery.status,
            attempts=delivery.attempts,
            next_attempt_at=delivery.due_at if delivery.status is DeliveryStatus.PENDING else None,
            ended_at=delivery.ended_at,
            log=[AttemptOut.of(attempt) for attempt in delivery.log],
        )


class AlertBriefOut(BaseModel):
    """An alert, and how many of its deliveries have each status. `id` is what receivers get as `webhook-id`."""

    id: str = Field(examples=["msg_0198f0c2a5b07c3e9d4f6a7b8c9d0e1f"])
    kind: str
    subject: str
    at: datetime
    deliveries: dict[DeliveryStatus, int]

    @classmethod
    def of(cls, alert: Alert, counts: Mapping[DeliveryStatus, int]) -> Self:
        """The alert on the wire, in brief."""
        return cls(
            id=alert.message_id, kind=alert.kind, subject=alert.subject, at=alert.at, deliveries=_all_counts(counts)
        )


class AlertOut(BaseModel):
    """An alert with its data, its deliveries and all their attempts."""

    id: str
    kind: str
    subject: str
    at: datetime
    data: StoredJson
    deliveries: list[DeliveryOut]

    @classmethod
    def of(cls, alert: Alert, deliveries: Sequence[Delivery]) -> Self:
        """The alert on the wire."""
        return cls(
            id=alert.message_id,
            kind=alert.kind,
            subject=alert.subject,
            at=alert.at,
            data=dict(alert.data),
            deliveries=[DeliveryOut.of(delivery) for delivery in deliveries],
        )


def _all_counts(counts: Mapping[DeliveryStatus, int]) -> dict[DeliveryStatus, int]:
    return {status: counts.get(status, 0) for status in DeliveryStatus}


def _endpoint(endpoint: Endpoint) -> StoredJson:
    return {
        "name": endpoint.name,
        "kind": endpoint.kind,
        "url": endpoint.url,
        "addresses": list(endpoint.addresses) or None,
        "events": "all" if endpoint.events is None else list(endpoint.events),
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": endpoint.failing_since,
        "held_until": endpoint.held_until,
        "previous_secret_until": endpoint.previous_secret_until,
        "pending": endpoint.pending,
        "failed": endpoint.failed,
        "created_at": endpoint.created_at,
    }
