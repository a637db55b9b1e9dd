"""The application on a fresh database, with a queue that remembers instead of a broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from service.signatures import SigningKey
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
def client(database_url: str, data_root: Path, queue: RecordingQueue) -> Iterator[TestClient]:
    settings = Settings(
        database_url=SecretStr(database_url),
        broker_url=SecretStr("redis://localhost:1"),
        api_key=SecretStr("open sesame"),
        data_roots=str(data_root),
    )
    app = create_app(settings)
    app.state.queue = queue
    with TestClient(app, headers={"Authorization": "Bearer open sesame"}, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def named(database_url: str, data_root: Path, tmp_path: Path) -> Iterator[FastAPI]:
    """The application with a signing key, keys with names, and no key without one."""
    SigningKey.create(tmp_path / "key.pem")
    app = create_app(
        Settings(
            database_url=SecretStr(database_url),
            broker_url=SecretStr("redis://localhost:1"),
            api_keys=SecretStr("radiology=first==,it=second"),
            data_roots=str(data_root),
            signing_key=str(tmp_path / "key.pem"),
        )
    )
    app.state.queue = RecordingQueue()
    yield app
    app.state.sessions.kw["bind"].dispose()
