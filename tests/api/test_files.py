"""Registering files: none holds a connection while it is read, and what is no file is refused at once."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.db.session import Sessions, transaction
from service.files import WrittenMeanwhile
from service.usecases import audits, files, manifests, models, resources
from service.usecases.schedules import pause_schedule
from tests.api.registry_events import alias, created, registry, send
from tests.api.test_audits import baseline, deployed
from tests.api.test_problems import problem
from tests.probes.dicom_files import film

__all__ = ["baseline", "deployed", "registry"]
pytestmark = pytest.mark.timeout(60)


def bodies(data_root: Path, path: Path) -> dict[str, dict[str, str]]:
    """What registers a path, by the route."""
    return {
        "/models": {"name": "m", "checkpoint": str(path), "architecture": "timm/resnet18"},
        "/probe-sets": {"name": "p", "manifest": str(path)},
        "/dissectors": {"name": "d", "path": str(path)},
    }


@pytest.mark.parametrize("kind", ["fifo", "device", "file of the kernel"])
def test_what_is_no_file_is_refused_at_once(client: TestClient, data_root: Path, kind: str) -> None:
    path = data_root / "thing.csv"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "/proc/self/status")
    for route, body in bodies(data_root, path).items():
        answer = problem(client.post(route, json=body), 422)
        assert answer["remedy"]
        assert client.get(route).json()["items"] == []


@pytest.mark.parametrize("route", ["/models", "/dissectors"])
def test_a_file_of_holes_is_refused_before_it_is_read(client: TestClient, data_root: Path, route: str) -> None:
    folder = data_root / "d"
    folder.mkdir()
    (folder / "dissector.json").write_text("{}")
    with (folder / "holes.pt").open("wb") as file:
        file.truncate(8 << 40)
    path = folder if route == "/dissectors" else folder / "holes.pt"
    answer = problem(client.post(route, json=bodies(data_root, path)[route]), 422)
    assert "it has 8,192.0 GB, and MAX_FILE_GB allows 32.0" in answer["detail"]
    assert "raise MAX_FILE_GB" in answer["remedy"]


@pytest.mark.parametrize("route", ["/models", "/probe-sets", "/dissectors"])
def test_no_connection_is_held_while_files_are_read(
    client: TestClient, data_root: Path, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(data_root / "0.png"), film(8, 40, 30, seed=1))
    (data_root / "m.csv").write_text("image\n0.png\n")
    (data_root / "d").mkdir()
    (data_root / "d" / "dissector.json").write_text("{}")
    held: list[int] = []

    def watched(read: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*parts: Any, **more: Any) -> Any:
            held.append(client.app.state.sessions.kw["bind"].pool.checkedout())  # type: ignore[attr-defined]
            return read(*parts, **more)

        return wrapped

    for module, name in (
        (models, "digest_of_located"),
        (manifests, "read_manifest"),
        (resources, "digest_of_directory"),
    ):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    path = data_root / "d" if route == "/dissectors" else data_root / "m.csv"
    answer = client.post(route, json=bodies(data_root, path)[route])
    assert answer.status_code == 201, answer.text
    assert held == [0]


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("POST", "/audits", {"deployment": "east"}),
        ("POST", "/audits", {"deployment": "east", "target": "CHECKPOINT"}),
        ("POST", "/deployments", {"name": "north", "policy": "screening", "baseline": "BASELINE"}),
        ("PATCH", "/deployments/east", {"policy": "screening"}),
        ("POST", "/deployments/east/versions", {"target": "CHECKPOINT", "audit": True}),
        ("POST", "/schedules/nightly/run", None),
        ("POST", "/registry-events", "created"),
        ("POST", "/registry-events", "alias"),
    ],
)
def test_no_call_holds_a_connection_while_it_reads_and_each_file_is_read_once(
    registry: TestClient, data_root: Path, method: str, route: str, body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = {"name": "nightly", "deployment": "east", "cron": "0 2 * * *"}
    assert registry.post("/schedules", json=schedule).status_code == 201
    follower = {"name": "south", "policy": "screening", "baseline": baseline_of(registry)}
    assert registry.post("/deployments", json={**follower, "registered_model": "screening@champion"}).status_code == 201
    if body == "alias":
        send(registry, created(data_root))

    held, paths = watch(registry, monkeypatch)
    if route == "/registry-events":
        answer = send(registry, created(data_root) if body == "created" else alias())
    else:
        answer = registry.request(method, route, json=filled(registry, data_root, body))
    assert answer.status_code in (200, 201, 202), answer.text
    assert held
    assert set(held) == {0}
    assert len(set(paths)) == len(paths)


def test_the_checkpoint_of_a_job_is_read_before_the_session_is_used(
    registry: TestClient, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, _ = watch(registry, monkeypatch)
    parts = {"dissector": "nothing", "probe_set": "probes", "concept_set": "nothing", "layers": ["x"]}
    target = {"checkpoint": str(data_root / "target.pt"), "architecture": "a"}
    answer = problem(registry.post("/jobs", json={"target": target, **parts}), 404)
    assert answer["field"] == "dissector"
    assert held == [0]


PASSING = [OSError(errno.EIO, "Input/output error"), OSError(errno.EMFILE, "Too many files"), WrittenMeanwhile()]


@pytest.mark.parametrize("trouble", [*PASSING, OSError(errno.ESTALE, "Stale file handle")], ids=str)
def test_what_cannot_be_read_for_now_is_asked_for_later_and_nobodys_fault(
    registry: TestClient, data_root: Path, trouble: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data_root / "d"
    folder.mkdir()
    (folder / "dissector.json").write_text("{}")
    checkpoint = {"checkpoint": str(data_root / "target.pt"), "architecture": "a"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/models", {"name": "again", **checkpoint}),
        ("/dissectors", {"name": "d", "path": str(folder)}),
        ("/audits", {"deployment": "east"}),
    ]
    with monkeypatch.context() as failing:
        fail_to_read(failing, trouble)
        for route, body in calls:
            before = registry.get(route).json()
            answer = problem(registry.post(route, json=body), 503)
            assert answer["type"].endswith("file-out-of-reach")
            assert f"cannot be read now: {trouble.strerror}." in answer["detail"]
            assert answer["remedy"].endswith("try again.")
            assert registry.get(route).json() == before
        problem(send(registry, created(data_root)), 503)
        assert registry.get("/audits").json()["items"] == []

    for route, body in calls:
        answered = registry.post(route, json=body)
        assert answered.status_code in (200, 201, 202), answered.text
    assert len(send(registry, created(data_root)).json()["audits"]) == 1


def test_a_file_whose_status_cannot_be_had_for_now_is_asked_for_later(
    client: TestClient, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "exists", fail)
    for route, body in bodies(data_root, data_root / "m.csv").items():
        assert problem(client.post(route, json=body), 503)["field"] in body


def fail_to_read(monkeypatch: pytest.MonkeyPatch, trouble: OSError) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise trouble

    for module in (audits, files):
        monkeypatch.setattr(module, "digest_of_file", fail)
    monkeypatch.setattr(resources, "digest_of_directory", fail)


def baseline_of(client: TestClient) -> str:
    return str(client.get("/deployments/east").json()["baseline"])


def filled(client: TestClient, data_root: Path, body: dict[str, Any] | None) -> dict[str, Any] | None:
    checkpoint = {"checkpoint": str(data_root / "v2" / "model.safetensors"), "architecture": "a"}
    places = {"CHECKPOINT": checkpoint, "BASELINE": baseline_of(client)}
    return None if body is None else {name: places.get(str(value), value) for name, value in body.items()}


def watch(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[Path]]:
    """Connections held at each reading of a file from now on, and which file it was."""
    held: list[int] = []
    read: list[Path] = []
    pool = client.app.state.sessions.kw["bind"].pool  # type: ignore[attr-defined]

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Path, *parts: Any, **more: Any) -> Any:
            held.append(pool.checkedout())
            read.append(path)
            return function(path, *parts, **more)

        return wrapped

    for module, name in ((files, "digest_of_file"), (audits, "digest_of_file"), (manifests, "read_manifest")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    return held, read


def test_a_drive_that_hangs_holds_no_lock_of_its_schedule(
    registry: TestClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = {"name": "nightly", "deployment": "east", "cron": "0 2 * * *"}
    assert registry.post("/schedules", json=schedule).status_code == 201
    paused: list[bool] = []

    def hanging(*_: Any) -> str:
        with transaction(sessions) as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            paused.append(pause_schedule(session, "nightly").paused)
        return "0" * 64

    monkeypatch.setattr(audits, "digest_of_file", hanging)
    assert registry.post("/schedules/nightly/run").status_code == 202
    assert paused == [True]
