"""Worker and scheduler do not start where it was not said which files they may read."""

import threading

import pytest
from pydantic import SecretStr

import workers.duties
from service.config import Settings
from service.errors import InvalidInput
from workers.app import create_worker


@pytest.fixture
def settings() -> Settings:
    return Settings(
        database_url=SecretStr("postgresql+psycopg://"),
        broker_url=SecretStr("redis://localhost:1"),
        artifacts_url="file:///nowhere",
    )


def test_the_worker_refuses_to_start_without_data_roots(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match="DATA_ROOTS is not set"):
        create_worker(settings)


def test_the_scheduler_refuses_to_start_without_data_roots(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match="DATA_ROOTS is not set"):
        workers.duties.run(settings, threading.Event())
