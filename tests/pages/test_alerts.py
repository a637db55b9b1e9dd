"""Alerts, whom they were for, and what became of them."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.domain.alerts import JSON, AttemptOutcome, Failure
from service.usecases.alert_delivery import claim, record
from service.usecases.alerts import publish_alert
from tests.api.changing_calls import trail
from tests.pages.audited import client
from tests.pages.visitor import Visitor, check_page, words_of

__all__ = ["client"]

ON_CALL = {"kind": "webhook", "name": "on-call", "url": "https://alerts.example.org/hook?key=abc"}


@pytest.fixture
def failed(client: TestClient, sessions: Sessions) -> str:
    """An alert that could not be delivered at once."""
    assert client.post("/alert-endpoints", json=ON_CALL).status_code == 201
    with transaction(sessions) as session:
        data: dict[str, JSON] = {
            "deployment": "b5",
            "reasons": ["lost <masses>", "unstable"],
            "verdict": "fail",
            "proposal": False,
        }
        alert_id = publish_alert(session, "audit.failed", data, subject="b5 <new>: FAIL")
    claimed = claim(sessions, timedelta(seconds=30))
    assert claimed is not None
    outcome = AttemptOutcome(timedelta(seconds=0.1), status=503, failure=Failure.STATUS, detail="busy")
    record(sessions, claimed, outcome)
    return f"msg_{alert_id.hex}"


def test_nothing_was_told_and_nobody_listens(visitor: Visitor) -> None:
    words = visitor.words("/ui/alerts")
    assert "Nothing has happened that anybody is told of." in words
    assert "POST /alert-endpoints names a webhook" in words


def test_alerts_are_listed_filtered_and_shown_with_their_deliveries(visitor: Visitor, failed: str) -> None:
    html = visitor.get("/ui/alerts")
    assert f'href="/ui/alerts/{failed}"' in html
    assert "b5 &lt;new&gt;: FAIL" in html
    assert "1 pending" in words_of(html)
    assert "key=abc" not in html, "an address may hold a secret"
    assert failed in visitor.get("/ui/alerts?kind=audit.failed&delivery=pending")
    assert failed in visitor.get("/ui/alerts?kind=&delivery=")
    assert "No alert is like that." in visitor.words("/ui/alerts?kind=audit.passed")
    assert "No alert is like that." in visitor.words("/ui/alerts?delivery=delivered")

    alert = visitor.get(f"/ui/alerts/{failed}")
    words = words_of(alert)
    assert "An audit failed." in words
    assert "lost <masses>; unstable" in words
    assert "on-call pending 1" in words
    assert "status 503" in words
    assert 'href="/ui/deployments/b5"' in alert


def test_an_alert_is_delivered_again(visitor: Visitor, failed: str, sessions: Sessions, client: TestClient) -> None:
    path = f"/ui/alerts/{failed}"
    assert visitor.client.post(f"{path}/redeliver", data={}).status_code == 403
    answer = visitor.send(f"{path}/redeliver")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert trail(sessions)[-1].action == "POST /ui/alerts/{alert_id}/redeliver"
    assert client.get(f"/alerts/{failed}").json()["deliveries"][0]["attempts"] == 0

    client.delete("/alert-endpoints/on-call")
    refused = visitor.send(f"{path}/redeliver")
    assert refused.status_code == 409
    check_page(refused)


def test_what_is_not_there_is_a_page(visitor: Visitor) -> None:
    for path in ("/ui/alerts/msg_0", "/ui/alerts/nonsense", f"/ui/alerts/msg_{'0' * 32}"):
        visitor.get(path, 404)
    visitor.get("/ui/alerts?cursor=nonsense", 422)
