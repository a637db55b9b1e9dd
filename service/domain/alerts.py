"""Alerts: what is told, to whom, and when it is tried again."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from service.errors import InvalidInput

JSON: TypeAlias = "str | int | float | bool | Sequence[JSON] | Mapping[str, JSON] | None"

JOB_SUCCEEDED = "job.succeeded"
JOB_FAILED = "job.failed"
ENDPOINT_DISABLED = "endpoint.disabled"
TEST = "alert.test"

ALERT_KINDS: Mapping[str, str] = {
    "audit.passed": "An audit passed.",
    "audit.warned": "An audit passed with warnings.",
    "audit.failed": "An audit failed.",
    "audit.error": "An audit could not be carried out.",
    "schedule.missed": "A scheduled audit was not started in time, or skipped because one before it had not ended.",
    JOB_SUCCEEDED: "A dissection succeeded.",
    JOB_FAILED: "A dissection failed, or was given up.",
    ENDPOINT_DISABLED: "An alert endpoint was disabled because deliveries to it kept failing.",
    TEST: "Somebody asked for a test.",
}
"""Every kind of alert, and what it says. Receivers may rely on these names."""

ON_REQUEST_KINDS = frozenset({JOB_SUCCEEDED, JOB_FAILED})
"""What goes only to endpoints that name it: a service runs more jobs than anybody who asked for all alerts expects."""

MOST_ADDRESSES = 20
LONGEST_SUBJECT = 200

RETRY_DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""How long to wait after the first, second ... failed attempt: the schedule of the Standard Webhooks specification."""

LONGEST_WAIT = timedelta(days=1)
"""A receiver that asks for more patience than this gets this much."""

GIVE_UP_AFTER = timedelta(days=3)
"""An endpoint to which nothing could be delivered for so long is disabled when the next delivery is given up."""

_JITTER = 0.1
_LONGEST_REST = timedelta(seconds=60)
_OVERLOADED = {429, 502, 503, 504}
# No dot, dash or quote at an end, no second @: enough to keep out what would be a header or a list of addresses.
_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class EndpointKind(StrEnum):
    """How an endpoint is reached."""

    WEBHOOK = "webhook"
    EMAIL = "email"


class DeliveryStatus(StrEnum):
    """Where a delivery stands. Withdrawn: its endpoint or address was removed before it could be delivered."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


class Failure(StrEnum):
    """Why an attempt failed."""

    STATUS = "status"
    REDIRECT = "redirect"
    GONE = "gone"
    TIMEOUT = "timeout"
    NAME = "name"
    FORBIDDEN_ADDRESS = "forbidden-address"
    CONNECTION = "connection"
    TLS = "tls"
    PROTOCOL = "protocol"
    SETTINGS = "settings"
    MAIL_SERVER = "mail-server"
    MAIL_DEFERRED = "mail-deferred"
    MAIL_REJECTED = "mail-rejected"
    INTERNAL = "internal"
    LOST = "lost"
    """The sender ended before it could record how the attempt went; the message may have arrived."""


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to be told. data: JSON, with nothing in it that names a patient."""

    id: UUID
    kind: str
    subject: str
    data: Mapping[str, JSON]
    at: datetime

    @property
    def message_id(self) -> str:
        """The name it has for receivers, the same in every attempt."""
        return f"msg_{self.id.hex}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Somebody to be told."""

    id: UUID
    name: str
    kind: EndpointKind
    url: str | None
    addresses: tuple[str, ...]

    events: tuple[str, ...] | None
    """The kinds of alert that it listens to; None for all but ON_REQUEST_KINDS."""

    enabled: bool
    disabled_reason: str | None

    failing_since: datetime | None
    """The first failed attempt after which none succeeded."""

    held_until: datetime | None
    """Nothing is sent before this time."""

    previous_secret_until: datetime | None
    """Until this time, the secret before the present one signs, too."""

    created_at: datetime
    pending: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver. status: that of HTTP or of the mail server. A running attempt has no duration yet."""

    number: int
    at: datetime
    duration_s: float | None
    status: int | None
    failure: Failure | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An alert on its way to an endpoint."""

    id: UUID
    endpoint: str

    address: str | None
    """The address of the mail."""

    status: DeliveryStatus

    attempts: int
    """How many attempts were made since the delivery was last asked for."""

    due_at: datetime
    ended_at: datetime | None
    log: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery in the hands of one sender, who alone serves its endpoint while the fence is the newest."""

    id: UUID
    endpoint_id: UUID
    endpoint: str
    fence: int
    kind: EndpointKind

    target: str
    """A URL or a mail address."""

    secrets: tuple[str, ...] = field(repr=False)
    alert: Alert

    number: int
    """The number of this attempt."""

    earlier: int
    """How many attempts failed since the delivery was last asked for."""

    at: datetime


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """How an attempt went. retry_after: the patience that the receiver asked for."""

    duration: timedelta
    status: int | None = None
    failure: Failure | None = None
    detail: str | None = None
    retry_after: timedelta | None = None

    @property
    def is_final(self) -> bool:
        """Would the same attempt fail for ever?"""
        return self.failure is Failure.MAIL_REJECTED


def check_kinds(kinds: Sequence[str]) -> None:
    """Are these kinds of alerts? Raises InvalidInput."""
    if not kinds:
        raise InvalidInput(
            "An endpoint without any kind of alert would receive nothing.",
            field="events",
            remedy='Name at least one, or say "all"; to silence the endpoint, set enabled to false.',
        )
    for kind in kinds:
        check_kind(kind, field="events")


def check_kind(kind: str, *, field: str) -> None:
    """Is this a kind of alert? Raises InvalidInput."""
    if kind not in ALERT_KINDS:
        raise InvalidInput(
            f"There is no alert of kind '{kind[:80]}'.",
            field=field,
            value=kind,
            remedy=f"The kinds are {', '.join(ALERT_KINDS)}.",
        )


def check_addresses(addresses: Sequence[str]) -> None:
    """Are these plain mail addresses, one of each? Raises InvalidInput."""
    if not 1 <= len(addresses) <= MOST_ADDRESSES:
        raise InvalidInput(
            f"{len(addresses)} addresses cannot be used.",
            field="addresses",
            value=len(addresses),
            remedy=f"Give 1 to {MOST_ADDRESSES}.",
        )

    seen: set[str] = set()
    for address in addresses:
        if not _MAIL_ADDRESS.fullmatch(address) or len(address) > 254:
            raise InvalidInput(
                f"'{address[:80]}' is not a mail address.",
                field="addresses",
                value=address,
                remedy="Write each as name@host in plain ASCII, without a display name.",
            )
        if address.lower() in seen:
            raise InvalidInput(
                f"'{address}' is listed twice.", field="addresses", value=address, remedy="Give each address once."
            )
        seen.add(address.lower())


def next_attempt(attempts: int, ended: datetime, *, retry_after: timedelta | None, chance: float) -> datetime | None:
    """When to try again after so many failed attempts, or None where there were enough.

    The schedule's delay, up to a tenth longer by `chance` (0 to 1), and no sooner than the receiver asked for.
    """
    if attempts > len(RETRY_DELAYS):
        return None
    delay = RETRY_DELAYS[attempts - 1] * (1 + _JITTER * chance)
    return ended + max(delay, _patience(retry_after))


def hold_until(outcome: AttemptOutcome, ended: datetime, due_at: datetime | None) -> datetime | None:
    """Until when nothing at all should go to a receiver that asked for patience or seems overloaded.

    due_at: when the failed delivery is tried again. A receiver that asks for nothing gets that long, up to a minute.
    """
    if outcome.retry_after is not None:
        return ended + _patience(outcome.retry_after)
    if outcome.failure is not Failure.TIMEOUT and outcome.status not in _OVERLOADED:
        return None
    rested = ended + _LONGEST_REST
    return rested if due_at is None else min(due_at, rested)


def reason_to_disable(
    outcome: AttemptOutcome, failing_since: datetime, ended: datetime, *, given_up: bool
) -> str | None:
    """Why an endpoint should get nothing any more after a failed attempt; None where it should."""
    if outcome.failure is Failure.GONE:
        return f"The receiver answered 410 Gone at {_written(ended)}."
    if given_up and ended - failing_since >= GIVE_UP_AFTER:
        return f"All deliveries have failed since {_written(failing_since)}. The last attempt: {outcome.detail}"
    return None


def one_line(subject: str) -> str:
    """A subject as it can stand in a header: one line, not too long. Raises InvalidInput for an empty one."""
    printable = "".join(character if character.isprintable() else " " for character in subject)
    words = " ".join(printable.split())
    if not words:
        raise InvalidInput("An alert needs a subject.", field="subject", remedy="Say what happened to what.")
    return words if len(words) <= LONGEST_SUBJECT else words[: LONGEST_SUBJECT - 1] + "…"


def _patience(retry_after: timedelta | None) -> timedelta:
    return timedelta(0) if retry_after is None else min(retry_after, LONGEST_WAIT)


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
