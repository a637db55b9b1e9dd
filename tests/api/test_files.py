"""Registering files: none holds a connection while it is read, and what is no file is refused at once."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from fastapi.testclient import TestClient

from service.usecases import resources
from tests.api.test_problems import problem
from tests.probes.dicom_files import film

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

    for name in ("digest_of_located", "read_manifest", "digest_of_directory"):
        monkeypatch.setattr(resources, name, watched(getattr(resources, name)))
    path = data_root / "d" if route == "/dissectors" else data_root / "m.csv"
    answer = client.post(route, json=bodies(data_root, path)[route])
    assert answer.status_code == 201, answer.text
    assert held == [0]
