"""Wake workers, knowing that a message may be lost: the rows are the truth and the scheduler sends it again."""

from uuid import UUID

import structlog

from service.errors import Unavailable
from service.ports import WORK_TASK, JobQueue

log = structlog.get_logger()


def wake_worker(queue: JobQueue, identifier: UUID) -> None:
    """Wake one worker for the items of a job or registered thing; it takes whichever is next.

    One that finds work wakes the next, so one message is enough for any number of items.
    """
    try:
        queue.publish(WORK_TASK, identifier)
    except Unavailable:
        log.warning("broker unreachable, the scheduler will send the message again", id=str(identifier))
