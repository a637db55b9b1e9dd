"""What begins the audits of schedules: API and scheduler both take it from `open_audits`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from service.db.audits import open_audits_of_schedule
from service.db.deployments import get_deployment
from service.domain.audits import AuditFiles, FilesRead, Occasion
from service.errors import DissectError
from service.files import DataRoots
from service.ports import Audits, JobQueue
from service.usecases.audits import begin_audit, cancel_audit, files_of_audit, read_files, refuse_audit
from service.usecases.readings import AT_ONCE, Readings


class ScheduledAudits:
    """See `service.ports.Audits`."""

    def __init__(self, queue: JobQueue, roots: DataRoots, readings: Readings) -> None:
        self._queue = queue
        self._roots = roots
        self._readings = readings

    def files_of(self, session: Session, deployment_id: UUID) -> AuditFiles:
        """See `Audits.files_of`."""
        return files_of_audit(session, get_deployment(session, deployment_id))

    def read(self, files: AuditFiles) -> FilesRead:
        """See `Audits.read`."""
        return read_files(files, self._roots, self._readings)

    def start(
        self, session: Session, deployment_id: UUID, read: FilesRead, *, schedule_id: UUID, fire_time: datetime
    ) -> UUID:
        """See `Audits.start`."""
        occasion = Occasion("schedule", schedule=schedule_id, fire_time=fire_time)
        return begin_audit(session, self._queue, get_deployment(session, deployment_id), occasion, read).id

    def refuse(
        self, session: Session, deployment_id: UUID, problem: DissectError, *, schedule_id: UUID, fire_time: datetime
    ) -> UUID:
        """See `Audits.refuse`."""
        occasion = Occasion("schedule", schedule=schedule_id, fire_time=fire_time)
        return refuse_audit(session, get_deployment(session, deployment_id), occasion, problem).id

    def open_of(self, session: Session, schedule_id: UUID) -> list[UUID]:
        """See `Audits.open_of`."""
        return open_audits_of_schedule(session, schedule_id)

    def cancel(self, session: Session, audit_id: UUID) -> None:
        """See `Audits.cancel`."""
        cancel_audit(session, audit_id)


def open_audits(queue: JobQueue, roots: DataRoots, readings: Readings = AT_ONCE) -> Audits:
    """The audits that schedules begin; their work is announced on the queue, their files lie below the roots.

    readings: for a call that has a transaction open when its files are read; `read` then raises NotRead.
    """
    return ScheduledAudits(queue, roots, readings)
