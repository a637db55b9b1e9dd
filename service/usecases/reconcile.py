"""Set right what was lost: messages, workers, preparations. Several schedulers may do so at once."""

from datetime import timedelta

from service.db.resources import get_resource, unprepared_resources
from service.db.session import Sessions, transaction
from service.db.work import ready_items
from service.ports import JobQueue
from service.usecases.preparations import prepare
from service.usecases.wake import wake_worker
from service.usecases.work import reap

MOST_MESSAGES = 16
"""A worker that was woken goes on until nothing is ready, so more messages than workers are of no use."""

RESEND_AFTER = timedelta(seconds=3)


def reconcile(sessions: Sessions, queue: JobQueue, *, max_attempts: int) -> None:
    """Free items of lost workers, then wake workers for items that still wait.

    Only as many messages are sent as the broker lacks: where every worker is busy, they do not pile up.
    Raises Unavailable where database or broker cannot be reached.
    """
    freed = reap(sessions, max_attempts=max_attempts)
    _prepare_the_unprepared(sessions, queue)
    with transaction(sessions) as session:
        waiting = ready_items(session, longer_than=RESEND_AFTER, limit=MOST_MESSAGES)
    if not freed and not waiting:
        return

    lacking = max(0, MOST_MESSAGES - queue.waiting())
    for identifier in [*freed, *waiting][:lacking]:
        wake_worker(queue, identifier)


def _prepare_the_unprepared(sessions: Sessions, queue: JobQueue) -> None:
    with transaction(sessions) as session:
        for resource_id, stage in unprepared_resources(session):
            prepare(session, queue, get_resource(session, resource_id), stage)
