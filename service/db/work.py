"""Queries on work items. Every time is the database's clock, and every write of a holder names its fence."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, text, update
from sqlalchemy.orm import Session

from service.db.columns import ColumnValues
from service.db.tables import WorkItemRow
from service.domain.ablations import AblationStage
from service.domain.jobs import Job, Stage, StageProgress
from service.domain.json_values import JsonObject
from service.domain.work import (
    AblationLease,
    AnyLease,
    DissectorCheck,
    FinishedItem,
    ItemStatus,
    Lease,
    NewItem,
    PictureLease,
    Preparation,
    PreparationLease,
    Result,
    ShardResult,
    StoredArtifact,
)
from service.errors import ProblemFields

_OWNER = func.coalesce(
    WorkItemRow.job_id,
    WorkItemRow.resource_id,
    WorkItemRow.checked_set_id,
    WorkItemRow.ablation_id,
    WorkItemRow.picture_id,
)
_OPEN = (ItemStatus.READY, ItemStatus.LEASED)
_NOW = func.clock_timestamp()


# The statements of every post and claim are text: building them anew would cost more than running them.
_TURN = text(
    """
    SELECT greatest(
      coalesce((SELECT max(turn) + 1 FROM work_items WHERE queue = :queue AND status IN ('ready', 'leased')), 0),
      coalesce(
        (
          SELECT turn FROM work_items WHERE status = 'ready' AND ready_at < 'infinity'
          ORDER BY priority DESC, turn, id LIMIT 1
        ),
        (SELECT max(turn) FROM work_items WHERE status = 'leased'),
        0
      )
    )
    """
)


def next_turn(session: Session, queue: str) -> int:
    """The turn of a queue's next item: behind the queue's own open ones, and not before the turn that it is now.

    Items go by turn, so queues with much to do and queues with little take turns one by one (start-time fair queueing).
    The items of a job that waits for a check stand still, so they do not say what turn it is.
    """
    turn: int = session.execute(_TURN, {"queue": queue}).scalar_one()
    return turn


_ADD = text(
    """
    INSERT INTO work_items (job_id, stage, position, label, queue, priority, turn, total)
    SELECT :job_id, :stage, number - 1, label, :queue, :priority, :turn + (number - 1) * :step, total
    FROM unnest(CAST(:labels AS text[]), CAST(:totals AS int[])) WITH ORDINALITY AS item (label, total, number)
    """
)


def add_items(
    session: Session,
    job: Job,
    stage: Stage,
    items: Sequence[NewItem],
    *,
    turn: int,
    consecutive: bool,
) -> None:
    """Add a stage's items, ready to be taken. consecutive: each has a turn of its own, from `turn` on."""
    queue = job.request.queue
    priority = job.request.priority
    values = {"job_id": job.id, "stage": stage, "queue": queue, "priority": priority, "turn": turn}
    labels = [item.label for item in items]
    totals = [item.total for item in items]
    session.execute(_ADD, {**values, "labels": labels, "totals": totals, "step": int(consecutive)})


_ASK = text(
    """
    INSERT INTO work_items (resource_id, stage, position, queue, priority, turn, total)
    VALUES (:resource_id, :stage, 0, :queue, :priority, :turn, :total)
    ON CONFLICT (resource_id, stage) DO UPDATE SET
      status = 'ready', attempt = 0, done = 0, turn = excluded.turn, total = excluded.total,
      priority = excluded.priority, ready_at = clock_timestamp(), started_at = NULL, result = NULL, problem = NULL
      WHERE work_items.status IN ('done', 'withdrawn')
    RETURNING id
    """
)


def add_preparation(
    session: Session, resource_id: UUID, stage: Preparation, *, queue: str, turn: int, total: int, priority: int = 0
) -> bool:
    """Have a registered thing prepared, or prepared again; False where that is under way already."""
    values = {"resource_id": resource_id, "stage": stage, "queue": queue, "turn": turn, "total": total}
    values["priority"] = priority
    return session.execute(_ASK, values).first() is not None


def find_preparation(
    session: Session, resource_id: UUID, stage: Preparation
) -> tuple[ItemStatus, ProblemFields | None] | None:
    """Where a preparation stands, and the problem that it met last; None where nobody has asked for it."""
    query = select(WorkItemRow.status, WorkItemRow.problem)
    row = session.execute(query.where(WorkItemRow.resource_id == resource_id, WorkItemRow.stage == stage)).first()
    return None if row is None else (ItemStatus(row.status), row.problem)


def find_preparations(
    session: Session, resource_ids: Sequence[UUID], stage: Preparation
) -> dict[UUID, tuple[ItemStatus, ProblemFields | None]]:
    """`find_preparation` of several; no entry where nobody has asked for it."""
    owner = WorkItemRow.resource_id.label("owner")
    query = select(owner, WorkItemRow.status, WorkItemRow.problem)
    rows = session.execute(query.where(owner.in_(resource_ids), WorkItemRow.stage == stage))
    return {row.owner: (ItemStatus(row.status), row.problem) for row in rows}


def find_check(session: Session, dissector_id: UUID) -> DissectorCheck | None:
    """What opening a dissector has found; None where nobody has opened it, or it is being opened again."""
    query = select(WorkItemRow.result).where(
        WorkItemRow.resource_id == dissector_id, WorkItemRow.stage == Preparation.INSPECT
    )
    result = session.scalar(query)
    return cast("DissectorCheck", result) if result else None


def lock_preparation(session: Session, lease: PreparationLease) -> bool:
    """Keep a held item from changing until the transaction ends; False where it is no longer ours."""
    query = select(WorkItemRow.id).where(*_held(lease)).with_for_update()
    return session.scalar(query) is not None


def last_problem(session: Session, lease: PreparationLease | PictureLease) -> ProblemFields | None:
    """The problem that an item met in the attempt before, if it met any."""
    return session.scalar(select(WorkItemRow.problem).where(WorkItemRow.id == lease.item_id))


_CLAIM = text(
    """
    UPDATE work_items SET
      status = 'leased', attempt = attempt + 1, fence = fence + 1, worker = :worker, done = 0,
      lease_expires_at = clock_timestamp() + :lease,
      started_at = coalesce(started_at, clock_timestamp()), updated_at = clock_timestamp()
    WHERE id = (
      SELECT id FROM work_items WHERE status = 'ready' AND ready_at <= clock_timestamp()
      ORDER BY priority DESC, turn, id LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, job_id, resource_id, checked_set_id, ablation_id, picture_id, stage, position, label, attempt, fence
    """
)


def claim_item(session: Session, worker: str, lease: timedelta) -> AnyLease | None:
    """Take the item whose turn it is, or None where none is ready. Claims never wait for one another."""
    row = session.execute(_CLAIM, {"worker": worker, "lease": lease}).first()
    return None if row is None else _lease(row)


def extend_lease(session: Session, lease: AnyLease, duration: timedelta, *, done: int) -> bool:
    """Keep holding an item, and say how much of it is done; False where it is no longer ours to hold."""
    values = {"lease_expires_at": _NOW + duration, "updated_at": _NOW, "done": done}
    return _write(session, lease, values)


def is_held(session: Session, lease: AnyLease) -> bool:
    """Is the item still in the hands of this holder?"""
    query = select(WorkItemRow.id).where(*_held(lease))
    return session.scalar(query) is not None


def finish_item(session: Session, lease: AnyLease, result: JsonObject) -> bool:
    """Mark an item done; False where it is no longer ours."""
    values = {
        "status": ItemStatus.DONE,
        "result": dict(result),
        "done": WorkItemRow.total,
        "updated_at": _NOW,
        "lease_expires_at": None,
        "problem": None,
    }
    return _write(session, lease, values)


def hand_back_item(
    session: Session,
    lease: AnyLease,
    *,
    wait: timedelta = timedelta(0),
    problem: ProblemFields | None = None,
    uncounted: bool = False,
    turn: int | None = None,
) -> bool:
    """Make an item ready again, after a while; False where it is no longer ours.

    uncounted: this was no attempt, so the problem of the last one stays. turn: None for the one that it had.
    """
    stored_problem = None if problem is None else dict(problem)
    values: ColumnValues = {
        "status": ItemStatus.READY,
        "ready_at": _NOW + wait,
        "lease_expires_at": None,
        "problem": WorkItemRow.problem if uncounted else stored_problem,
        "attempt": WorkItemRow.attempt - int(uncounted),
        "turn": WorkItemRow.turn if turn is None else turn,
        "done": 0,
    }
    return _write(session, lease, values)


def give_up_item(
    session: Session, lease: PreparationLease | AblationLease | PictureLease, problem: ProblemFields
) -> bool:
    """Take an item out of everybody's hands for the problem that it met; False where it is no longer ours."""
    values: ColumnValues = {"status": ItemStatus.WITHDRAWN, "lease_expires_at": None, "problem": dict(problem)}
    return _write(session, lease, values)


def withdraw_items(session: Session, job_id: UUID) -> None:
    """Take a job's open items out of everybody's hands."""
    statement = update(WorkItemRow).where(WorkItemRow.job_id == job_id, WorkItemRow.status.in_(_OPEN))
    session.execute(statement.values(status=ItemStatus.WITHDRAWN, lease_expires_at=None))


def restore_items(session: Session, job_id: UUID, *, turn: int) -> None:
    """Make a job's withdrawn items ready again, with their attempts forgotten."""
    statement = update(WorkItemRow).where(WorkItemRow.job_id == job_id, WorkItemRow.status == ItemStatus.WITHDRAWN)
    values = {"status": ItemStatus.READY, "attempt": 0, "done": 0, "ready_at": _NOW, "turn": turn, "problem": None}
    session.execute(statement.values(values))


def release_expired_items(session: Session, *, max_attempts: int) -> list[UUID]:
    """Make items ready again whose holders have fallen silent and that may be tried again.

    Returns the job, registered thing, ablation or picture of each.
    """
    expired = (
        select(WorkItemRow.id).where(*_expired(), WorkItemRow.attempt < max_attempts).with_for_update(skip_locked=True)
    )
    statement = update(WorkItemRow).where(WorkItemRow.id.in_(expired.scalar_subquery()))
    values = {"status": ItemStatus.READY, "lease_expires_at": None, "ready_at": _NOW, "done": 0, "problem": None}
    return list(session.scalars(statement.values(values).returning(_OWNER)))


def exhausted_leases(session: Session, *, max_attempts: int) -> list[AnyLease]:
    """Expired leases of items that may not be tried again."""
    query = select(*_LEASE).where(*_expired(), WorkItemRow.attempt >= max_attempts)
    return [_lease(row) for row in session.execute(query)]


def is_still_expired(session: Session, lease: AnyLease) -> bool:
    """Has that very lease expired, and nobody taken the item since?"""
    query = select(WorkItemRow.id).where(*_held(lease), *_expired())
    return session.scalar(query) is not None


def ready_items(session: Session, *, longer_than: timedelta, limit: int) -> list[UUID]:
    """The job, registered thing, ablation or picture of each item that nobody has taken so long, most urgent first."""
    query = select(_OWNER).where(WorkItemRow.status == ItemStatus.READY, WorkItemRow.ready_at < _NOW - longer_than)
    return list(session.scalars(query.order_by(WorkItemRow.priority.desc(), WorkItemRow.turn).limit(limit)))


def more_is_ready(session: Session) -> bool:
    """Is there an item that could be taken now?"""
    query = select(WorkItemRow.id).where(WorkItemRow.status == ItemStatus.READY, WorkItemRow.ready_at <= _NOW)
    return session.scalar(query.limit(1)) is not None


def open_items(session: Session, job_id: UUID) -> int:
    """How many of a job's items are not done."""
    query = select(func.count()).where(WorkItemRow.job_id == job_id, WorkItemRow.status != ItemStatus.DONE)
    return session.execute(query).scalar_one()


def finished_shards(session: Session, job_id: UUID) -> list[FinishedItem[ShardResult]]:
    """The probed shards of a job, by position."""
    return _finished(session, job_id, Stage.PROBE)


def finished_layers(session: Session, job_id: UUID) -> list[FinishedItem[StoredArtifact]]:
    """The scored layers of a job, by position."""
    return _finished(session, job_id, Stage.SCORE)


def item_turn(session: Session, item_id: UUID) -> int:
    """The turn of an item, which those that it opens inherit."""
    return session.execute(select(WorkItemRow.turn).where(WorkItemRow.id == item_id)).scalar_one()


def stage_progress(session: Session, job_ids: Sequence[UUID]) -> dict[UUID, list[StageProgress]]:
    """How far each stage of each job has come, in the order of the stages."""
    is_done = WorkItemRow.status == ItemStatus.DONE
    query = (
        select(
            WorkItemRow.job_id,
            WorkItemRow.stage,
            func.sum(WorkItemRow.done),
            func.sum(WorkItemRow.total),
            func.count(),
            func.sum(case((is_done, 1), else_=0)),
            func.min(WorkItemRow.started_at),
            func.max(WorkItemRow.updated_at),
        )
        .where(WorkItemRow.job_id.in_(job_ids))
        .group_by(WorkItemRow.job_id, WorkItemRow.stage)
    )

    progress_of_job: dict[UUID, list[StageProgress]] = {}
    for job_id, stage, *figures in session.execute(query):
        progress_of_job.setdefault(job_id, []).append(StageProgress(Stage(stage), *figures))

    order = list(Stage)
    for stages in progress_of_job.values():
        stages.sort(key=lambda progress: order.index(progress.stage))
    return progress_of_job


_LEASE = (
    WorkItemRow.id,
    WorkItemRow.job_id,
    WorkItemRow.resource_id,
    WorkItemRow.checked_set_id,
    WorkItemRow.ablation_id,
    WorkItemRow.picture_id,
    WorkItemRow.stage,
    WorkItemRow.position,
    WorkItemRow.label,
    WorkItemRow.attempt,
    WorkItemRow.fence,
)


def _lease(row: Any) -> AnyLease:
    item_id, job_id, resource_id, checked_set_id, ablation_id, picture_id, stage, position, label, attempt, fence = row
    if picture_id is not None:
        return PictureLease(item_id, picture_id, attempt, fence)
    if ablation_id is not None:
        return AblationLease(item_id, ablation_id, AblationStage(stage), position, attempt, fence)
    if job_id is None:
        return PreparationLease(item_id, resource_id or checked_set_id, Preparation(stage), attempt, fence, position)
    return Lease(item_id, job_id, Stage(stage), position, label, attempt, fence)


def _finished(session: Session, job_id: UUID, stage: Stage) -> list[FinishedItem[Result]]:
    query = select(WorkItemRow.position, WorkItemRow.label, WorkItemRow.result).where(
        WorkItemRow.job_id == job_id, WorkItemRow.stage == stage, WorkItemRow.status == ItemStatus.DONE
    )
    rows = session.execute(query.order_by(WorkItemRow.position)).all()
    return [FinishedItem(row.position, row.label, cast("Result", row.result)) for row in rows]


def _expired() -> tuple[ColumnElement[bool], ...]:
    # A claim sets the expiry itself, so a holder that never sent a heartbeat expires too.
    return WorkItemRow.status == ItemStatus.LEASED, WorkItemRow.lease_expires_at < _NOW


def _held(lease: AnyLease) -> tuple[ColumnElement[bool], ...]:
    return (
        WorkItemRow.id == lease.item_id,
        WorkItemRow.status == ItemStatus.LEASED,
        WorkItemRow.fence == lease.fence,
    )


def _write(session: Session, lease: AnyLease, values: ColumnValues) -> bool:
    statement = update(WorkItemRow).where(*_held(lease)).values(values)
    return session.scalar(statement.returning(WorkItemRow.id)) is not None
