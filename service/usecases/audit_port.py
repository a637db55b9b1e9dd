"""What begins the audits of schedules: API and scheduler both take it from `open_audits`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from service.db.audits import open_audits_of_schedule
from service.db.deployments import get_deployment
from service.ports import Audits, JobQueue
from service.usecases.audits import Occasion, cancel_audit, start_audit


class ScheduledAudits:
    """See `service.ports.Audits`."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def start(self, session: Session, deployment_id: UUID, *, schedule_id: UUID, fire_time: datetime) -> UUID:
        """See `Audits.start`."""
        occasion = Occasion("schedule", schedule=schedule_id, fire_time=fire_time)
        return start_audit(session, self._queue, get_deployment(session, deployment_id), occasion).id

    def open_of(self, session: Session, schedule_id: UUID) -> list[UUID]:
        """See `Audits.open_of`."""
        return open_audits_of_schedule(session, schedule_id)

    def cancel(self, session: Session, audit_id: UUID) -> None:
        """See `Audits.cancel`."""
        cancel_audit(session, audit_id)


def open_audits(queue: JobQueue) -> Audits:
    """The audits that schedules begin; their work is announced on the queue."""
    return ScheduledAudits(queue)
