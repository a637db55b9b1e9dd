"""All deployments side by side: the last verdict of each, and what somebody should look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import fleet as queries
from service.db.fleet import MOST_COUNTED, EndedAudit
from service.db.session import database_clock
from service.domain.audits import Deployment
from service.domain.pages import Page, Position
from service.usecases.audit_alerts import is_silenced
from service.usecases.deployments import list_deployments


@dataclass(frozen=True, slots=True)
class FleetLine:
    """Where a deployment stands."""

    deployment: Deployment

    last: EndedAudit | None
    """The newest audit of the version in use that has ended; None where it was never audited."""

    age: timedelta | None
    """How long ago that was."""

    running: UUID | None
    """An audit that has not ended."""

    unacknowledged: int
    """Audits that warn, fail or could not be carried out, and that nobody has acknowledged; up to MOST_COUNTED."""

    next_fire_at: datetime | None
    """When a schedule audits it next."""

    silenced: bool
    """Are its alerts silenced now?"""

    @property
    def many_unacknowledged(self) -> bool:
        """Were not all of them counted?"""
        return self.unacknowledged >= MOST_COUNTED


def list_fleet(session: Session, *, limit: int, after: Position | None) -> Page[FleetLine]:
    """Deployments, newest first, each with where it stands."""
    listed = list_deployments(session, limit=limit, after=after)
    return Page(tuple(_lines(session, listed.items)), listed.next_position)


def standing_of_deployment(session: Session, deployment: Deployment) -> FleetLine:
    """Where one deployment stands."""
    (line,) = _lines(session, [deployment])
    return line


def _lines(session: Session, deployments: Sequence[Deployment]) -> list[FleetLine]:
    ids = [deployment.id for deployment in deployments]
    last_audits = queries.last_ended_audits(session, ids)
    running = queries.running_audits(session, ids)
    unacknowledged = queries.count_unacknowledged(session, ids)
    next_fires = queries.next_fires(session, ids)
    now = database_clock(session)

    lines = []
    for deployment in deployments:
        last = last_audits.get(deployment.id)
        age = None if last is None or last.finished_at is None else max(now - last.finished_at, timedelta(0))
        line = FleetLine(
            deployment=deployment,
            last=last,
            age=age,
            running=running.get(deployment.id),
            unacknowledged=unacknowledged.get(deployment.id, 0),
            next_fire_at=next_fires.get(deployment.id),
            silenced=is_silenced(deployment, now),
        )
        lines.append(line)
    return lines
