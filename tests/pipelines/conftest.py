"""Whole jobs on small networks: their folder, and a worker in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.jobs import Job
from service.pipelines.items import DissectionRunner
from service.usecases.jobs import find_job
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import write_folder

Run = Callable[[Job], Job]
"""Works until nothing is ready, and gives the job as it is then."""


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
