"""The worker's Celery application: one task that carries an id and leaves no result in the broker."""

from collections.abc import Mapping

from celery import Celery
from celery.signals import worker_shutdown, worker_shutting_down

from broker.queue import CeleryJobQueue, open_broker
from service.config import Settings, read_settings
from service.db.session import open_sessions
from service.files import data_roots
from service.pipelines.child_process import DISSECTION, ChildProcess
from service.pipelines.host import WorkerHost
from service.ports import WORK_TASK
from service.storage import open_store


def create_worker(
    settings: Settings | None = None, *, runner: str = DISSECTION, variables: Mapping[str, str] | None = None
) -> Celery:
    """Build the application with its task. Nothing connects yet. Raises InvalidInput for missing settings.

    runner: `module:function` that builds what the worker's child computes with.
    variables: of the environment, that the child gets on top of the usual ones.
    """
    settings = read_settings() if settings is None else settings
    data_roots(settings)  # what its child would refuse later
    app = open_broker(settings.broker_url, consuming=True)
    sessions = open_sessions(settings.database_url)
    store = open_store(settings.artifacts_url)
    queue = CeleryJobQueue(open_broker(settings.broker_url))
    child = ChildProcess(settings, runner, variables=variables)
    host = WorkerHost(sessions, settings, queue, store, child)

    def work(_identifier: str) -> None:
        host.work()

    def stop(**_: object) -> None:
        host.stop()

    def close(**_: object) -> None:
        host.close()

    app.task(name=WORK_TASK)(work)
    worker_shutting_down.connect(stop, weak=False)
    worker_shutdown.connect(close, weak=False)
    return app
