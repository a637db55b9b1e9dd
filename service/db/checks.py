"""Queries on the checks of probe sets: their items, what they found, and the jobs that wait for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.check_tables import ProbeSetCheckRow
from service.db.tables import JobRow, ResourceRow, WorkItemRow
from service.domain.checks import SetCheck, ShardCheck
from service.domain.work import ItemStatus, Preparation
from service.errors import ProblemFields

_OPEN = (ItemStatus.READY, ItemStatus.LEASED)
_SHARDS_AT_ONCE = 50
_NEVER = text("'infinity'::timestamptz")
"""When the items of a job are ready that waits for a check."""


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """How far the check of a probe set has come."""

    is_open: bool
    """Whether any of it is still to be done."""

    done: int
    total: int
    """Images."""

    unreadable: int | None
    """Images that the last check could not read; None where none was ever done."""

    problem: ProblemFields | None
    """Why it was given up; None where it was not."""


_ADD = text(
    """
    INSERT INTO work_items (checked_set_id, stage, position, queue, priority, turn, total)
    SELECT :probe_set_id, :stage, number - 1, :queue,
      coalesce((SELECT max(priority) FROM work_items WHERE checked_set_id = :probe_set_id), 0),
      :turn + number - 1, total
    FROM unnest(CAST(:totals AS int[])) WITH ORDINALITY AS item (total, number)
    """
)


def lock_probe_set(session: Session, probe_set_id: UUID) -> None:
    """Let no job be submitted on a probe set, and no check of it begin or end, before this transaction ends."""
    session.execute(select(ResourceRow.id).where(ResourceRow.id == probe_set_id).with_for_update())


def keep_check_as_it_is(session: Session, probe_set_id: UUID) -> None:
    """Let no check of a probe set begin or end before this transaction ends. Several may do so at once."""
    query = select(ResourceRow.id).where(ResourceRow.id == probe_set_id)
    session.execute(query.with_for_update(read=True, key_share=True))


def add_check_items(
    session: Session, probe_set_id: UUID, stage: Preparation, totals: Sequence[int], *, queue: str, turn: int
) -> None:
    """Add the items of a stage of a check, ready to be taken, each with a turn of its own from `turn` on.

    They are as urgent as those of the stage before.
    """
    values = {"probe_set_id": probe_set_id, "stage": stage, "queue": queue, "turn": turn}
    session.execute(_ADD, {**values, "totals": list(totals)})


def hurry_check_items(session: Session, probe_set_id: UUID, priority: int) -> None:
    """Make the open items of a check at least that urgent: a job that is waits for them."""
    statement = update(WorkItemRow).where(WorkItemRow.checked_set_id == probe_set_id, WorkItemRow.status.in_(_OPEN))
    session.execute(statement.where(WorkItemRow.priority < priority).values(priority=priority))


def forget_check_items(session: Session, probe_set_id: UUID) -> None:
    """Remove the items of an earlier check."""
    session.execute(delete(WorkItemRow).where(WorkItemRow.checked_set_id == probe_set_id))


def withdraw_check_items(session: Session, probe_set_id: UUID) -> None:
    """Take the open items of a check out of everybody's hands."""
    statement = update(WorkItemRow).where(WorkItemRow.checked_set_id == probe_set_id, WorkItemRow.status.in_(_OPEN))
    # Of what they have met before, nothing is the reason.
    session.execute(statement.values(status=ItemStatus.WITHDRAWN, lease_expires_at=None, problem=None))


def has_open_items(session: Session, probe_set_id: UUID, stage: Preparation) -> bool:
    """Is any item of that stage of a check still to be done?"""
    query = select(WorkItemRow.id).where(
        WorkItemRow.checked_set_id == probe_set_id, WorkItemRow.stage == stage, WorkItemRow.status != ItemStatus.DONE
    )
    return session.scalar(query.limit(1)) is not None


def iterate_shards(session: Session, probe_set_id: UUID) -> Iterator[ShardCheck]:
    """What the items of a check have found, in order; those that are not done are left out."""
    query = select(WorkItemRow.result).where(
        WorkItemRow.checked_set_id == probe_set_id,
        WorkItemRow.stage == Preparation.CHECK,
        WorkItemRow.status == ItemStatus.DONE,
    )
    results = session.scalars(query.order_by(WorkItemRow.position).execution_options(yield_per=_SHARDS_AT_ONCE))
    for result in results:
        if result:
            yield cast("ShardCheck", result["shard"])


def save_check(session: Session, probe_set_id: UUID, result: SetCheck) -> None:
    """Keep what a check has found, in place of what an earlier one did."""
    values = {"result": result, "checked_at": func.now()}
    statement = insert(ProbeSetCheckRow).values(probe_set_id=probe_set_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[ProbeSetCheckRow.probe_set_id], set_=values))


def find_result(session: Session, probe_set_id: UUID) -> tuple[SetCheck, datetime] | None:
    """What the last check of a probe set has found, and when; None where none was ever done."""
    query = select(ProbeSetCheckRow.result, ProbeSetCheckRow.checked_at)
    row = session.execute(query.where(ProbeSetCheckRow.probe_set_id == probe_set_id)).first()
    return None if row is None else (row.result, row.checked_at)


_PROGRESS = text(
    """
    SELECT checked_set_id,
      bool_or(status IN ('ready', 'leased')) AS is_open,
      coalesce(sum(done) FILTER (WHERE stage = 'check'), 0) AS done,
      coalesce(sum(total) FILTER (WHERE stage = 'check'), 0) AS total,
      (array_agg(problem) FILTER (WHERE status = 'withdrawn' AND jsonb_typeof(problem) = 'object'))[1] AS problem,
      (SELECT (result->>'unreadable')::int FROM probe_set_checks WHERE probe_set_id = checked_set_id) AS unreadable
    FROM work_items WHERE checked_set_id = ANY(:probe_set_ids) GROUP BY checked_set_id
    """
)


def find_progress(session: Session, probe_set_ids: Sequence[UUID]) -> dict[UUID, CheckProgress]:
    """How far the checks of probe sets have come; no entry where nobody has asked for one."""
    rows = session.execute(_PROGRESS, {"probe_set_ids": list(probe_set_ids)})
    return {
        row.checked_set_id: CheckProgress(row.is_open, int(row.done), int(row.total), row.unreadable, row.problem)
        for row in rows
    }


def make_items_wait(session: Session, job_id: UUID) -> None:
    """Let nobody take a job's ready items until `release_waiting_jobs`."""
    statement = update(WorkItemRow).where(WorkItemRow.job_id == job_id, WorkItemRow.status == ItemStatus.READY)
    session.execute(statement.values(ready_at=_NEVER))


def release_waiting_jobs(session: Session, probe_set_id: UUID) -> list[UUID]:
    """Make the items of all jobs ready that wait for the check of a probe set, those on a part of it too.

    Returns these jobs.
    """
    part = ResourceRow.spec["checked_with"].astext == str(probe_set_id)
    sets = select(ResourceRow.id).where(or_(ResourceRow.id == probe_set_id, part))
    jobs = select(JobRow.id).where(JobRow.probe_set_id.in_(sets), JobRow.status == "queued")
    statement = update(WorkItemRow).where(WorkItemRow.job_id.in_(jobs), WorkItemRow.ready_at == _NEVER)
    released = session.scalars(statement.values(ready_at=func.clock_timestamp()).returning(WorkItemRow.job_id))
    return sorted({job_id for job_id in released if job_id is not None})


def is_waiting(session: Session, job_id: UUID) -> bool:
    """Does a job wait for a check?"""
    waits = exists().where(WorkItemRow.job_id == job_id, WorkItemRow.ready_at == _NEVER)
    return bool(session.scalar(select(waits)))


def probe_set_of_job(session: Session, job_id: UUID) -> tuple[UUID, str]:
    """Id and reference of the probe set whose check a job waits for."""
    of_job = select(ResourceRow.id, ResourceRow.spec["checked_with"].astext.label("whole"))
    row = session.execute(of_job.join(JobRow, JobRow.probe_set_id == ResourceRow.id).where(JobRow.id == job_id)).one()
    checked = session.get_one(ResourceRow, row.id if row.whole is None else UUID(row.whole))
    return checked.id, f"{checked.name}@{checked.version}"
