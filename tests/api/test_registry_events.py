"""MLflow's webhooks: signed events start audits; everything else is refused and changes nothing."""

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from service.db.registry import lock_registered_model, note_registry_version
from service.db.session import Sessions, transaction
from service.db.work import claim_item
from service.domain import digests
from service.domain.audits import Deployment
from service.domain.resources import Resource, ResourceKind
from service.domain.work import Preparation, PreparationLease
from service.errors import ProblemFields, UnknownLayer
from service.files import DataRoots
from service.usecases.alerts import list_alerts
from service.usecases.deployments import deploy_version
from service.usecases.followings import follow_fetched
from service.usecases.preparations import complete_preparation, fail_preparation
from service.usecases.registry import tell_of_waiting_aliases
from service.usecases.resources import find_resource
from tests.api.test_audits import baseline, deployed
from tests.api.test_problems import Answer, problem
from tests.embedded.processes import wait_until
from tests.usecases.factories import RecordingQueue

__all__ = ["baseline", "deployed"]
NOTHING: Mapping[str, str] = MappingProxyType({})
SECRET = "shared between registry and service"  # noqa: S105 - of this test alone


@pytest.fixture
def registry(client: TestClient, deployed: str, data_root: Path) -> TestClient:
    """The service with a deployment that follows the registered model, and one that follows its alias."""
    app = client.app
    settings = app.state.settings  # type: ignore[attr-defined]
    app.state.settings = settings.model_copy(update={"mlflow_webhook_secret": SecretStr(SECRET)})  # type: ignore[attr-defined]
    (data_root / "v2").mkdir()
    (data_root / "v2" / "model.safetensors").write_bytes(b"second version")
    first = client.get(f"/deployments/{deployed}").json()
    body = {"name": "west", "policy": "screening", "baseline": first["baseline"]}
    assert client.post("/deployments", json={**body, "registered_model": "screening@champion"}).status_code == 201
    assert client.patch("/deployments/east", json={"registered_model": "screening"}).status_code == 200
    return client


def send(
    client: TestClient, event: Any, *, secret: str = SECRET, age_s: int = 0, changed: Mapping[str, str] = NOTHING
) -> Answer:
    content = json.dumps(event).encode()
    timestamp = str(int(time.time()) - age_s)
    signed = f"delivery-1.{timestamp}.".encode() + content
    signature = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    headers = {
        "X-MLflow-Signature": f"v1,{signature}",
        "X-MLflow-Delivery-Id": "delivery-1",
        "X-MLflow-Timestamp": timestamp,
        "Authorization": "",
    }
    return client.post("/registry-events", content=content, headers={**headers, **changed})


def created(data_root: Path, **changed: Any) -> dict[str, Any]:
    data = {"name": "screening", "version": "2", "source": (data_root / "v2").as_uri(), "run_id": "r", "tags": {}}
    return {"entity": "model_version", "action": "created", "timestamp": "2026-01-01", "data": data | changed}


def alias(version: str | None = "2", *, at: str | None = "2026-01-01T10:00:00.5+00:00") -> dict[str, Any]:
    """The event of an alias that was given, or, with no version, taken away."""
    data = {"name": "screening", "alias": "champion"}
    event: dict[str, Any] = {"entity": "model_version_alias", "action": "deleted", "data": data}
    if version is not None:
        event |= {"action": "created", "data": data | {"version": version}}
    return event if at is None else event | {"timestamp": at}


def audits(client: TestClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/audits").json()["items"]
    return items


def test_a_new_version_is_audited_as_a_candidate_once(registry: TestClient, data_root: Path) -> None:
    heard = send(registry, created(data_root))
    assert heard.status_code == 202, heard.text
    (audit,) = audits(registry)
    assert heard.json() == {"audits": [audit["id"]]}
    assert (audit["deployment"], audit["trigger"], audit["candidate"]) == ("east", "registry", True)
    assert registry.get("/deployments/east").json()["target"] == "screening@1"
    assert send(registry, created(data_root)).json() == {"audits": []}


def test_a_new_version_is_shown_images_as_the_one_in_use_is(registry: TestClient, data_root: Path) -> None:
    in_use = registry.get("/models/screening@1").json()["spec"]
    given = {"height": 384, "mean": [0.25]}
    shown = {"checkpoint": in_use["checkpoint"], "architecture": in_use["architecture"], "input": given}
    deployed_version = registry.post("/deployments/east/versions", json={"target": shown})
    assert deployed_version.status_code == 202, deployed_version.text

    (audit,) = send(registry, created(data_root)).json()["audits"]
    candidate = registry.get(f"/audits/{audit}").json()["target"]
    spec = registry.get(f"/models/{candidate}").json()["spec"]
    assert spec["checkpoint"] == str(data_root / "v2" / "model.safetensors")
    assert spec["input"] == given


def test_a_version_that_gets_the_alias_is_deployed_and_audited_once(registry: TestClient, data_root: Path) -> None:
    send(registry, created(data_root))
    (audit,) = send(registry, alias()).json()["audits"]
    found = registry.get(f"/audits/{audit}").json()
    assert (found["deployment"], found["target"], found["candidate"]) == ("west", "west@1", False)
    assert registry.get("/deployments/west").json()["target"] == "west@1"
    assert send(registry, alias()).json() == {"audits": []}


def in_use(client: TestClient) -> str:
    return str(client.get("/deployments/west").json()["target"])


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


@pytest.mark.parametrize("name", ["v 2", "v#2", "v?2", "v%232", "v%2"])
@pytest.mark.parametrize("as_source", [str, Path.as_uri])
def test_a_source_is_what_it_says_whatever_characters_it_has(
    registry: TestClient, data_root: Path, sessions: Sessions, name: str, as_source: Callable[[Path], str]
) -> None:
    folder = data_root / name
    for path in (folder, data_root / "v"):  # where a path that is cut at a character would lead
        path.mkdir()
        (path / "model.safetensors").write_bytes(path.name.encode())
    heard = send(registry, created(data_root, source=as_source(folder)))
    assert heard.status_code == 202, heard.text
    with transaction(sessions) as session:
        model = find_resource(session, ResourceKind.MODEL, "east", field="target")
    assert model.spec["checkpoint"] == str(folder / "model.safetensors")
    assert model.spec["sha256"] == hashlib.sha256(name.encode()).hexdigest()


def test_a_folder_has_its_weights_chosen_as_sources_have(registry: TestClient, data_root: Path) -> None:
    (data_root / "v2" / "optimizer.pt").write_bytes(b"of training")
    (audit,) = send(registry, created(data_root)).json()["audits"]
    assert registry.get(f"/audits/{audit}").json()["target"] == "east@1"
    model = registry.get("/models/east@1").json()
    assert model["spec"]["checkpoint"] == str(data_root / "v2" / "model.safetensors")

    (data_root / "v3" / "data").mkdir(parents=True)
    (data_root / "v3" / "data" / "model.pth").write_bytes(b"a program")
    (data_root / "v3" / "MLmodel").touch()
    (audit,) = refused(registry, created(data_root, version="3", source=str(data_root / "v3")))
    assert "saved the model as a program" in audit["problem"]["detail"]
    assert audit["problem"]["field"] == "data.source"


def test_nothing_outside_the_data_roots_is_looked_at(registry: TestClient, data_root: Path, tmp_path: Path) -> None:
    """A folder elsewhere that is there is answered like one that is not."""
    (tmp_path / "elsewhere").mkdir()
    for number, name in enumerate(("elsewhere", "nowhere")):
        source = f"{tmp_path}/{name}"
        (audit,) = refused(registry, created(data_root, version=f"9{number}", source=source))
        cannot = f"The deployment cannot follow version 9{number} of screening."
        assert audit["problem"]["detail"] == f"{cannot} The path lies outside the data roots."


def two_versions(registry: TestClient, data_root: Path) -> None:
    (data_root / "v3").mkdir()
    (data_root / "v3" / "model.safetensors").write_bytes(b"third version")
    for version in ("2", "3"):
        source = (data_root / f"v{version}").as_uri()
        assert send(registry, created(data_root, version=version, source=source)).status_code == 202


def test_what_nobody_follows_is_heard_and_nothing_happens(registry: TestClient, data_root: Path) -> None:
    for event in (
        created(data_root, name="another"),
        {"entity": "registered_model", "action": "created", "data": {"name": "screening"}},
    ):
        assert send(registry, event).json() == {"audits": []}
    assert audits(registry) == []


def test_what_was_not_signed_or_is_old_is_refused(registry: TestClient, data_root: Path) -> None:
    event = created(data_root)
    for answer in (
        send(registry, event, secret="guessed"),  # noqa: S106
        send(registry, event, changed={"X-MLflow-Delivery-Id": "delivery-2"}),
        send(registry, event, changed={"X-MLflow-Timestamp": str(int(time.time()) + 1)}),
    ):
        assert problem(answer, 401)["field"] == "X-MLflow-Signature"
    for age_s in (400, -400):
        assert problem(send(registry, event, age_s=age_s), 401)["field"] == "X-MLflow-Timestamp"
    assert audits(registry) == []


def refused(client: TestClient, event: Any) -> list[dict[str, Any]]:
    """The audits that an event has begun, each of which has ended in an error, was told of, and is in the log."""
    with capture_logs() as logs:
        heard = send(client, event)
    assert heard.status_code == 202, heard.text
    begun = [client.get(f"/audits/{audit}").json() for audit in heard.json()["audits"]]
    warnings = [entry for entry in logs if entry["event"] == "cannot follow the model registry"]
    logged = [(name, entry["reason"], entry["value"]) for entry in warnings for name in entry["deployments"]]
    expected = [(audit["deployment"], audit["problem"]["detail"], audit["problem"].get("value")) for audit in begun]
    assert sorted(logged, key=str) == sorted(expected, key=str)

    told = reasons_told(client)
    for audit in begun:
        assert (audit["status"], audit["verdict"], audit["trigger"]) == ("error", None, "registry")
        assert audit["problem"]["remedy"]
        assert told[audit["id"]] == [audit["problem"]["detail"]]
    return begun


def reasons_told(client: TestClient) -> dict[Any, Any]:
    """What the alerts of audits that ended in an error say, by audit."""
    with transaction(client.app.state.sessions) as session:  # type: ignore[attr-defined]
        page, _ = list_alerts(session, kind="audit.error", status=None, limit=100, after=None)
    return {alert.data["audit"]: alert.data["reasons"] for alert in page.items}


def unusable_sources(data_root: Path) -> list[Any]:
    (data_root / "empty").mkdir()
    (data_root / "two").mkdir()
    for name in ("a.pt", "b.pt"):
        (data_root / "two" / name).write_bytes(name.encode())
    (data_root / "many").mkdir()
    for number in range(21):
        (data_root / "many" / f"{number}").mkdir()
    (data_root / "many" / "model.pt").touch()
    os.mkfifo(data_root / "fifo.safetensors")
    (data_root / "device.pt").symlink_to("/dev/zero")
    return [
        "models:/screening/latest",
        "runs:/0123456789abcdef",
        "mlflow-artifacts:/",
        "s3://bucket",
        "https://user:hidden@registry.test/v2",
        "gs://bucket/v2",
        "dbfs:/v2",
        "v2/model.safetensors",
        "/elsewhere/model.pt",
        str(data_root / "missing"),
        str(data_root / "empty"),
        str(data_root / "two"),
        str(data_root / "many"),
        str(data_root / "fifo.safetensors"),
        str(data_root / "device.pt"),
        str(data_root / ("x" * 300)),
        "",
        None,
        7,
        ["/v2"],
    ]


@pytest.mark.timeout(120)
def test_a_version_that_cannot_be_followed_and_its_alias_are_audits_that_ended_in_an_error(
    registry: TestClient, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_MOST_FILES", 20)
    before = in_use(registry)
    for number, source in enumerate(unusable_sources(data_root), start=10):
        (audit,) = refused(registry, created(data_root, version=str(number), source=source))
        assert audit["deployment"] == "east"
        assert audit["problem"]["detail"].startswith(f"The deployment cannot follow version {number} of screening. ")
        (audit,) = refused(registry, alias(str(number), at=f"2026-02-01T00:00:{number}"))
        assert (audit["deployment"], audit["target"]) == ("west", before)
        assert audit["problem"]["detail"].startswith(f"The deployment cannot follow version {number} of screening. ")
        assert in_use(registry) == before
    assert len(send(registry, created(data_root)).json()["audits"]) == 1, "nothing of it is in the way"


def test_an_event_that_comes_again_is_told_of_once(registry: TestClient, data_root: Path) -> None:
    event = created(data_root, source="models:/screening/latest")
    assert len(refused(registry, event)) == 1
    assert refused(registry, event) == []
    assert len(refused(registry, alias())) == 1
    assert refused(registry, alias()) == []


SOURCES = [
    "models:/123",
    "models:/screening/2",
    "runs:/0123456789abcdef/model",
    "mlflow-artifacts:/1/models/m-1/artifacts",
    "s3://bucket/v2",
    "https://registry.test/v2",
]
"""What workers fetch."""


def end_fetching(sessions: Sessions, problem: ProblemFields | None = None, *, content: str = "c" * 64) -> None:
    """Do what a worker does with the one source that is to be fetched: fetch and open it, or fail to."""
    with transaction(sessions) as session:
        while (lease := claim_item(session, "tester", timedelta(seconds=30))) is not None:
            if not isinstance(lease, PreparationLease):
                continue
            if problem is not None:
                fail_preparation(session, lease, problem)
            elif lease.stage is Preparation.FETCH:
                place = {"place": "s3://bucket/v2/w.pt?versionId=1", "version": None}
                complete_preparation(session, lease, {"sha256": content, "bytes": 7, **place})
            elif lease.stage is Preparation.INSPECT:
                layers = [{"name": "blocks.0", "units": 3, "kind": "Conv2d"}]
                complete_preparation(session, lease, {"layers": layers})


def followed(client: TestClient, sessions: Sessions, data_root: Path) -> list[dict[str, Any]]:
    """The audits that the scheduler begins once sources were fetched."""
    before = [audit["id"] for audit in audits(client)]
    follow_fetched(sessions, RecordingQueue(), DataRoots.of([data_root]))
    return [audit for audit in audits(client) if audit["id"] not in before]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_that_cannot_be_fetched_is_an_audit_that_ended_in_an_error(
    registry: TestClient, sessions: Sessions, data_root: Path, source: str
) -> None:
    before = in_use(registry)
    for event in (created(data_root, source=source), alias()):
        assert send(registry, event).json() == {"audits": []}, "nobody knows yet"
    assert followed(registry, sessions, data_root) == []

    why: ProblemFields = {"code": "invalid-input", "title": "T", "detail": "It is not there.", "remedy": "Look."}
    end_fetching(sessions, why)
    with capture_logs() as logs:
        found = followed(registry, sessions, data_root)
    assert {(one["deployment"], one["status"], one["target"]) for one in found} == {
        ("east", "error", before),
        ("west", "error", before),
    }
    reason = "The deployment cannot follow version 2 of screening. It is not there."
    assert reasons_told(registry) == {one["id"]: [reason] for one in found}
    warnings = [entry for entry in logs if entry["event"] == "cannot follow the model registry"]
    assert [entry["reason"] for entry in warnings] == [reason] * 2
    assert in_use(registry) == before
    assert followed(registry, sessions, data_root) == [], "it is told of once"


def test_a_source_that_is_fetched_again_is_not_judged_by_the_last_attempt(
    registry: TestClient, sessions: Sessions, data_root: Path
) -> None:
    send(registry, created(data_root, source="s3://bucket/v2"))
    send(registry, alias())
    end_fetching(sessions, {"code": "unavailable", "title": "T", "detail": "It is away.", "remedy": "Wait."})
    assert len(followed(registry, sessions, data_root)) == 2

    send(registry, alias(at="2026-01-02"))
    assert registry.get("/models/west@1").json()["state"] == "checking"
    assert followed(registry, sessions, data_root) == [], "it is being fetched"
    end_fetching(sessions)
    assert [audit["deployment"] for audit in followed(registry, sessions, data_root)] == ["west"]
    assert in_use(registry) == "west@1"


def test_a_source_is_followed_once_it_was_fetched_and_its_model_says_what_it_is(
    registry: TestClient, sessions: Sessions, data_root: Path
) -> None:
    for event in (created(data_root, source="s3://bucket/v2"), alias()):
        assert send(registry, event).json() == {"audits": []}
    model = registry.get("/models/west@1").json()
    assert (model["spec"]["checkpoint"], model["spec"]["sha256"]) == ("s3://bucket/v2", None)
    refusal = registry.post("/audits", json={"deployment": "west", "target": "west@1"})
    assert problem(refusal, 409)["type"].endswith(":not-fetched")

    end_fetching(sessions)
    found = followed(registry, sessions, data_root)
    assert {(one["deployment"], one["target"], one["candidate"], one["status"]) for one in found} == {
        ("east", "east@1", True, "running"),
        ("west", "west@1", False, "running"),
    }
    assert in_use(registry) == "west@1"
    model = registry.get("/models/west@1").json()
    assert model["spec"]["sha256"] == "c" * 64
    assert model["spec"]["fetched"] == {"place": "s3://bucket/v2/w.pt?versionId=1", "version": None, "bytes": 7}


def test_an_alias_that_has_moved_on_while_its_source_was_fetched_is_not_followed(
    registry: TestClient, sessions: Sessions, data_root: Path
) -> None:
    before = in_use(registry)
    send(registry, created(data_root, source="s3://bucket/v2"))
    send(registry, alias())
    send(registry, alias(None, at="2026-01-02"))
    end_fetching(sessions)
    assert [one["deployment"] for one in followed(registry, sessions, data_root)] == ["east"], "as a candidate alone"
    assert in_use(registry) == before


def test_a_version_whose_source_comes_later_is_followed_then(registry: TestClient, data_root: Path) -> None:
    for event in (created(data_root, source=None), alias()):
        assert len(refused(registry, event)) == 1
    begun = send(registry, created(data_root)).json()["audits"]
    assert [registry.get(f"/audits/{audit}").json()["status"] for audit in begun] == ["running", "running"]
    assert in_use(registry) == "west@1"


def test_an_event_whose_version_or_alias_is_senseless_is_told_of_to_all_it_may_mean(
    registry: TestClient, data_root: Path
) -> None:
    for wrong in (None, "", " ", 1.5, True, ["2"], {"v": 2}, "v" * 300):
        (audit,) = refused(registry, created(data_root, version=wrong))
        assert (audit["deployment"], audit["problem"]["field"]) == ("east", "data.version")
        for field in ("version", "alias"):
            event = alias(at="2026-02-01")
            event["data"][field] = wrong
            (audit,) = refused(registry, event)
            assert (audit["deployment"], audit["problem"]["field"]) == ("west", f"data.{field}")


def test_a_version_may_be_a_number(registry: TestClient, data_root: Path) -> None:
    send(registry, created(data_root, version=2))
    assert len(send(registry, alias()).json()["audits"]) == 1


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


def test_what_is_no_event_names_its_field_and_leaves_nothing(registry: TestClient, data_root: Path) -> None:
    for event, field in (
        ([], "body"),
        ({"entity": "model_version", "action": "created"}, "data"),
        (created(data_root) | {"entity": 7}, "entity"),
        (created(data_root, name=None), "data.name"),
        (created(data_root, name="\0"), "data.name"),
        (created(data_root, name="\ud800"), "data.name"),
        (created(data_root, name=float("nan")), "data.name"),
        (created(data_root, tags=nested(100)), "body"),
    ):
        assert problem(send(registry, event), 422)["field"] == field
    assert audits(registry) == []
    assert len(send(registry, created(data_root)).json()["audits"]) == 1


def nested(depth: int) -> list[Any]:
    whole: list[Any] = []
    for _ in range(depth):
        whole = [whole]
    return whole


def test_what_is_not_used_of_an_event_may_be_anything(registry: TestClient, data_root: Path) -> None:
    odd = {"description": "\ud800 \0", "tags": [float("nan"), 10**50, float("inf")], "\ud800": "\0"}
    assert len(send(registry, created(data_root, **odd)).json()["audits"]) == 1


@pytest.mark.parametrize("odd", ["\ud800", "\0", float("nan"), float("inf"), 10**50])
def test_what_is_used_of_an_event_and_cannot_be_is_an_audit_that_ended_in_an_error(
    registry: TestClient, data_root: Path, odd: Any
) -> None:
    before = in_use(registry)
    source = odd if not isinstance(odd, str) else f"{data_root}/v2{odd}"
    (audit,) = refused(registry, created(data_root, source=source))
    assert audit["deployment"] == "east"
    (audit,) = refused(registry, created(data_root, version=odd))
    assert (audit["deployment"], audit["problem"]["field"]) == ("east", "data.version")
    (audit,) = refused(registry, alias() | {"timestamp": odd})
    assert (audit["deployment"], audit["problem"]["field"]) == ("west", "timestamp")
    assert in_use(registry) == before


def test_without_a_secret_nothing_is_heard(client: TestClient, data_root: Path) -> None:
    assert problem(send(client, created(data_root)), 409)["field"] == "mlflow_webhook_secret"
