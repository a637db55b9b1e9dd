"""What becomes of a job's work item, and through it of the job: begun, finished, tried again, given up, reaped.

Every function is one transaction's work. Whoever changes a job locks its row before those of its items, so that nobody
waits for anybody in a circle; and whoever writes for a holder checks the fence, so that a worker that was thought lost
and comes back changes nothing.
"""

from uuid import UUID

from sqlalchemy.orm import Session

from service.db import work as queries
from service.db.events import add_event
from service.db.jobs import job_status, lock_job, move_job
from service.db.session import Sessions, on_commit, transaction
from service.domain.jobs import Job, JobStatus, Stage, digest_of_status
from service.domain.json_values import JsonObject
from service.domain.manifests import JobManifest
from service.domain.trail import SCHEDULER
from service.domain.work import AblationLease, Lease, NewItem, PictureLease, PreparationLease
from service.errors import LeaseLost, ProblemFields
from service.ports import JobQueue
from service.usecases import ablation_work
from service.usecases.accidents import WORKER_LOST, wait_after
from service.usecases.drawing_work import reap_drawing
from service.usecases.job_alerts import tell_of_job
from service.usecases.preparation_work import reap_preparation
from service.usecases.trail import record
from service.usecases.wake import wake_worker


def begin_item(session: Session, lease: Lease) -> bool:
    """Mark the item's job as running; False, and nothing is left to do for it, where it has ended in the meantime."""
    if job_status(session, lease.job_id) is JobStatus.RUNNING:
        return True

    job = _lock(session, lease.job_id)
    if job.status is JobStatus.QUEUED:
        return move_job(session, lease.job_id, JobStatus.RUNNING)
    if job.status is not JobStatus.RUNNING:
        queries.withdraw_items(session, lease.job_id)
    return job.status is JobStatus.RUNNING


def complete_item(session: Session, queue: JobQueue, lease: Lease, result: JsonObject) -> None:
    """Store what a probe shard or a scored layer left behind; the last of a stage opens the next. Raises LeaseLost."""
    job = _lock_held(session, lease)
    if not queries.finish_item(session, lease, result):
        raise _lost(lease)
    add_event(session, lease.job_id, "item", {"stage": lease.stage, "position": lease.position, "label": lease.label})

    if queries.open_items(session, lease.job_id) == 0:
        _open_next_stage(session, queue, job, lease)


def complete_job(session: Session, lease: Lease, manifest: JobManifest, result: JsonObject) -> None:
    """End the job of a finished store item as succeeded. Raises LeaseLost."""
    job = _lock_held(session, lease)
    if not queries.finish_item(session, lease, result):
        raise _lost(lease)
    move_job(session, lease.job_id, JobStatus.SUCCEEDED, manifest=manifest)
    tell_of_job(session, job, JobStatus.SUCCEEDED)


def fail_job(session: Session, lease: Lease, problem: ProblemFields) -> None:
    """End a job as failed: trying again would meet the same error. Raises LeaseLost."""
    _end(session, _lock_held(session, lease), JobStatus.FAILED, problem)


def try_again(session: Session, lease: Lease, problem: ProblemFields, *, max_attempts: int) -> None:
    """Hand an item back after an accident, to be tried again a little later, or give its job up. Raises LeaseLost."""
    if lease.attempt >= max_attempts:
        _end(session, _lock_held(session, lease), JobStatus.DEAD, _given_up(lease, problem))
        return

    if not queries.hand_back_item(session, lease, wait=wait_after(lease.attempt), problem=problem):
        raise _lost(lease)
    add_event(session, lease.job_id, "accident", {"stage": lease.stage, "position": lease.position, **problem})


def hand_back(session: Session, queue: JobQueue, lease: Lease) -> None:
    """Make an item ready again whose worker is told to stop; it counts as no attempt. Raises LeaseLost."""
    if not queries.hand_back_item(session, lease, uncounted=True):
        raise _lost(lease)
    on_commit(session, lambda: wake_worker(queue, lease.job_id))


def reap(sessions: Sessions, *, max_attempts: int) -> list[UUID]:
    """Free the items of holders that have fallen silent, and give up what has lost too many.

    An item whose holder fell silent before it began the job was never tried, so its last attempt does not count.
    Returns the job, registered thing, ablation or picture of each item that is ready again: nobody has a message for
    those.
    """
    with transaction(sessions) as session:
        freed = queries.release_expired_items(session, max_attempts=max_attempts)
        exhausted = queries.exhausted_leases(session, max_attempts=max_attempts)

    for lease in exhausted:
        with transaction(sessions) as session:
            if isinstance(lease, PreparationLease):
                reap_preparation(session, lease)
            elif isinstance(lease, AblationLease):
                ablation_work.reap(session, lease)
            elif isinstance(lease, PictureLease):
                reap_drawing(session, lease)
            elif _reap_item(session, lease):
                freed.append(lease.job_id)
    return freed


def _reap_item(session: Session, lease: Lease) -> bool:
    """Give up the job of an item that may not be tried again; True where the item may be after all."""
    job = _lock(session, lease.job_id)
    if not queries.is_still_expired(session, lease):
        return False
    if job.status is JobStatus.QUEUED:
        return queries.hand_back_item(session, lease, uncounted=True)
    if job.status is JobStatus.RUNNING:
        _end(session, job, JobStatus.DEAD, _given_up(lease, WORKER_LOST))
        record(
            session,
            actor=SCHEDULER,
            action="give up job",
            subject=f"/jobs/{lease.job_id}",
            before=digest_of_status(JobStatus.RUNNING),
            after=digest_of_status(JobStatus.DEAD),
        )
    return False


def _lock(session: Session, job_id: UUID) -> Job:
    job = lock_job(session, job_id)
    assert job is not None  # noqa: S101 - only old jobs that have ended are deleted
    return job


def _lock_held(session: Session, lease: Lease) -> Job:
    """The job of a held item, locked. Raises LeaseLost where the job has ended or the item is in other hands."""
    job = _lock(session, lease.job_id)
    if job.status is not JobStatus.RUNNING or not queries.is_held(session, lease):
        raise _lost(lease)
    return job


def _open_next_stage(session: Session, queue: JobQueue, job: Job, lease: Lease) -> None:
    layers = _layers(session, job.id) if lease.stage is Stage.PROBE else []
    if layers:
        stage = Stage.SCORE
        items = [NewItem(1, layer) for layer in layers]
    else:
        stage = Stage.STORE
        items = [NewItem(1)]

    turn = queries.item_turn(session, lease.item_id)
    queries.add_items(session, job, stage, items, turn=turn, consecutive=False)
    on_commit(session, lambda: wake_worker(queue, job.id))


def _layers(session: Session, job_id: UUID) -> list[str]:
    """The layers that the shards have found; a shard without a readable image has none."""
    for shard in queries.finished_shards(session, job_id):
        if shard.result["layers"]:
            return list(shard.result["layers"])
    return []


def _end(session: Session, job: Job, status: JobStatus, problem: ProblemFields) -> None:
    queries.withdraw_items(session, job.id)
    move_job(session, job.id, status, problem=problem)
    tell_of_job(session, job, status, problem)


def _given_up(lease: Lease, problem: ProblemFields) -> ProblemFields:
    item = f"layer '{lease.label}'" if lease.label else f"item {lease.position}"
    return {
        "code": "given-up",
        "title": "Job given up",
        "detail": f"{lease.stage}, {item}, was tried {lease.attempt} times. The last time: {problem['detail']}",
        "remedy": "Check the workers' logs and memory; then POST /jobs/{id}/retry goes on where the job stopped.",
    }


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"The lease on the {lease.stage} stage's item {lease.position} is no longer this worker's.")
