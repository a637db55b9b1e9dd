"""A service that listens, and commands that ask it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from tests.api.test_audits import baseline, deployed
from tests.api.test_jobs import body
from tests.api.wire import listening
from tests.cli.conftest import Run
from tests.usecases.factories import RecordingQueue

__all__ = ["baseline", "body", "deployed"]  # fixtures that stand there

KEY = "open sesame"
Ask = Callable[..., Any]


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def queue() -> RecordingQueue:
    return RecordingQueue()


@pytest.fixture
def application(database_url: str, data_root: Path, queue: RecordingQueue) -> FastAPI:
    app = create_app(
        Settings(
            database_url=SecretStr(database_url),
            broker_url=SecretStr("redis://localhost:1"),
            api_key=SecretStr(KEY),
            data_roots=str(data_root),
        )
    )
    app.state.queue = queue
    return app


@pytest.fixture
def url(application: FastAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the service, which the environment names with the file of its key."""
    (tmp_path / "api-key").write_text(f"{KEY}\n")
    with listening(application) as port:
        address = f"http://127.0.0.1:{port}"
        monkeypatch.setenv("MAMMODISSECT_URL", address)
        monkeypatch.setenv("MAMMODISSECT_API_KEY_FILE", str(tmp_path / "api-key"))
        yield address


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """The service without our client."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False) as http:
        yield http


@pytest.fixture
def ask(url: str, run: Run) -> Ask:
    """Run a command that must succeed; the JSON that it printed."""

    def call(*arguments: str) -> Any:
        done = run(*arguments, "--json")
        assert done.status == 0, done.stderr
        return json.loads(done.stdout)

    return call
