"""Deployments and the fleet, and what can be done there."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.session import Sessions, transaction
from service.domain.resources import ResourceKind
from service.usecases.alerts import publish_alert
from tests.api.changing_calls import trail
from tests.pages.audited import Dissect, baseline, client, deployed, dissect, start
from tests.pages.visitor import Visitor, check_page, words_of
from tests.usecases.factories import resource

__all__ = ["baseline", "client", "deployed", "dissect"]

EAST = "/ui/deployments/east"
SCHEDULE = {"name": "nightly", "deployment": "east", "cron": "30 2 * * *", "zone": "Europe/Berlin"}
SEEN = {"by": "medical physics", "reason": "the model is taken out of use"}


def test_without_deployments_the_pages_say_how_to_make_one(visitor: Visitor) -> None:
    for path in ("/ui/deployments", "/ui/fleet"):
        assert "POST /deployments deploys one" in visitor.words(path)


def test_a_deployment_that_was_never_audited(visitor: Visitor, deployed: str) -> None:
    listed = visitor.get("/ui/deployments")
    assert f'href="{EAST}"' in listed
    words = visitor.words(EAST)
    assert "The version in use was never audited." in words
    assert "It was never audited. Its first audit shows" in words
    assert "Nothing was compared with a baseline yet." in words
    assert "It is audited only when somebody asks." in words
    assert "None of the newest alerts is about it." in words
    assert "the dissection that was pinned" in words
    assert "never audited" in visitor.words("/ui/fleet")


def test_verdicts_over_time_drift_and_what_nobody_has_acknowledged(
    visitor: Visitor, client: TestClient, deployed: str, dissect: Dissect
) -> None:
    passed = dissect(start(client), 0, 0, 1)
    failed = dissect(start(client), 1, 1, 1)
    running = start(client)

    html = visitor.get(EAST)
    drawing = re.search(r'aria-label="Verdicts, the oldest first: ([^"]+)"', html)
    assert drawing is not None
    assert [mark.rpartition(": ")[2] for mark in drawing[1].split("; ")] == ["PASS", "FAIL", "running"]
    for audit in (passed, failed, running):
        assert f'href="/ui/audits/{audit["id"]}"' in html

    words = words_of(html)
    assert "Against the baseline beyond the noise it changed in" in words
    assert "mass margin" in words
    assert html.count('aria-hidden="true"') >= 2, "the drift is drawn with its intervals"
    assert f'href="/ui/audits/{failed["id"]}#seen"' in html
    assert f'href="/ui/audits/{passed["id"]}#seen"' not in html

    fleet = visitor.get("/ui/fleet")
    assert 'aria-label="Last audit of east: fail"' in fleet
    assert 'aria-label="1 audit of east that nobody has acknowledged"' in fleet
    assert "running" in words_of(fleet)
    assert "not scheduled" in words_of(fleet)
    visitor.send(f"/ui/audits/{failed['id']}/acknowledge", SEEN)
    assert "that nobody has acknowledged" not in visitor.get("/ui/fleet")


def test_the_last_verdict_is_that_of_the_version_in_use(
    visitor: Visitor, client: TestClient, deployed: str, dissect: Dissect, sessions: Sessions
) -> None:
    dissect(start(client), 1, 1, 1)
    assert 'aria-label="Last audit of east: fail"' in visitor.get("/ui/fleet")
    with transaction(sessions) as session:
        newer = resource(session, ResourceKind.MODEL, "newer", checkpoint="/models/y", architecture="a", sha256="1")
        session.execute(text("UPDATE deployments SET target_id = :id"), {"id": newer.id})
    assert "never audited" in visitor.words("/ui/fleet")


def test_the_alerts_of_a_deployment_and_of_its_schedules(
    visitor: Visitor, client: TestClient, deployed: str, sessions: Sessions
) -> None:
    client.post("/schedules", json=SCHEDULE)
    with transaction(sessions) as session:
        publish_alert(session, "audit.failed", {"deployment": "east"}, subject="east: FAIL")
        publish_alert(session, "audit.failed", {"deployment": "west"}, subject="west: FAIL")
        publish_alert(session, "schedule.missed", {"schedule": "nightly"}, subject="nightly: MISSED")
        publish_alert(session, "schedule.missed", {"schedule": "weekly"}, subject="weekly: MISSED")
    words = visitor.words(EAST)
    assert "east: FAIL" in words
    assert "nightly: MISSED" in words
    assert "west: FAIL" not in words
    assert "weekly: MISSED" not in words


def test_an_audit_begins_at_the_page(visitor: Visitor, client: TestClient, deployed: str, sessions: Sessions) -> None:
    answer = visitor.send(f"{EAST}/audit")
    assert answer.status_code == 303
    (audit,) = client.get("/audits").json()["items"]
    assert answer.headers["location"] == f"/ui/audits/{audit['id']}"
    assert (audit["trigger"], audit["status"]) == ("request", "running")
    entry = trail(sessions)[-1]
    assert (entry.actor, entry.action) == ("api", "POST /ui/deployments/{name}/audit")
    assert entry.subject == f"{EAST} -> /audits/{audit['id']}"


def test_alerts_are_silenced_and_sound_again(
    visitor: Visitor, client: TestClient, deployed: str, sessions: Sessions
) -> None:
    fields = {"hours": "72", "by": "Dr <b>Anna</b>", "reason": "the scanner is being serviced"}
    answer = visitor.send(f"{EAST}/snooze", fields)
    assert (answer.status_code, answer.headers["location"]) == (303, EAST)
    snooze = client.get("/deployments/east").json()["snooze"]
    until = datetime.fromisoformat(snooze["until"])
    assert timedelta(hours=71) < until - datetime.now(UTC) <= timedelta(hours=72)
    assert (snooze["by"], snooze["reason"]) == (fields["by"], fields["reason"])

    html = visitor.get(EAST)
    assert "Dr &lt;b&gt;Anna&lt;/b&gt;" in html
    assert "the scanner is being serviced" in html
    assert "silenced until" in visitor.words("/ui/fleet")
    entry = trail(sessions)[-1]
    assert (entry.action, entry.subject) == ("POST /ui/deployments/{name}/snooze", EAST)
    assert entry.before != entry.after

    assert visitor.send(f"{EAST}/unsnooze").status_code == 303
    assert client.get("/deployments/east").json()["snooze"] is None
    assert trail(sessions)[-1].action == "POST /ui/deployments/{name}/unsnooze"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"by": ""}, "by"),
        ({"by": "x" * 121}, "by"),
        ({"reason": "  "}, "reason"),
        ({"hours": "2"}, "hours"),
        ({"hours": ""}, "hours"),
    ],
)
def test_what_cannot_be_snoozed_changes_nothing(
    visitor: Visitor, client: TestClient, deployed: str, sessions: Sessions, changes: dict[str, str], field: str
) -> None:
    entries = len(trail(sessions))
    answer = visitor.send(f"{EAST}/snooze", {"hours": "8", "by": "anna", "reason": "noise", **changes})
    assert answer.status_code == 422
    check_page(answer)
    assert f"<code>{field}</code>" in answer.text
    assert client.get("/deployments/east").json()["snooze"] is None
    assert len(trail(sessions)) == entries


@pytest.mark.parametrize("action", ["audit", "snooze", "unsnooze"])
def test_forms_without_the_sessions_token_change_nothing(
    visitor: Visitor, client: TestClient, deployed: str, action: str
) -> None:
    fields = {"form_token": "0" * 64, "hours": "8", "by": "anna", "reason": "noise"}
    answer = visitor.client.post(f"{EAST}/{action}", data=fields)
    assert answer.status_code == 403
    check_page(answer)
    assert client.get("/audits").json()["items"] == []
    assert client.get("/deployments/east").json()["snooze"] is None


def test_schedules_are_shown_run_paused_and_resumed(
    visitor: Visitor, client: TestClient, deployed: str, sessions: Sessions
) -> None:
    client.post("/schedules", json=SCHEDULE)
    html = visitor.get(EAST)
    assert "30 2 * * *" in html
    assert html.count("<time") == 3, "three next fires"
    assert "not scheduled" not in visitor.words("/ui/fleet")

    answer = visitor.send("/ui/schedules/nightly/run")
    (audit,) = client.get("/audits").json()["items"]
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/audits/{audit['id']}")
    assert audit["trigger"] == "schedule"
    assert "on request" in visitor.words(EAST)
    again = visitor.send("/ui/schedules/nightly/run")
    assert again.status_code == 409
    check_page(again)
    assert "has not ended" in words_of(again.text)

    paused = visitor.send("/ui/schedules/nightly/pause")
    assert (paused.status_code, paused.headers["location"]) == (303, f"{EAST}#schedules")
    assert "It does not fire." in visitor.words(EAST)
    assert "not scheduled" in visitor.words("/ui/fleet")
    visitor.send("/ui/schedules/nightly/resume")
    assert client.get("/schedules/nightly").json()["paused"] is False
    actions = [entry.action for entry in trail(sessions)]
    for action in ("run", "pause", "resume"):
        assert actions.count(f"POST /ui/schedules/{{name}}/{action}") == 1


def test_what_is_not_there_is_a_page(visitor: Visitor, deployed: str) -> None:
    assert "Near matches: east." in visitor.words("/ui/deployments/eest", 404)
    for path in ("/ui/deployments/none/audit", "/ui/deployments/none/unsnooze", "/ui/schedules/none/run"):
        answer = visitor.send(path)
        assert answer.status_code == 404
        check_page(answer)


def test_the_fleet_comes_in_pages(
    visitor: Visitor, client: TestClient, deployed: str, baseline: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("fleet", "deployments"):
        monkeypatch.setattr(f"api.pages.{module}.PAGE_SIZE", 1)
    client.post("/deployments", json={"name": "west", "policy": "screening", "baseline": baseline})
    for path in ("/ui/fleet", "/ui/deployments"):
        first = visitor.get(path)
        assert "west" in words_of(first)
        assert "east" not in words_of(first)
        following = re.search(r'rel="next" class="button" href="([^"]+)"', first)
        assert following is not None
        second = visitor.get(following[1].replace("&amp;", "&"))
        assert "east" in words_of(second)
        assert f'<a href="{path}">First page</a>' in second
