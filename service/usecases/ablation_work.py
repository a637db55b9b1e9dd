"""What becomes of an ablation's work item, and through it of the ablation: see `service.usecases.work`.

Every function is one transaction's work. Whoever changes an ablation locks its row before those of its items, and
whoever writes for a holder checks the fence.
"""

from uuid import UUID

from sqlalchemy.orm import Session

from service.db import ablations as queries
from service.db import work
from service.db.session import on_commit
from service.domain.ablations import AblationStage, AblationStatus
from service.domain.digests import digest_of
from service.domain.json_values import JsonObject
from service.domain.trail import SCHEDULER
from service.domain.work import AblationLease
from service.errors import LeaseLost, ProblemFields
from service.ports import JobQueue
from service.usecases.accidents import WORKER_LOST, wait_after
from service.usecases.trail import record
from service.usecases.wake import wake_worker


def begin_item(session: Session, lease: AblationLease) -> bool:
    """Mark the item's ablation as running; False where it has ended in the meantime."""
    _, status = queries.lock_ablation(session, lease.ablation_id)
    if status not in queries.OPEN:
        queries.withdraw_ablation_items(session, lease.ablation_id)
        return False
    if status is AblationStatus.QUEUED:
        queries.move_ablation(session, lease.ablation_id, AblationStatus.RUNNING)
    return True


def complete_item(session: Session, queue: JobQueue, lease: AblationLease, result: JsonObject) -> None:
    """Store what an item left behind; the last of a stage opens the next, or ends the ablation. Raises LeaseLost."""
    job_id = _lock_held(session, lease)
    if lease.stage is AblationStage.CONCLUDE:
        work.finish_item(session, lease, {})
        queries.move_ablation(session, lease.ablation_id, AblationStatus.SUCCEEDED, result=dict(result))
        return

    work.finish_item(session, lease, result)
    if queries.open_items_of(session, lease.ablation_id) > 0:
        return
    if lease.stage is AblationStage.OUTPUTS:
        turn = work.item_turn(session, lease.item_id)
        queries.add_shards(session, lease.ablation_id, job_id, AblationStage.ABLATE, turn=turn)
    else:
        queries.add_conclusion(session, lease.ablation_id, lease)
    on_commit(session, lambda: wake_worker(queue, lease.ablation_id))


def fail(session: Session, lease: AblationLease, problem: ProblemFields) -> None:
    """End an ablation as failed: trying again would meet the same error. Raises LeaseLost."""
    _lock_held(session, lease)
    _end(session, lease, problem)


def try_again(session: Session, lease: AblationLease, problem: ProblemFields, *, max_attempts: int) -> None:
    """Hand an item back after an accident, to be tried again a little later, or give it up. Raises LeaseLost."""
    _lock_held(session, lease)
    if lease.attempt >= max_attempts:
        _end(session, lease, _given_up(lease, problem))
    else:
        work.hand_back_item(session, lease, wait=wait_after(lease.attempt), problem=problem)


def hand_back(session: Session, queue: JobQueue, lease: AblationLease) -> None:
    """Make an item ready again whose worker is told to stop; it counts as no attempt. Raises LeaseLost."""
    if not work.hand_back_item(session, lease, uncounted=True):
        raise _lost(lease)
    on_commit(session, lambda: wake_worker(queue, lease.ablation_id))


def reap(session: Session, lease: AblationLease) -> None:
    """Give up an ablation whose item's last holder has fallen silent, unless it has been heard of."""
    _, status = queries.lock_ablation(session, lease.ablation_id)
    if status not in queries.OPEN or not work.is_still_expired(session, lease):
        return

    job_id = queries.job_of_ablation(session, lease.ablation_id)
    _end(session, lease, _given_up(lease, WORKER_LOST))
    record(
        session,
        actor=SCHEDULER,
        action="give up ablation",
        subject=f"/jobs/{job_id}/ablations/{lease.ablation_id}",
        before=digest_of({"status": status}),
        after=digest_of({"status": AblationStatus.FAILED}),
    )


def _lock_held(session: Session, lease: AblationLease) -> UUID:
    """The job of a held item's ablation, which is locked. Raises LeaseLost where it has ended or others hold it."""
    job_id, status = queries.lock_ablation(session, lease.ablation_id)
    if status not in queries.OPEN or not work.is_held(session, lease):
        raise _lost(lease)
    return job_id


def _end(session: Session, lease: AblationLease, problem: ProblemFields) -> None:
    queries.withdraw_ablation_items(session, lease.ablation_id)
    queries.move_ablation(session, lease.ablation_id, AblationStatus.FAILED, problem=problem)


def _given_up(lease: AblationLease, problem: ProblemFields) -> ProblemFields:
    times = "once" if lease.attempt == 1 else f"{lease.attempt} times"
    return {
        "code": "given-up",
        "title": "Ablation given up",
        "detail": f"{lease.stage}, item {lease.position}, was tried {times}. The last time: {problem['detail']}",
        "remedy": "Check the workers' logs and memory; then POST the same ablation again goes on where it stopped.",
    }


def _lost(lease: AblationLease) -> LeaseLost:
    return LeaseLost(f"The lease on the {lease.stage} stage's item {lease.position} is no longer this worker's.")
