"""How soon a dead worker's item is in other hands, and how soon a cancelled job lets its worker go."""

import os
import signal
import time

from sqlalchemy import text

from service.db.session import transaction
from service.domain.jobs import JobStatus
from service.usecases.jobs import cancel_job
from tests.chaos.field import Field

HOLDER = text("SELECT worker FROM work_items WHERE status = 'leased' AND job_id = :job")
ATTEMPT = text("SELECT attempt FROM work_items WHERE job_id = :job")
ONE_ITEM = 100


def dead_worker_replaced(field: Field) -> float:
    """SIGKILL the holder of an item that takes half a minute: seconds until another worker has it."""
    slow = field.submit("slow", shard_size=ONE_ITEM)
    field.wait(lambda: any(stage.started_at for stage in field.job(slow).progress), patience_s=60)
    with transaction(field.sessions) as session:
        holder = session.execute(HOLDER, {"job": slow}).scalar_one()
    os.kill(int(holder.rsplit("/", 1)[1]), signal.SIGKILL)
    killed = time.monotonic()

    def taken_again() -> bool:
        with transaction(field.sessions) as session:
            return bool(session.execute(ATTEMPT, {"job": slow}).scalar_one() == 2)

    field.wait(taken_again, patience_s=30)
    seconds = time.monotonic() - killed
    with transaction(field.sessions) as session:
        cancel_job(session, slow)
    return seconds


def cancelled_job_stopped(field: Field) -> float:
    """Cancel a job that keeps every worker busy for half a minute: seconds until the job behind it is done.

    Raises AssertionError after 20 s, when the workers can only have gone on.
    """
    slow = field.submit("slow")
    field.wait(lambda: any(stage.started_at for stage in field.job(slow).progress), patience_s=60)
    with transaction(field.sessions) as session:
        cancel_job(session, slow)
    cancelled = time.monotonic()
    following = field.submit("next.a", "next.b")
    field.wait(lambda: field.job(following).status is JobStatus.SUCCEEDED, patience_s=20)
    seconds = time.monotonic() - cancelled
    assert field.job(slow).status is JobStatus.CANCELLED
    return seconds
