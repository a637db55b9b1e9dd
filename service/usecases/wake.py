"""Wake a worker, knowing that the message may be lost: the row is the truth and the scheduler sends it again."""

from uuid import UUID

import structlog

from service.errors import Unavailable
from service.ports import JobQueue

log = structlog.get_logger()


def wake(queue: JobQueue, task: str, identifier: UUID) -> None:
    """Publish the message; where the broker cannot be reached, log it and go on."""
    try:
        queue.publish(task, identifier)
    except Unavailable:
        log.warning("broker unreachable, the scheduler will send the message again", task=task, id=str(identifier))
