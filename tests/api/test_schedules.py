"""The calls of /schedules."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.usecases.schedules import pause_schedule
from tests.api.test_problems import problem
from tests.schedules.field import DAILY, Field
from tests.schedules.written_audits import WrittenAudits, make_table

BODY = {"name": "nightly", "deployment": "screening", "cron": "30 2 * * *", "zone": "Europe/Berlin"}


@pytest.fixture
def field(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> Field:
    make_table(sessions)
    field = Field(sessions, WrittenAudits())
    field.deploy("screening")
    monkeypatch.setattr("api.dependencies.open_audits", lambda *_: field.audits)
    return field


def post(client: TestClient, **changes: Any) -> dict[str, Any]:
    response = client.post("/schedules", json=BODY | changes)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/schedules/{body['name']}"
    assert client.get(response.headers["location"]).json() == body
    return body


def parsed(time: str) -> datetime:
    return datetime.fromisoformat(time)


def test_a_schedule_has_its_terms_and_its_next_fire(client: TestClient, field: Field) -> None:
    body = post(client)
    expected = {
        "deployment": "screening",
        "cron": "30 2 * * *",
        "zone": "Europe/Berlin",
        "catch_up": "latest",
        "catch_up_max": None,
        "grace_s": None,
        "overlap": "skip",
        "paused": False,
        "notice": None,
    }
    assert {key: body[key] for key in expected} == expected
    assert timedelta(0) < parsed(body["next_fire_at"]) - datetime.now(UTC) < timedelta(hours=26)
    most = post(client, name="all", cron=" 0  6 * * MON ", catch_up="all", grace_s=7200, overlap="cancel_old")
    assert (most["cron"], most["catch_up_max"], most["grace_s"], most["overlap"]) == (
        "0 6 * * MON",
        10,
        7200,
        "cancel_old",
    )


@pytest.mark.parametrize(
    ("changes", "field_name", "says"),
    [
        ({"cron": "30 25 * * *"}, "cron", "hour, field 2"),
        ({"cron": "30 2 * *"}, "cron", "5 fields, this one 4"),
        ({"cron": "0 0 31 2 *"}, "cron", "No date matches"),
        ({"zone": "Europe/Berln"}, "zone", "Europe/Berln"),
        ({"catch_up": "some"}, "catch_up", "catch_up"),
        ({"catch_up_max": 3}, "catch_up_max", "`latest` has no maximum"),
        ({"catch_up": "all", "catch_up_max": 1000}, "catch_up_max", "catch_up_max"),
        ({"grace_s": 1}, "grace_s", "grace_s"),
        ({"overlap": "never"}, "overlap", "overlap"),
        ({"name": "No Name"}, "name", "not a valid name"),
        ({"often": True}, "often", "often"),
    ],
)
def test_what_is_wrong_is_named(
    client: TestClient, field: Field, changes: Mapping[str, Any], field_name: str, says: str
) -> None:
    body = problem(client.post("/schedules", json={**BODY, **changes}), 422)
    assert body["field"] == field_name
    assert says in body["detail"]
    assert client.get("/schedules").json()["items"] == []


def test_names_are_taken_once_and_near_ones_are_offered(client: TestClient, field: Field) -> None:
    post(client)
    assert problem(client.post("/schedules", json=BODY), 409)["field"] == "name"
    unknown = problem(client.post("/schedules", json=BODY | {"name": "other", "deployment": "screenin"}), 404)
    assert (unknown["field"], unknown["remedy"]) == ("deployment", "Near matches: screening.")
    for call in (client.get, client.delete):
        lost = problem(call("/schedules/nigtly"), 404)
        assert (lost["field"], lost["remedy"]) == ("schedule", "Near matches: nightly.")
    assert problem(client.get("/schedules/elsewhere/runs"), 404)["remedy"] == "List them with GET /schedules."
    zone = problem(client.post("/schedules", json=BODY | {"zone": "Berlin"}), 422)
    assert zone["remedy"] == "Did you mean Europe/Berlin?"


def test_schedules_are_listed_in_pages_and_by_deployment(client: TestClient, field: Field) -> None:
    field.deploy("diagnostic")
    for number in range(3):
        post(client, name=f"nightly-{number}", deployment="diagnostic" if number == 1 else "screening")
    page = client.get("/schedules", params={"limit": 2})
    assert [item["name"] for item in page.json()["items"]] == ["nightly-2", "nightly-1"]
    last = client.get(page.links["next"]["url"]).json()
    assert ([item["name"] for item in last["items"]], last["next"]) == (["nightly-0"], None)
    some = client.get("/schedules", params={"deployment": "diagnostic"}).json()["items"]
    assert [item["name"] for item in some] == ["nightly-1"]


def test_patch_changes_what_is_given(client: TestClient, field: Field) -> None:
    post(client, grace_s=600)
    changed = client.patch("/schedules/nightly", json={"cron": "0 6 1 * *", "zone": "UTC", "catch_up": "all"}).json()
    assert [changed[key] for key in ("cron", "zone", "catch_up", "catch_up_max", "grace_s")] == [
        "0 6 1 * *",
        "UTC",
        "all",
        10,
        600,
    ]
    assert changed["next_fire_at"].endswith("-01T06:00:00Z")
    back = client.patch("/schedules/nightly", json={"catch_up": "none", "grace_s": None, "overlap": "queue"}).json()
    assert [back[key] for key in ("catch_up", "catch_up_max", "grace_s", "overlap")] == ["none", None, None, "queue"]
    for changes, field_name in (
        ({"cron": "0 6 1 13 *"}, "cron"),
        ({"cron": None}, "cron"),
        ({"zone": "Nowhere"}, "zone"),
        ({"paused": True}, "paused"),
    ):
        assert problem(client.patch("/schedules/nightly", json=changes), 422)["field"] == field_name
    assert client.get("/schedules/nightly").json() == back


def test_pause_resume_run_and_delete(client: TestClient, field: Field) -> None:
    post(client)
    paused = client.post("/schedules/nightly/pause").json()
    assert (paused["paused"], paused["next_fire_at"]) == (True, None)
    assert client.post("/schedules/nightly/pause").json() == paused
    response = client.post("/schedules/nightly/run")
    assert response.status_code == 202
    fire = response.json()
    assert (fire["outcome"], fire["manual"], fire["reason"]) == ("started", True, None)
    assert fire["audit_id"]
    refused = problem(client.post("/schedules/nightly/run"), 409)
    assert fire["audit_id"] in refused["detail"]
    resumed = client.post("/schedules/nightly/resume").json()
    assert resumed["paused"] is False
    assert resumed["next_fire_at"]
    assert client.get("/schedules/nightly/runs").json()["items"] == [fire]
    assert client.delete("/schedules/nightly").status_code == 204
    assert problem(client.get("/schedules/nightly"), 404)


def test_runs_are_listed_newest_first_beside_the_next_fires(client: TestClient, field: Field) -> None:
    schedule = field.schedule(DAILY)
    for day in range(1, 4):
        field.look(datetime(2026, 6, day, 2, tzinfo=UTC))
    page = client.get("/schedules/nightly/runs", params={"limit": 2, "next": 2})
    body = page.json()
    assert [(item["fire_time"], item["outcome"]) for item in body["items"]] == [
        ("2026-06-03T02:00:00Z", "skipped-overlap"),
        ("2026-06-02T02:00:00Z", "skipped-overlap"),
    ]
    assert body["upcoming"] == [
        {"fire_time": "2026-06-04T02:00:00Z", "local_time": "2026-06-04T02:00:00+00:00"},
        {"fire_time": "2026-06-05T02:00:00Z", "local_time": "2026-06-05T02:00:00+00:00"},
    ]
    last = client.get(page.links["next"]["url"]).json()
    assert ([item["outcome"] for item in last["items"]], last["next"]) == (["started"], None)
    for path in ("/schedules/nightly/runs", "/schedules"):
        assert problem(client.get(path, params={"cursor": "WyJ4Il0="}), 422)["field"] == "cursor"
    with transaction(field.sessions) as session:
        pause_schedule(session, schedule.name)
    assert client.get("/schedules/nightly/runs", params={"next": 5}).json()["upcoming"] == []


def test_local_times_show_the_zone_of_the_schedule(client: TestClient, field: Field) -> None:
    field.schedule(replace(DAILY, zone="Asia/Kolkata"))
    upcoming = client.get("/schedules/nightly/runs", params={"next": 1}).json()["upcoming"]
    assert upcoming == [{"fire_time": "2026-06-01T20:30:00Z", "local_time": "2026-06-02T02:00:00+05:30"}]


def test_a_schedule_that_a_clock_ahead_has_spoilt_says_so(client: TestClient, field: Field) -> None:
    post(client)
    field.look(datetime.now(UTC) + timedelta(days=30))
    notice = client.get("/schedules/nightly").json()["notice"]
    assert "decided while the clock was ahead" in notice
    client.post("/schedules/nightly/pause")
    assert client.post("/schedules/nightly/resume").json()["notice"] is None
