"""Wake workers, knowing that a message may be lost: the rows are the truth and the scheduler sends it again."""

from uuid import UUID

import structlog

from service.errors import Unavailable
from service.ports import WORK_TASK, JobQueue

MOST_MESSAGES = 16
"""A worker that was woken goes on until nothing is ready, so more messages than workers are of no use."""

log = structlog.get_logger()


def wake(queue: JobQueue, task: str, identifier: UUID) -> bool:
    """Publish the message; where the broker cannot be reached, log it and return False."""
    try:
        queue.publish(task, identifier)
    except Unavailable:
        log.warning("broker unreachable, the scheduler will send the message again", task=task, id=str(identifier))
        return False
    return True


def wake_workers(queue: JobQueue, job_id: UUID, items: int) -> None:
    """Wake a worker for each of a job's new items, up to the number that is of use."""
    for _ in range(min(items, MOST_MESSAGES)):
        if not wake(queue, WORK_TASK, job_id):
            return
