"""What becomes of a picture's work item, and through it of the picture: see `service.usecases.work`.

Every function is one transaction's work. Whoever changes a picture locks its row before its item, and whoever writes
for a holder checks the fence. A picture that was deleted with its job meanwhile is nobody's any more.
"""

from uuid import UUID

from sqlalchemy.orm import Session

from service.db import drawings as queries
from service.db import work
from service.db.session import on_commit
from service.domain.pictures import MOST_BYTES
from service.domain.work import PictureLease
from service.errors import LeaseLost, ProblemFields
from service.ports import JobQueue
from service.usecases.accidents import MEMORY_LIMIT, TIME_LIMIT, WORKER_LOST, wait_after
from service.usecases.wake import wake_worker

_LIMITS = {TIME_LIMIT, MEMORY_LIMIT}
"""What reaches one twice running would do so for ever, and hold up a worker each time."""


def complete_drawing(session: Session, lease: PictureLease, data: bytes, sha256: str) -> None:
    """Store a picture; older ones of the job may go to make room. Raises LeaseLost."""
    job_id = _lock_held(session, lease)
    work.finish_item(session, lease, {"sha256": sha256})
    queries.keep_drawing(session, lease.picture_id, data, sha256)
    queries.trim_pictures(session, job_id, most=MOST_BYTES, but=lease.picture_id)


def fail_drawing(session: Session, lease: PictureLease, problem: ProblemFields) -> None:
    """Note why a picture cannot be drawn: trying again would meet the same error. Raises LeaseLost."""
    _lock_held(session, lease)
    _give_up(session, lease, problem)


def try_drawing_again(session: Session, lease: PictureLease, problem: ProblemFields, *, max_attempts: int) -> None:
    """Hand an item back after an accident, to be tried again a little later, or give it up. Raises LeaseLost."""
    _lock_held(session, lease)
    if lease.attempt >= max_attempts or _reaches_limits(session, lease, problem):
        _give_up(session, lease, _tried_too_often(lease, problem))
    else:
        work.hand_back_item(session, lease, wait=wait_after(lease.attempt), problem=problem)


def hand_back_drawing(session: Session, queue: JobQueue, lease: PictureLease) -> None:
    """Make an item ready again whose worker is told to stop; it counts as no attempt. Raises LeaseLost."""
    if not work.hand_back_item(session, lease, uncounted=True):
        raise _lost(lease)
    on_commit(session, lambda: wake_worker(queue, lease.picture_id))


def reap_drawing(session: Session, lease: PictureLease) -> None:
    """Give up a picture whose last holder has fallen silent, unless it has been heard of."""
    if queries.lock_picture(session, lease.picture_id) is not None and work.is_still_expired(session, lease):
        _give_up(session, lease, _tried_too_often(lease, WORKER_LOST))


def _give_up(session: Session, lease: PictureLease, problem: ProblemFields) -> None:
    work.give_up_item(session, lease, problem)
    queries.keep_problem(session, lease.picture_id, problem)


def _reaches_limits(session: Session, lease: PictureLease, problem: ProblemFields) -> bool:
    """Did this attempt and the one before it both reach a limit?"""
    previous = work.last_problem(session, lease)
    return previous is not None and {previous["code"], problem["code"]} <= _LIMITS


def _tried_too_often(lease: PictureLease, problem: ProblemFields) -> ProblemFields:
    times = "once" if lease.attempt == 1 else f"{lease.attempt} times"
    return {
        "code": problem["code"],
        "title": problem["title"],
        "detail": f"It was tried {times}. The last time: {problem['detail']}",
        "remedy": problem.get("remedy", "Check the workers' logs and memory."),
    }


def _lock_held(session: Session, lease: PictureLease) -> UUID:
    """The job of a held item's picture, which is locked. Raises LeaseLost."""
    job_id = queries.lock_picture(session, lease.picture_id)
    if job_id is None or not work.is_held(session, lease):
        raise _lost(lease)
    return job_id


def _lost(lease: PictureLease) -> LeaseLost:
    return LeaseLost(f"The lease on picture {lease.picture_id} is no longer this worker's, or its job was deleted.")
