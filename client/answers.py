"""What answers hold: JSON objects, and problems in place of them."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from client.errors import Away, ClientError, NotTheService, Refused

Answer = dict[str, Any]
"""A JSON object that the service answered; docs/openapi.json has its fields."""

_AWAY = {502, 503, 504}
"""What the service answers while it cannot work, and a proxy before it while it cannot be reached."""

_LONGEST_RETRY_AFTER_S = 3600.0


def object_in(response: httpx.Response) -> Answer | None:
    """The JSON object in an answer; None where it holds none."""
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def error_in(response: httpx.Response) -> ClientError:
    """The error that an answer without success is."""
    problem = object_in(response) or {}
    status = f"{response.status_code} {response.reason_phrase}".strip()
    detail = problem.get("detail")
    remedy = problem.get("remedy")

    if response.status_code in _AWAY:
        return Away(
            str(detail or f"The service is not available at the moment: {status}."),
            status=response.status_code,
            retry_after_s=_retry_after(response.headers.get("Retry-After")),
            remedy=remedy,
        )
    if detail is None:
        return NotTheService(
            f"The service answered {status} without a reason.",
            field="url",
            value=response.url,
            remedy="Check that the service is at that URL.",
        )

    return Refused(
        str(detail),
        status=response.status_code,
        code=str(problem.get("type", "")).rpartition(":")[2] or None,
        field=problem.get("field"),
        value=problem.get("value"),
        remedy=remedy,
    )


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait, of a header that has seconds or a date; None for anything else."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return min(float(header), _LONGEST_RETRY_AFTER_S)

    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None

    until = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    seconds = (until - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_S)
