"""Where a registered version lies: what is followed at once, what only workers fetch, and what cannot be followed."""

import hashlib
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from service.db.session import Sessions, transaction
from service.db.work import claim_item
from service.domain import digests
from service.domain.resources import ResourceKind
from service.domain.work import Preparation, PreparationLease
from service.errors import ProblemFields
from service.files import DataRoots
from service.usecases.followings import follow_fetched
from service.usecases.preparation_work import complete_preparation, fail_preparation
from service.usecases.resources import find_resource
from tests.api.registry_events import alias, audits, created, in_use, reasons_told, refused, registry, send
from tests.api.test_audits import baseline, deployed
from tests.api.test_problems import problem
from tests.usecases.factories import RecordingQueue

__all__ = ["baseline", "deployed", "registry"]


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
