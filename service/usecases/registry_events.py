"""What a model registry's webhooks say: MLflow's signature, and the fields of its events.

A field that is missing or senseless does not make an event unheard: who follows the model is told. So only what the
event is of, and of which model, must be right for it to be an event at all.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, TypeAdapter, ValidationError

from service.domain.json_text import parse_json
from service.errors import InvalidInput, Unauthorized, storable
from service.wrong_values import expected_of

VERSION_CREATED = "model_version.created"
ALIAS_CREATED = "model_version_alias.created"
ALIAS_DELETED = "model_version_alias.deleted"
FOLLOWED = frozenset({VERSION_CREATED, ALIAS_CREATED, ALIAS_DELETED})
"""The events that something follows from."""

_TOLERANCE_S = 300
_LONGEST_WORD = 256
_TIME = TypeAdapter(datetime)


@dataclass(frozen=True, slots=True)
class Signed:
    """A request of MLflow as it came: its three headers and its bytes."""

    signature: str
    delivery_id: str
    timestamp: str
    body: bytes


class _Envelope(BaseModel):
    entity: str
    action: str
    timestamp: object = None
    data: dict[object, object]


@dataclass(frozen=True, slots=True)
class RegistryEvent:
    """An event of a registered model. Its fields are as they came until they are asked for."""

    kind: str
    """Entity and action, as in `model_version.created`."""

    timestamp: object
    data: Mapping[object, object]

    @property
    def model(self) -> str:
        """The registered model's name. Raises InvalidInput where there is none."""
        return self.word("name")

    def word(self, field: str) -> str:
        """A field of the event that is a short text, or a number. Raises InvalidInput where it is neither."""
        value = self.data.get(field)
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None

        if value is None or text == "":
            raise _senseless(f"The event has no {field}.", field, value)
        if text is None or not text.strip() or len(text) > _LONGEST_WORD or text != storable(text):
            raise _senseless(f"The event's {field} is not a name.", field, value)
        return text

    def source(self) -> str:
        """Where the version's weights are; empty where the event does not say."""
        value = self.data.get("source")
        return storable(value) if isinstance(value, str) else ""

    def moment(self, now: datetime) -> datetime:
        """The event's own time, or now where it has none or a later one. Raises InvalidInput for what is no time.

        A clock that is ahead must not make all later events look old.
        """
        if self.timestamp is None:
            return now
        try:
            moment = _TIME.validate_python(self.timestamp)
        except ValidationError:
            raise InvalidInput(
                "The event's timestamp is not a time, so the service cannot tell whether the event is new.",
                field="timestamp",
                value=self.timestamp,
                remedy="Send MLflow's own timestamp, as in 2026-01-31T12:00:00+00:00, or leave it out.",
            ) from None

        if not moment.tzinfo:
            moment = moment.replace(tzinfo=UTC)
        return min(moment, now)


def check_timestamp(timestamp: str, now: datetime) -> None:
    """Raises Unauthorized for a request that was not signed within the last five minutes."""
    age = abs(now.timestamp() - float(timestamp)) if timestamp.isdecimal() else None
    if age is None or age > _TOLERANCE_S:
        raise Unauthorized(
            "The webhook's timestamp is outside the five-minute window.",
            field="X-MLflow-Timestamp",
            value=timestamp,
            remedy="Synchronise the clocks of both machines.",
        )


def check_signature(request: Signed, secret: str) -> None:
    """Raises Unauthorized unless the bytes were signed with the secret.

    MLflow's scheme: base64 of HMAC-SHA256 over `{delivery id}.{timestamp}.{body}`, after `v1,`.
    """
    signed = f"{request.delivery_id}.{request.timestamp}.".encode() + request.body
    expected = "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    if not hmac.compare_digest(request.signature.encode(), expected.encode()):
        raise Unauthorized(
            "The webhook's signature does not match its body.",
            field="X-MLflow-Signature",
            remedy="Give MLflow's webhook the same secret as MLFLOW_WEBHOOK_SECRET.",
        )


def read_event(body: bytes) -> RegistryEvent:
    """The event in a webhook's body.

    Raises InvalidInput for what is none, and for one that something would follow from, but names no model.
    """
    document = parse_json(body, bounds_only=True)  # see `storable`: most of its fields are nobody's business here
    try:
        envelope = _Envelope.model_validate(document)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, fault["loc"])) or "body"
        if fault["type"] == "missing":
            wrong = "is missing"
        else:
            wrong = f"must be {expected_of(fault['type'], fault.get('ctx', {}))}"
        raise InvalidInput(
            f"This is not a model registry event: {field} {wrong}.",
            field=field,
            remedy="Send MLflow's model_version.created and model_version_alias.created here.",
        ) from None

    event = RegistryEvent(f"{envelope.entity}.{envelope.action}", envelope.timestamp, envelope.data)
    if event.kind in FOLLOWED:
        event.word("name")
    return event


def _senseless(detail: str, field: str, value: object) -> InvalidInput:
    return InvalidInput(
        detail,
        field=f"data.{field}",
        value=value,
        remedy="Send MLflow's own events, or POST /deployments/{name}/versions.",
    )
