"""A job's history: written in the transaction that it tells of, read by those who follow the job."""

import json
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid, bindparam, select, text
from sqlalchemy.orm import Session

from service.db.tables import JobEventRow
from service.domain.json_values import JsonObject
from service.domain.work import JobEvent

_EVENTS_OF_MANY = text(
    "SELECT asked.job_id, asked.last_id, event.id, event.kind, event.data, event.at "
    "FROM unnest(:job_ids, :last_ids) AS asked (job_id, last_id) "
    "CROSS JOIN LATERAL (SELECT id, kind, data, at FROM job_events "
    "WHERE job_id = asked.job_id AND id > asked.last_id ORDER BY id LIMIT :most) AS event ORDER BY event.id"
).bindparams(bindparam("job_ids", type_=ARRAY(Uuid)), bindparam("last_ids", type_=ARRAY(BigInteger)))
_ADD = text("INSERT INTO job_events (job_id, kind, data) VALUES (:job_id, :kind, CAST(:data AS jsonb))")


def add_event(session: Session, job_id: UUID, kind: str, data: JsonObject) -> None:
    """Add a line. data: JSON values, nothing that names a patient."""
    session.execute(_ADD, {"job_id": job_id, "kind": kind, "data": json.dumps(dict(data))})


def events_after(session: Session, job_id: UUID, last_id: int, *, limit: int = 500) -> list[JobEvent]:
    """The lines behind one that was seen, oldest first."""
    query = select(JobEventRow).where(JobEventRow.job_id == job_id, JobEventRow.id > last_id)
    rows = session.scalars(query.order_by(JobEventRow.id).limit(limit))
    return [JobEvent(row.id, row.kind, row.data, row.at) for row in rows]


def events_of_many(
    session: Session, last_seen: Collection[tuple[UUID, int]], *, limit: int = 500
) -> dict[tuple[UUID, int], list[JobEvent]]:
    """For each job and event of it that was seen, the lines behind that one, oldest first; no entry for none."""
    job_ids = [job_id for job_id, _ in last_seen]
    last_ids = [last_id for _, last_id in last_seen]
    parameters = {"job_ids": job_ids, "last_ids": last_ids, "most": limit}

    events: dict[tuple[UUID, int], list[JobEvent]] = {}
    for job_id, last_id, *columns in session.execute(_EVENTS_OF_MANY, parameters):
        events.setdefault((job_id, last_id), []).append(JobEvent(*columns))
    return events
