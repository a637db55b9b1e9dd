"""Queries on jobs. A status changes only by an UPDATE that names the statuses it may come from."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.tables import JobRow
from service.domain.jobs import (
    LEGAL_MOVES,
    DissectionOptions,
    Job,
    JobRequest,
    JobStatus,
    Progress,
    Stage,
    StageProgress,
)
from service.domain.methods import Method
from service.domain.pages import Page, Position
from service.domain.resources import Resource


def add_job(
    session: Session,
    *,
    target: Resource,
    dissector: Resource,
    probe_set: Resource,
    concept_set: Resource,
    options: DissectionOptions,
    request_digest: str,
    idempotency_key: str | None,
) -> Job | None:
    """Insert a queued job, or return None where the idempotency key is taken."""
    request = JobRequest(target.reference, dissector.reference, probe_set.reference, concept_set.reference, options)
    statement = (
        insert(JobRow)
        .values(
            target_id=target.id,
            dissector_id=dissector.id,
            probe_set_id=probe_set.id,
            concept_set_id=concept_set.id,
            options=_request_as_json(request),
            request_digest=request_digest,
            idempotency_key=idempotency_key,
        )
        .on_conflict_do_nothing(index_elements=[JobRow.idempotency_key])
        .returning(JobRow)
    )
    row = session.scalar(statement)
    return None if row is None else _job(row)


def find_job_by_key(session: Session, idempotency_key: str) -> tuple[Job, str] | None:
    """The job posted with that key, and the digest of the request that made it."""
    row = session.scalar(select(JobRow).where(JobRow.idempotency_key == idempotency_key))
    return None if row is None else (_job(row), row.request_digest)


def get_job(session: Session, job_id: UUID) -> Job | None:
    """The job as it stands now."""
    row = session.get(JobRow, job_id, populate_existing=True)
    return None if row is None else _job(row)


def resource_ids(session: Session, job_id: UUID) -> tuple[UUID, UUID, UUID, UUID]:
    """Ids of the job's target, dissector, probe set and concept set."""
    row = session.get_one(JobRow, job_id)
    return row.target_id, row.dissector_id, row.probe_set_id, row.concept_set_id


def list_jobs(session: Session, *, status: JobStatus | None, limit: int, after: Position | None) -> Page[Job]:
    """Jobs, newest first."""
    query = select(JobRow).order_by(JobRow.id.desc()).limit(limit + 1)
    if status is not None:
        query = query.where(JobRow.status == status)
    if after is not None:
        query = query.where(JobRow.id < UUID(str(after[0])))
    rows = list(session.scalars(query))
    more = (str(rows[limit - 1].id),) if len(rows) > limit else None
    return Page(tuple(map(_job, rows[:limit])), more)


def move_job(session: Session, job_id: UUID, status: JobStatus, **values: Any) -> bool:
    """Give a job a new status if its present one allows it; False where it does not (or there is no such job)."""
    sources = [source for source, targets in LEGAL_MOVES.items() if status in targets]
    now = func.clock_timestamp()
    stamps: dict[str, ColumnElement[Any]] = {"heartbeat_at": now}
    if status is JobStatus.RUNNING:
        stamps["started_at"] = now
    if not LEGAL_MOVES[status]:
        stamps["finished_at"] = now
    statement = update(JobRow).where(JobRow.id == job_id, JobRow.status.in_(sources))
    return session.scalar(statement.values(status=status, **stamps, **values).returning(JobRow.id)) is not None


def request_cancel(session: Session, job_id: UUID) -> bool:
    """Ask the worker of a running job to stop; False where the job is not running."""
    statement = update(JobRow).where(JobRow.id == job_id, JobRow.status == JobStatus.RUNNING)
    return session.scalar(statement.values(cancel_requested=True).returning(JobRow.id)) is not None


def record_progress(session: Session, job_id: UUID, progress: Progress) -> bool:
    """Store the progress of one stage and a heartbeat. True while the job runs and nobody asked to cancel it."""
    row = session.get(JobRow, job_id, with_for_update=True, populate_existing=True)
    if row is None or row.status != JobStatus.RUNNING:
        return False
    now: str = session.scalar(select(func.clock_timestamp())).isoformat()  # type: ignore[union-attr]
    earlier = row.progress.get(progress.stage, {"started_at": now})
    stage = earlier | {"done": progress.done, "total": progress.total, "updated_at": now}
    row.progress = row.progress | {progress.stage.value: stage}
    row.heartbeat_at = func.clock_timestamp()
    return not row.cancel_requested


def queued_jobs(session: Session, *, older_than: timedelta) -> list[UUID]:
    """Jobs that have waited so long that their wake-up message may be lost, oldest first."""
    query = select(JobRow.id).where(
        JobRow.status == JobStatus.QUEUED, JobRow.created_at < func.clock_timestamp() - older_than
    )
    return list(session.scalars(query.order_by(JobRow.id)))


def silent_jobs(session: Session, *, longer_than: timedelta) -> list[Job]:
    """Running jobs whose worker has not been heard of for that long."""
    query = select(JobRow).where(
        JobRow.status == JobStatus.RUNNING, JobRow.heartbeat_at < func.clock_timestamp() - longer_than
    )
    return [_job(row) for row in session.scalars(query.order_by(JobRow.id))]


def _request_as_json(request: JobRequest) -> dict[str, Any]:
    options = request.options
    return {
        "target": request.target,
        "dissector": request.dissector,
        "probe_set": request.probe_set,
        "concept_set": request.concept_set,
        "layers": None if options.layers is None else list(options.layers),
        "method": options.method.as_dict(),
        "concepts_per_neuron": options.concepts_per_neuron,
        "images_per_neuron": options.images_per_neuron,
    }


def _request(stored: dict[str, Any]) -> JobRequest:
    layers = stored["layers"]
    options = DissectionOptions(
        layers=None if layers is None else tuple(layers),
        method=Method(**stored["method"]),
        concepts_per_neuron=stored["concepts_per_neuron"],
        images_per_neuron=stored["images_per_neuron"],
    )
    return JobRequest(stored["target"], stored["dissector"], stored["probe_set"], stored["concept_set"], options)


def _job(row: JobRow) -> Job:
    stages = [
        StageProgress(
            stage=stage,
            done=row.progress[stage]["done"],
            total=row.progress[stage]["total"],
            started_at=datetime.fromisoformat(row.progress[stage]["started_at"]),
            updated_at=datetime.fromisoformat(row.progress[stage]["updated_at"]),
        )
        for stage in Stage
        if stage in row.progress
    ]
    return Job(
        id=row.id,
        request=_request(row.options),
        status=JobStatus(row.status),
        cancel_requested=row.cancel_requested,
        progress=tuple(stages),
        manifest=row.manifest,
        problem=row.problem,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
