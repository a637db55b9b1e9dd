"""An alias of a model registry: the newest event counts, whatever the order in which events come."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from service.db.registry import lock_registered_model, note_registry_version
from service.db.session import Sessions, transaction
from service.domain.audits import Deployment
from service.domain.resources import Resource
from service.errors import UnknownLayer
from service.usecases.deployments import deploy_version
from service.usecases.registry import tell_of_waiting_aliases
from tests.api.registry_events import (
    alias,
    audits,
    created,
    in_use,
    reasons_told,
    refused,
    registry,
    send,
    two_versions,
)
from tests.api.test_audits import baseline, deployed
from tests.embedded.processes import wait_until

__all__ = ["baseline", "deployed", "registry"]


def test_a_version_that_gets_the_alias_is_deployed_and_audited_once(registry: TestClient, data_root: Path) -> None:
    send(registry, created(data_root))
    (audit,) = send(registry, alias()).json()["audits"]
    found = registry.get(f"/audits/{audit}").json()
    assert (found["deployment"], found["target"], found["candidate"]) == ("west", "west@1", False)
    assert registry.get("/deployments/west").json()["target"] == "west@1"
    assert send(registry, alias()).json() == {"audits": []}


def test_an_alias_that_comes_before_its_version_is_acted_on_when_the_version_comes(
    registry: TestClient, data_root: Path
) -> None:
    before = in_use(registry)
    heard = send(registry, alias())
    assert (heard.status_code, heard.json()) == (202, {"audits": []})
    assert in_use(registry) == before
    begun = send(registry, created(data_root)).json()["audits"]
    found = [registry.get(f"/audits/{audit}").json() for audit in begun]
    assert [(one["deployment"], one["target"], one["candidate"]) for one in found] == [
        ("east", "east@1", True),
        ("west", "west@1", False),
    ]
    assert in_use(registry) == "west@1"
    assert send(registry, alias()).json() == send(registry, created(data_root)).json() == {"audits": []}


def test_an_alias_that_comes_while_its_version_is_being_written_waits_for_it(
    registry: TestClient, data_root: Path, sessions: Sessions
) -> None:
    with ThreadPoolExecutor(1) as pool, transaction(sessions) as session:
        lock_registered_model(session, "screening")
        note_registry_version(session, "screening", "2", (data_root / "v2").as_uri())
        heard = pool.submit(send, registry, alias())
        wait_until(lambda: session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) == 1)
        session.commit()
        assert len(heard.result().json()["audits"]) == 1


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ("2026-01-01T10:00:00.250000+00:00", "2026-01-01T10:00:00.249999+00:00"),
        ("2026-01-01T10:00:00+01:00", "2026-01-01T09:30:00+02:00"),
        ("2026-01-01T10:00:00+01:00", "2026-01-01T09:00:00+00:00"),
        ("2026-01-01T10:00:00", "2026-01-01T10:30:00+01:00"),
        (None, "2026-01-01T10:00:00+00:00"),
    ],
)
def test_an_older_event_that_comes_late_does_not_take_an_older_version_back_into_use(
    registry: TestClient, data_root: Path, newer: str | None, older: str
) -> None:
    two_versions(registry, data_root)
    assert len(send(registry, alias("3", at=newer)).json()["audits"]) == 1
    assert send(registry, alias("2", at=older)).json() == {"audits": []}
    assert in_use(registry) == "west@1"


def test_an_event_of_the_future_does_not_keep_later_events_from_being_followed(
    registry: TestClient, data_root: Path
) -> None:
    two_versions(registry, data_root)
    assert len(send(registry, alias("3", at="2999-01-01")).json()["audits"]) == 1
    assert in_use(registry) == "west@1"
    assert len(send(registry, alias("2", at=datetime.now(UTC).isoformat())).json()["audits"]) == 1
    assert in_use(registry) == "west@2"


def test_an_event_that_is_passed_over_is_logged(registry: TestClient, data_root: Path) -> None:
    two_versions(registry, data_root)
    send(registry, alias("3", at="2026-01-02"))
    with capture_logs() as lines:
        send(registry, alias("2", at="2026-01-01"))
    (line,) = [line for line in lines if "no newer" in line["event"]]
    assert (line["model"], line["alias"], line["version"]) == ("screening", "champion", "2")


def test_events_without_a_time_count_in_the_order_in_which_they_come(registry: TestClient, data_root: Path) -> None:
    two_versions(registry, data_root)
    for version, expected in (("3", "west@1"), ("2", "west@2"), ("3", "west@1")):
        assert len(send(registry, alias(version, at=None)).json()["audits"]) == 1
        assert in_use(registry) == expected


def test_an_alias_that_has_moved_on_does_not_wait_for_the_version_that_had_it(
    registry: TestClient, data_root: Path
) -> None:
    send(registry, created(data_root, version="1"))
    for version, at in (("3", "2026-01-03"), ("2", "2026-01-02")):
        assert send(registry, alias(version, at=at)).json() == {"audits": []}
    before = in_use(registry)
    assert len(send(registry, created(data_root)).json()["audits"]) == 1, "as a candidate alone"
    assert in_use(registry) == before


def test_an_alias_that_was_taken_away_is_not_acted_on_afterwards(registry: TestClient, data_root: Path) -> None:
    before = in_use(registry)
    for version, at in (("2", "2026-01-02"), (None, "2026-01-04"), ("2", "2026-01-03")):
        assert send(registry, alias(version, at=at)).json() == {"audits": []}
    assert len(send(registry, created(data_root)).json()["audits"]) == 1, "as a candidate alone"
    assert in_use(registry) == before


def test_a_version_that_moves_is_audited_but_not_deployed_by_an_alias_that_was_acted_on(
    registry: TestClient, data_root: Path
) -> None:
    two_versions(registry, data_root)
    send(registry, alias())
    assert in_use(registry) == "west@1"
    (audit,) = send(registry, created(data_root, source=str(data_root / "v3"))).json()["audits"]
    assert registry.get(f"/audits/{audit}").json()["deployment"] == "east"
    assert in_use(registry) == "west@1"


def test_an_alias_of_no_known_time_is_told_of_and_not_followed(registry: TestClient, data_root: Path) -> None:
    send(registry, created(data_root))
    before = in_use(registry)
    (audit,) = refused(registry, alias(at="yesterday"))
    assert (audit["deployment"], audit["problem"]["field"]) == ("west", "timestamp")
    assert in_use(registry) == before


def test_one_follower_that_fails_does_not_keep_others_from_following(registry: TestClient, data_root: Path) -> None:
    """A layer that another network lacks is known once the layers of the version were listed."""
    body = {"name": "north", "policy": "screening", "baseline": registry.get("/deployments/west").json()["baseline"]}
    assert registry.post("/deployments", json={**body, "registered_model": "screening@champion"}).status_code == 201
    send(registry, created(data_root))
    with patch("service.usecases.registry.deploy_version", side_effect=refuse_west), capture_logs() as logs:
        begun = send(registry, alias()).json()["audits"]
    found = [registry.get(f"/audits/{audit}").json() for audit in begun]
    assert [(one["deployment"], one["status"]) for one in found] == [("west", "error"), ("north", "running")]
    assert registry.get("/deployments/north").json()["target"] == "north@1"
    for event in ("cannot follow the model registry", "audit cannot begin"):
        told = [entry for entry in logs if entry["event"] == event]
        assert len(told) == 1, "what is rolled back for files that are still to be read is not told of"


def refuse_west(session: Session, name: str, target: Resource) -> Deployment:
    if name == "west":
        raise UnknownLayer("There is no layer 'x'.", field="layers", value="x", remedy="Name another.")
    return deploy_version(session, name, target)


def test_an_alias_whose_version_never_comes_is_told_of(
    registry: TestClient, data_root: Path, sessions: Sessions
) -> None:
    before = in_use(registry)
    assert send(registry, alias()).json() == {"audits": []}
    assert tell_of_waiting_aliases(sessions, timedelta(days=10_000)) == 0
    assert tell_of_waiting_aliases(sessions) == 1
    (audit,) = audits(registry)
    assert (audit["deployment"], audit["status"], audit["target"]) == ("west", "error", before)
    ((reason,),) = reasons_told(registry).values()
    assert "has not announced that version" in reason
    assert tell_of_waiting_aliases(sessions) == 0
    assert len(send(registry, created(data_root)).json()["audits"]) == 2, "it is still acted on"
    assert in_use(registry) == "west@1"
