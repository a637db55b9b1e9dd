"""Set right what was lost: messages, workers, inspections. Several schedulers may do so at once."""

from datetime import timedelta

from service.db.resources import uninspected_models
from service.db.session import Sessions, transaction
from service.db.work import ready_items
from service.ports import INSPECT_MODEL_TASK, WORK_TASK, JobQueue
from service.usecases.wake import wake
from service.usecases.work import reap

MOST_MESSAGES = 16
"""A worker that was woken goes on until nothing is ready, so more messages than workers are of no use."""

RESEND_AFTER = timedelta(seconds=3)
REINSPECT_AFTER = timedelta(seconds=30)


def reconcile(sessions: Sessions, queue: JobQueue, *, max_attempts: int) -> None:
    """Free items of lost workers, then wake workers for items and models that still wait.

    Only as many messages are sent as the broker lacks: where every worker is busy, they do not pile up.
    Raises Unavailable where database or broker cannot be reached.
    """
    freed = reap(sessions, max_attempts=max_attempts)
    with transaction(sessions) as session:
        jobs = ready_items(session, longer_than=RESEND_AFTER, limit=MOST_MESSAGES)
        models = uninspected_models(session, older_than=REINSPECT_AFTER)
    if not freed and not jobs and not models:
        return
    missing = MOST_MESSAGES - queue.waiting()
    for job_id in [*freed, *jobs][: max(0, missing)]:
        wake(queue, WORK_TASK, job_id)
    for model_id in models if missing > 0 else ():
        wake(queue, INSPECT_MODEL_TASK, model_id)
