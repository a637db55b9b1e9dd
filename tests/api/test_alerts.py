"""Alert endpoints, alerts, and what can be done with them over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.alerts import AttemptOutcome, Failure
from service.errors import InvalidInput
from service.usecases.alert_delivery import claim, record
from service.usecases.alerts import publish_alert
from tests.api.test_problems import problem

URL = "https://alerts.example.org/hook"


@pytest.fixture(autouse=True)
def mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_HOST", "mail.hospital.test")
    monkeypatch.setenv("SMTP_SENDER", "alerts@hospital.test")


def create(client: TestClient, **changes: Any) -> dict[str, Any]:
    response = client.post("/alert-endpoints", json={"kind": "webhook", "name": "on-call", "url": URL} | changes)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/alert-endpoints/{body['name']}"
    return body


def create_mail(client: TestClient, *addresses: str) -> dict[str, Any]:
    body = {"kind": "email", "name": "physicists", "addresses": addresses}
    response = client.post("/alert-endpoints", json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


def publish(sessions: Sessions, kind: str = "audit.failed") -> str:
    with transaction(sessions) as session:
        return f"msg_{publish_alert(session, kind, {'deployment': 'b5'}, subject='b5: FAIL').hex}"


def attempt(sessions: Sessions, **outcome: Any) -> None:
    """As a scheduler would, without a network."""
    claimed = claim(sessions, timedelta(seconds=30))
    assert claimed is not None
    record(sessions, claimed, AttemptOutcome(timedelta(seconds=0.1), **outcome))


def test_the_secret_is_shown_once(client: TestClient) -> None:
    made = create(client, events=["audit.failed", "audit.error", "audit.failed"])
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["events"] == ["audit.failed", "audit.error"]
    assert (made["enabled"], made["url"], made["addresses"], made["pending"]) == (True, URL, None, 0)
    read = client.get("/alert-endpoints/on-call")
    assert read.json() == made
    rotated = client.post("/alert-endpoints/on-call/rotate-secret", json={"overlap_hours": 2})
    assert rotated.status_code == 200
    assert rotated.json()["secret"].startswith("whsec_")
    assert rotated.json()["secret"] != secret
    assert rotated.json()["previous_secret_until"] is not None
    assert client.post("/alert-endpoints/on-call/rotate-secret").status_code == 200
    for text in (client.get("/alert-endpoints").text, client.get("/alert-endpoints/on-call").text):
        assert "whsec_" not in text


def test_mail_has_no_secret(client: TestClient) -> None:
    made = create_mail(client, "anna@hospital.test", "ben@hospital.test")
    assert (made["secret"], made["url"]) == (None, None)
    assert made["addresses"] == ["anna@hospital.test", "ben@hospital.test"]
    body = problem(client.post("/alert-endpoints/physicists/rotate-secret"), 409)
    assert body["field"] == "name"


def test_a_name_is_given_once(client: TestClient) -> None:
    create(client)
    again = {"kind": "webhook", "name": "on-call", "url": "https://other.example.org/"}
    assert problem(client.post("/alert-endpoints", json=again), 409)["field"] == "name"
    assert client.get("/alert-endpoints/on-call").json()["url"] == URL


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"kind": "webhook", "name": "x", "url": "http://alerts.example.org/"}, "url"),
    ({"kind": "webhook", "name": "x", "url": "https://127.0.0.1/"}, "url"),
    ({"kind": "webhook", "name": "x"}, "url"),
    ({"kind": "webhook", "name": "No Spaces", "url": URL}, "name"),
    ({"kind": "webhook", "name": "x", "url": URL, "events": []}, "events"),
    ({"kind": "webhook", "name": "x", "url": URL, "events": ["audit.fail"]}, "events"),
    ({"kind": "webhook", "name": "x", "url": URL, "events": "some"}, "events"),
    ({"kind": "webhook", "name": "x", "url": URL, "addresses": ["a@b.c"]}, "addresses"),
    ({"kind": "email", "name": "x", "addresses": ["nobody"]}, "addresses"),
    ({"kind": "email", "name": "x", "addresses": ["Anna <anna@hospital.test>"]}, "addresses"),
    ({"kind": "email", "name": "x", "addresses": ["a@b.test, c@d.test"]}, "addresses"),
    ({"kind": "email", "name": "x", "addresses": ["a@b.test\r\nBcc: c@d.test"]}, "addresses"),
    ({"kind": "email", "name": "x", "addresses": ["a@b.test", "A@b.test"]}, "addresses"),
    ({"kind": "email", "name": "x", "addresses": []}, "addresses"),
    ({"kind": "pigeon", "name": "x"}, "kind"),
    ({"name": "x", "url": URL}, "kind"),
]


def test_endpoints_that_cannot_be_used(client: TestClient) -> None:
    for body, field in UNUSABLE:
        answer = problem(client.post("/alert-endpoints", json=body), 422)
        assert answer["field"].startswith(field), body
    assert client.get("/alert-endpoints").json()["items"] == []


def test_mail_without_a_mail_server(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_SENDER", "")
    client.app.state.settings = client.app.state.settings.model_copy(update={"smtp_sender": ""})  # type: ignore[attr-defined]
    body = problem(client.post("/alert-endpoints", json={"kind": "email", "name": "x", "addresses": ["a@b.test"]}), 409)
    assert "SMTP_SENDER" in body["detail"]


def test_hosts_that_cannot_be_understood_keep_the_api_from_starting(client: TestClient) -> None:
    settings: Settings = client.app.state.settings  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="ALERT_HOSTS"):
        create_app(settings.model_copy(update={"alert_hosts": "nobody knows"}))


def test_an_endpoint_is_changed_and_deleted(client: TestClient) -> None:
    create(client)
    path = "/alert-endpoints/on-call"
    changed = client.patch(path, json={"url": "https://other.example.org/", "events": ["audit.error"]}).json()
    assert (changed["url"], changed["events"]) == ("https://other.example.org/", ["audit.error"])
    assert client.patch(path, json={}).json() == changed
    assert client.patch(path, json={"events": "all"}).json()["events"] == "all"
    silent = client.patch(path, json={"enabled": False, "reason": "Receiver moves."}).json()
    assert (silent["enabled"], silent["disabled_reason"]) == (False, "Receiver moves.")
    assert client.patch(path, json={"enabled": True}).json()["disabled_reason"] is None
    assert problem(client.patch(path, json={"reason": "because"}), 422)["field"] == "reason"
    assert problem(client.patch(path, json={"addresses": ["a@b.test"]}), 422)["field"] == "addresses"
    assert problem(client.patch(path, json={"url": "https://localhost/"}), 422)["field"] == "url"
    assert problem(client.patch(path, json={"events": ["audit.fail"]}), 422)["field"] == "events"
    assert client.delete(path).status_code == 204
    assert "POST /alert-endpoints" in problem(client.get(path), 404)["remedy"]


def test_an_address_that_is_removed_gets_nothing_more(client: TestClient, sessions: Sessions) -> None:
    create_mail(client, "anna@hospital.test", "ben@hospital.test")
    alert_id = publish(sessions)
    body = {"addresses": ["ben@hospital.test", "cleo@hospital.test"]}
    assert client.patch("/alert-endpoints/physicists", json=body).json()["pending"] == 1
    deliveries = client.get(f"/alerts/{alert_id}").json()["deliveries"]
    assert [(one["address"], one["status"]) for one in deliveries] == [
        ("anna@hospital.test", "withdrawn"),
        ("ben@hospital.test", "pending"),
    ]


def test_an_alert_tells_all_that_became_of_it(client: TestClient, sessions: Sessions) -> None:
    create(client)
    alert_id = publish(sessions)
    waiting = client.get(f"/alerts/{alert_id}").json()
    assert (waiting["id"], waiting["kind"], waiting["subject"]) == (alert_id, "audit.failed", "b5: FAIL")
    assert waiting["data"] == {"deployment": "b5"}
    (delivery,) = waiting["deliveries"]
    assert (delivery["endpoint"], delivery["status"], delivery["log"]) == ("on-call", "pending", [])
    attempt(sessions, status=500, failure=Failure.STATUS, detail="The receiver answered 500.")
    (delivery,) = client.get(f"/alerts/{alert_id}").json()["deliveries"]
    assert (delivery["status"], delivery["attempts"]) == ("pending", 1)
    (tried,) = delivery["log"]
    assert delivery["next_attempt_at"] > tried["at"]
    assert (tried["number"], tried["status"], tried["failure"], tried["duration_s"]) == (1, 500, "status", 0.1)
    assert client.get("/alert-endpoints/on-call").json()["failing_since"] is not None
    assert client.get("/alerts/" + alert_id.removeprefix("msg_")).json()["id"] == alert_id


def test_a_test_goes_to_one_endpoint_alone(client: TestClient, sessions: Sessions) -> None:
    create(client, events=["audit.failed"])
    create(client, name="other")
    response = client.post("/alert-endpoints/on-call/test")
    assert response.status_code == 202
    assert response.json()["kind"] == "alert.test"
    attempt(sessions, status=204)
    (delivery,) = client.get(response.headers["location"]).json()["deliveries"]
    assert (delivery["endpoint"], delivery["status"], delivery["next_attempt_at"]) == ("on-call", "delivered", None)
    client.patch("/alert-endpoints/on-call", json={"enabled": False})
    body = problem(client.post("/alert-endpoints/on-call/test"), 409)
    assert "Disabled on request." in body["detail"]


def test_an_alert_is_delivered_again(client: TestClient, sessions: Sessions) -> None:
    nobody = publish(sessions)
    assert problem(client.post(f"/alerts/{nobody}/redeliver"), 409)["field"] == "endpoint"
    create(client)
    alert_id = publish(sessions)
    attempt(sessions, status=204)
    again = client.post(f"/alerts/{alert_id}/redeliver")
    assert again.status_code == 202
    assert again.json()["deliveries"][0]["status"] == "pending"
    assert [one["status"] for one in again.json()["deliveries"][0]["log"]] == [204]
    named = client.post(f"/alerts/{nobody}/redeliver", json={"endpoint": "on-call"})
    assert [one["endpoint"] for one in named.json()["deliveries"]] == ["on-call"]
    near = problem(client.post(f"/alerts/{nobody}/redeliver", json={"endpoint": "on-cal"}), 404)
    assert near["remedy"] == "Near matches: on-call."
    client.patch("/alert-endpoints/on-call", json={"enabled": False})
    problem(client.post(f"/alerts/{nobody}/redeliver", json={"endpoint": "on-call"}), 409)


def test_alerts_are_listed_newest_first_in_pages(client: TestClient, sessions: Sessions) -> None:
    create(client)
    ids = [publish(sessions, kind) for kind in ("audit.failed", "audit.passed", "audit.failed")]
    page = client.get("/alerts", params={"limit": 2})
    assert [item["id"] for item in page.json()["items"]] == ids[:0:-1]
    assert page.json()["items"][0]["deliveries"] == {"pending": 1, "delivered": 0, "failed": 0, "withdrawn": 0}
    last = client.get(page.links["next"]["url"]).json()
    assert ([item["id"] for item in last["items"]], last["next"]) == (ids[:1], None)
    passed = client.get("/alerts", params={"kind": "audit.passed"}).json()["items"]
    assert [item["id"] for item in passed] == [ids[1]]
    attempt(sessions, status=204)
    waiting = client.get("/alerts", params={"delivery": "pending"}).json()["items"]
    assert [item["id"] for item in waiting] == ids[:0:-1]
    assert problem(client.get("/alerts", params={"kind": "audit.fail"}), 422)["field"] == "kind"


def test_endpoints_are_listed_in_pages(client: TestClient) -> None:
    for name in ("a", "b", "c"):
        create(client, name=name)
    page = client.get("/alert-endpoints", params={"limit": 2})
    assert [item["name"] for item in page.json()["items"]] == ["c", "b"]
    last = client.get(page.links["next"]["url"]).json()
    assert ([item["name"] for item in last["items"]], last["next"]) == (["a"], None)


def test_unknown_alerts(client: TestClient) -> None:
    for unknown in ("msg_0198f0c2a5b07c3e9d4f6a7b8c9d0e1f", "msg_x", "x"):
        assert problem(client.get(f"/alerts/{unknown}"), 404)["field"] == "id"
        assert problem(client.post(f"/alerts/{unknown}/redeliver"), 404)["field"] == "id"


def test_an_overlap_that_cannot_be_used(client: TestClient) -> None:
    create(client)
    for hours in (-1, 169, "long"):
        response = client.post("/alert-endpoints/on-call/rotate-secret", json={"overlap_hours": hours})
        assert problem(response, 422)["field"] == "overlap_hours"


def test_every_call_needs_the_key(client: TestClient) -> None:
    for method, path in (("GET", "/alerts"), ("POST", "/alert-endpoints"), ("DELETE", "/alert-endpoints/x")):
        problem(client.request(method, path, headers={"Authorization": ""}), 401)
