"""Wake workers, knowing that a message may be lost: the rows are the truth and the scheduler sends it again."""

from uuid import UUID

import structlog

from service.errors import Unavailable
from service.ports import WORK_TASK, JobQueue

log = structlog.get_logger()


def wake(queue: JobQueue, task: str, identifier: UUID) -> None:
    """Publish the message; where the broker cannot be reached, log it and go on."""
    try:
        queue.publish(task, identifier)
    except Unavailable:
        log.warning("broker unreachable, the scheduler will send the message again", task=task, id=str(identifier))


def wake_worker(queue: JobQueue, job_id: UUID) -> None:
    """Wake one worker. One that finds work wakes the next, so one message is enough for any number of items."""
    wake(queue, WORK_TASK, job_id)
