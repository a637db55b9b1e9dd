"""The pages on a fresh database, and somebody who is signed in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from tests.pages.visitor import KEY, Visitor
from tests.usecases.factories import RecordingQueue


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    return root


@pytest.fixture
def queue() -> RecordingQueue:
    return RecordingQueue()


@pytest.fixture
def app(database_url: str, data_root: Path, queue: RecordingQueue) -> Iterator[FastAPI]:
    app = create_app(
        Settings(
            database_url=SecretStr(database_url),
            broker_url=SecretStr("redis://localhost:1"),
            api_key=SecretStr(KEY),
            api_keys=SecretStr("radiology=first,it=second"),
            data_roots=str(data_root),
        )
    )
    app.state.queue = queue
    yield app
    app.state.sessions.kw["bind"].dispose()


@pytest.fixture
def stranger(app: FastAPI) -> Visitor:
    """Somebody who has not signed in."""
    return Visitor(app)


@pytest.fixture
def visitor(app: FastAPI) -> Visitor:
    """Somebody who has signed in as `api`."""
    return Visitor(app).sign_in()
