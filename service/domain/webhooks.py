"""What a webhook carries and how it is signed, by the Standard Webhooks specification 1.0."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from service.domain.alerts import Alert

_PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret that sender and receiver share: 256 random bits in the specification's spelling."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")


def payload_of(alert: Alert) -> bytes:
    """The body: compact JSON, the same bytes in every attempt."""
    body = {
        "type": alert.kind,
        "timestamp": alert.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "subject": alert.subject,
        "data": alert.data,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def signed_headers(message_id: str, at: datetime, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """The three headers of an attempt made at `at`, with one signature for each secret."""
    timestamp = str(int(at.timestamp()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(key, content) for key in keys),
    }


def _signature(key: str, content: bytes) -> str:
    raw = base64.b64decode(key.removeprefix(_PREFIX), validate=True)
    return "v1," + base64.b64encode(hmac.digest(raw, content, hashlib.sha256)).decode("ascii")
