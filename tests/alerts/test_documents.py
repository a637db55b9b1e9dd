"""docs/alerts.md is right about what a receiver has to do, and knows every kind and failure."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from service.domain.alerts import ALERT_KINDS, Failure
from service.domain.webhooks import new_secret, signed_headers
from tests.embedded.processes import REPOSITORY

PAGE = (REPOSITORY / "docs" / "alerts.md").read_text()


def test_the_verification_on_the_page_accepts_what_is_genuine_and_nothing_else() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - a page of ours
    is_genuine = names["is_genuine"]
    old, secret, body = new_secret(), new_secret(), '{"subject":"Dichte ≥ 2"}'.encode()
    headers = signed_headers("msg_1", datetime.now(UTC), body, [secret, old])
    assert is_genuine(secret, headers, body)
    assert is_genuine(old, headers, body)
    assert not is_genuine(new_secret(), headers, body)
    assert not is_genuine(secret, headers, body + b" ")
    assert not is_genuine(secret, headers | {"webhook-id": "msg_2"}, body)
    assert not is_genuine(secret, headers | {"webhook-timestamp": str(int(time.time()) + 1)}, body)
    stale = signed_headers("msg_1", datetime.now(UTC) - timedelta(minutes=6), body, [secret])
    assert not is_genuine(secret, stale, body)


def test_every_kind_and_every_failure_is_on_the_page() -> None:
    for word in (*ALERT_KINDS, *Failure):
        assert f"`{word}`" in PAGE, word
