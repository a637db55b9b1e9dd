"""The worker's Celery application: two tasks that carry an id and leave no result in the broker."""

from uuid import UUID

from celery import Celery

from broker.queue import open_broker
from service.config import Settings
from service.db.session import open_sessions
from service.pipelines.inspect_model import inspect_model
from service.pipelines.run_job import run_job
from service.ports import INSPECT_MODEL_TASK, RUN_JOB_TASK


def create_worker(settings: Settings | None = None) -> Celery:
    """Build the application with its tasks. Nothing connects yet. Raises InvalidInput for missing settings."""
    settings = Settings() if settings is None else settings
    app = open_broker(settings.broker_url)
    sessions = open_sessions(settings.database_url)

    def wake_for_job(job_id: str) -> None:
        run_job(sessions, settings, UUID(job_id))

    def wake_for_model(model_id: str) -> None:
        inspect_model(sessions, settings, UUID(model_id))

    app.task(name=RUN_JOB_TASK)(wake_for_job)
    app.task(name=INSPECT_MODEL_TASK)(wake_for_model)
    return app
