"""Audits for tests: rows of a table that would not mind if a fire were audited twice."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from service.db.deployments import parts_of_deployment
from service.db.session import Sessions, transaction
from service.domain.audits import AuditFiles, FilesRead
from service.errors import Conflict, DissectError
from service.ports import FilesNeeded


class WrittenAudits:
    """Begins audits of any deployment but the `broken` ones; `crashing` ones fail in a way that nobody foresaw.

    hanging: deployments whose files are not read before the event. readings: the deployments that were read, in order.
    """

    def __init__(self, *, takes_s: float = 0.0) -> None:
        self.broken: set[UUID] = set()
        self.crashing: set[UUID] = set()
        self.hanging: dict[UUID, threading.Event] = {}
        self.readings: list[UUID] = []
        self._takes_s = takes_s

    def files_of(self, session: Session, deployment_id: UUID) -> AuditFiles:
        parts = parts_of_deployment(session, deployment_id)
        return AuditFiles(parts.target, replace(parts.probe_set, id=deployment_id))

    def read(self, files: AuditFiles) -> FilesRead:
        self.readings.append(files.probe_set.id)
        if files.probe_set.id in self.hanging:
            self.hanging[files.probe_set.id].wait(60)
        return FilesRead(files)

    def refuse(
        self, session: Session, deployment_id: UUID, problem: DissectError, *, schedule_id: UUID, fire_time: datetime
    ) -> UUID:
        values = {"schedule_id": schedule_id, "fire_time": fire_time, "status": problem.detail}
        statement = (
            "INSERT INTO written_audits (schedule_id, fire_time, status) VALUES (:schedule_id, :fire_time, :status) "
            "RETURNING id"
        )
        audit_id: UUID = session.execute(text(statement), values).scalar_one()
        return audit_id

    def start(
        self, session: Session, deployment_id: UUID, read: FilesRead, *, schedule_id: UUID, fire_time: datetime
    ) -> UUID:
        if read.files != self.files_of(session, deployment_id):
            raise FilesNeeded
        values = {"schedule_id": schedule_id, "fire_time": fire_time}
        statement = "INSERT INTO written_audits (schedule_id, fire_time) VALUES (:schedule_id, :fire_time) RETURNING id"
        audit_id: UUID = session.execute(text(statement), values).scalar_one()
        time.sleep(self._takes_s)
        if deployment_id in self.broken:
            raise Conflict("The deployment has no probe set.", remedy="Give it one.")
        if deployment_id in self.crashing:
            raise RuntimeError("nobody foresaw this")
        return audit_id

    def open_of(self, session: Session, schedule_id: UUID) -> Sequence[UUID]:
        statement = "SELECT id FROM written_audits WHERE schedule_id = :id AND status = 'open' ORDER BY id"
        return list(session.scalars(text(statement), {"id": schedule_id}))

    def cancel(self, session: Session, audit_id: UUID) -> None:
        statement = "UPDATE written_audits SET status = 'cancelled' WHERE id = :id AND status = 'open'"
        if session.execute(text(statement), {"id": audit_id}).rowcount == 0:  # type: ignore[attr-defined]
            raise Conflict("It has ended.")


def make_table(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        session.execute(text("SET LOCAL ROLE NONE"))  # the service's role makes no tables
        session.execute(
            text(
                "CREATE TABLE written_audits (id uuid PRIMARY KEY DEFAULT uuidv7(), schedule_id uuid NOT NULL, "
                "fire_time timestamptz NOT NULL, status text NOT NULL DEFAULT 'open')"
            )
        )


def end_all(sessions: Sessions) -> None:
    """Let every open audit end."""
    with transaction(sessions) as session:
        session.execute(text("UPDATE written_audits SET status = 'ended' WHERE status = 'open'"))


def audited(sessions: Sessions, schedule_id: UUID) -> list[tuple[datetime, str]]:
    """Fire time and status of every audit of a schedule."""
    statement = "SELECT fire_time, status FROM written_audits WHERE schedule_id = :id ORDER BY fire_time, id"
    with transaction(sessions) as session:
        return [(at.astimezone(UTC), status) for at, status in session.execute(text(statement), {"id": schedule_id})]
