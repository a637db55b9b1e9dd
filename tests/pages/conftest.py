"""The pages on a fresh database, and somebody who is signed in."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from service.db.session import Sessions, transaction
from tests.api.wire import listening
from tests.pages.browser import Look, chromium, windows
from tests.pages.results import bare_dissection, stored_dissection
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


# Of a module and not of the session: while Playwright runs, nothing else on its thread can have an event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def look(app: FastAPI, browser: Browser) -> Iterator[Look]:
    """What opens windows of a browser on the pages, served as in production."""
    with listening(app) as port, windows(browser, f"http://127.0.0.1:{port}") as look:
        yield look


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    """A dissection with everything that there may be: see `stored_dissection`."""
    with transaction(sessions) as session:
        return stored_dissection(session)


@pytest.fixture
def bare(sessions: Sessions) -> UUID:
    """A dissection without evidence."""
    with transaction(sessions) as session:
        return bare_dissection(session)
