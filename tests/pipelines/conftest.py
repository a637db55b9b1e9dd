"""Whole jobs on small networks: their folder, and a worker in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.jobs import Job
from service.pipelines.items import DissectionRunner
from service.usecases.jobs import find_job
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import write_folder
from tests.usecases.factories import RecordingQueue

Run = Callable[[Job], Job]
"""Works until nothing is ready, and gives the job as it is then."""

Work = Callable[[], None]
"""Works until nothing is ready."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        device="cpu",
        artifacts_url=(tmp_path / "artifacts").as_uri(),
        data_roots="/",
    )


@pytest.fixture
def runner(settings: Settings, sessions: Sessions) -> DissectionRunner:
    return DissectionRunner(settings, sessions)


@pytest.fixture
def run(sessions: Sessions, settings: Settings, runner: DissectionRunner) -> Run:
    def finish(job: Job) -> Job:
        inline_host(sessions, settings, runner).work()
        with transaction(sessions) as session:
            return find_job(session, job.id)

    return finish


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The application on the same database, with a queue that remembers instead of a broker."""
    app = create_app(
        settings.model_copy(
            update={"api_key": SecretStr("open sesame"), "broker_url": SecretStr("redis://localhost:1")}
        )
    )
    app.state.queue = RecordingQueue()
    with TestClient(app, headers={"Authorization": "Bearer open sesame"}) as client:
        yield client


@pytest.fixture
def work(sessions: Sessions, settings: Settings, runner: DissectionRunner) -> Work:
    return lambda: inline_host(sessions, settings, runner).work()
