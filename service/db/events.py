"""A job's history: written in the transaction that it tells of, read by those who follow the job."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from service.db.tables import JobEventRow
from service.domain.work import JobEvent

_ADD = text("INSERT INTO job_events (job_id, kind, data) VALUES (:job_id, :kind, CAST(:data AS jsonb))")


def add_event(session: Session, job_id: UUID, kind: str, data: Mapping[str, Any]) -> None:
    """Add a line. data: JSON values, nothing that names a patient."""
    session.execute(_ADD, {"job_id": job_id, "kind": kind, "data": json.dumps(dict(data))})


def events_after(session: Session, job_id: UUID, last_id: int, *, limit: int = 500) -> list[JobEvent]:
    """The lines behind one that was seen, oldest first."""
    query = select(JobEventRow).where(JobEventRow.job_id == job_id, JobEventRow.id > last_id)
    rows = session.scalars(query.order_by(JobEventRow.id).limit(limit))
    return [JobEvent(row.id, row.kind, row.data, row.at) for row in rows]
