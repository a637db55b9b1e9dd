"""What is known of stored artifacts: their digests, who refers to them, which ones nobody needs any more."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.tables import ArtifactRow, JobArtifactRow, JobRow
from service.domain.jobs import JobStatus

_MAY_GO_ON = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED, JobStatus.DEAD)


def record_artifact(session: Session, key: str, *, kind: str, sha256: str, size: int) -> None:
    """Record an artifact that has been stored; a second one under its key takes the first one's place.

    The transaction's commit does not wait for the disk: a record that a crash takes away only costs a computation.
    """
    session.execute(text("SET LOCAL synchronous_commit = off"))
    values = {"kind": kind, "sha256": sha256, "size": size, "used_at": func.clock_timestamp()}
    statement = insert(ArtifactRow).values(key=key, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[ArtifactRow.key], set_=values))


def refer_to_artifact(session: Session, job_id: UUID, key: str) -> str | None:
    """The artifact's SHA-256, and from now on the job refers to it; None where none is recorded."""
    used = update(ArtifactRow).where(ArtifactRow.key == key).values(used_at=func.clock_timestamp())
    sha256 = session.scalar(used.returning(ArtifactRow.sha256))
    if sha256 is not None:
        reference = insert(JobArtifactRow).values(job_id=job_id, key=key)
        session.execute(reference.on_conflict_do_nothing())
    return sha256


def forget_artifact(session: Session, key: str) -> None:
    """Remove the record of an artifact that is lost or has been deleted."""
    session.execute(delete(ArtifactRow).where(ArtifactRow.key == key))


def unneeded_artifacts(session: Session, *, older_than: timedelta, limit: int) -> list[str]:
    """Artifacts not used for that long to which no job refers that may still go on.

    They are locked until the transaction ends.
    """
    needed = exists().where(
        JobArtifactRow.key == ArtifactRow.key,
        JobRow.id == JobArtifactRow.job_id,
        JobRow.status.in_(_MAY_GO_ON),
    )
    query = select(ArtifactRow.key).where(ArtifactRow.used_at < func.clock_timestamp() - older_than, ~needed)
    locked = query.order_by(ArtifactRow.used_at).limit(limit).with_for_update(skip_locked=True, of=ArtifactRow)
    return list(session.scalars(locked))


def recorded_keys(session: Session, keys: Sequence[str]) -> set[str]:
    """Those of the keys that are recorded."""
    return set(session.scalars(select(ArtifactRow.key).where(ArtifactRow.key.in_(keys))))
