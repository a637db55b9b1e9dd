"""What tests of schedules do again and again: make deployments and schedules, let time pass, look at what happened."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select

from service.db import schedules as queries
from service.db.audit_tables import DeploymentRow
from service.db.jobs import request_as_json
from service.db.session import Sessions, transaction
from service.domain.alerts import Alert
from service.domain.jobs import DissectionOptions, JobRequest
from service.domain.resources import ResourceKind
from service.domain.schedules import CatchUp, Fire, FireOutcome, Overlap, Schedule, Terms
from service.ports import Audits
from service.usecases import schedules
from service.usecases.alerts import list_alerts
from service.usecases.turns import Turns
from tests.schedules.written_audits import WrittenAudits, audited, end_all
from tests.usecases.factories import resource

MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
DAILY = Terms("0 2 * * *", "UTC", CatchUp.LATEST, None, None, Overlap.SKIP)


def at(time: str, day: int = 1) -> datetime:
    """A time on a day of June 2026; the first is a Monday."""
    return datetime.fromisoformat(f"2026-06-{day:02}T{time}+00:00")


def fire_due(sessions: Sessions, audits: Audits, now: datetime | None = None) -> int:
    """Give every schedule that is due a turn, wait for all, and return how many audits began."""
    turns = Turns(sessions, audits, limit_s=60)
    turns.start_due(now)
    turns.wait()
    return turns.began


@dataclass(frozen=True)
class Field:
    """Schedules on a database, and the audits they begin."""

    sessions: Sessions
    audits: WrittenAudits

    def deploy(self, name: str = "screening") -> UUID:
        with transaction(self.sessions) as session:
            known = session.scalar(select(DeploymentRow.id).where(DeploymentRow.name == name))
            if known is not None:
                return known
            kinds = (ResourceKind.MODEL, ResourceKind.DISSECTOR, ResourceKind.PROBE_SET, ResourceKind.CONCEPT_SET)
            ids = {f"{kind}_id": resource(session, kind, str(kind)).id for kind in kinds}
            ids["target_id"] = ids.pop("model_id")
            row = DeploymentRow(
                name=name,
                options=request_as_json(
                    JobRequest("model", "dissector", "probe_set", "concept_set", DissectionOptions(layers=None))
                ),
                policy_id=resource(session, ResourceKind.POLICY, "p").id,
                **ids,
            )
            session.add(row)
            session.flush()
            return row.id

    def schedule(
        self, terms: Terms = DAILY, name: str = "nightly", deployment: str = "screening", now: datetime = MONDAY
    ) -> Schedule:
        self.deploy(deployment)
        with transaction(self.sessions) as session:
            return schedules.create_schedule(session, name=name, deployment=deployment, terms=terms, now=now)

    def look(self, now: datetime) -> int:
        """What a scheduler does every two seconds."""
        return fire_due(self.sessions, self.audits, now)

    def read(self, schedule: Schedule) -> Schedule:
        with transaction(self.sessions) as session:
            return schedules.find_schedule(session, schedule.name)

    def fires(self, schedule: Schedule) -> list[Fire]:
        """What became of the fires, oldest first."""
        with transaction(self.sessions) as session:
            return list(reversed(queries.list_fires(session, schedule.id, limit=10_000, after=None).items))

    def outcomes(self, schedule: Schedule) -> dict[datetime, FireOutcome]:
        return {fire.fire_time: fire.outcome for fire in self.fires(schedule)}

    def audited(self, schedule: Schedule) -> list[datetime]:
        return [fire_time for fire_time, _ in audited(self.sessions, schedule.id)]

    def alerts(self) -> list[Alert]:
        """What was told, oldest first."""
        with transaction(self.sessions) as session:
            page, _ = list_alerts(session, kind=None, status=None, limit=100, after=None)
            return list(reversed(page.items))

    def end_audits(self) -> None:
        end_all(self.sessions)


def days(*numbers: int, time: str = "02:00") -> list[datetime]:
    return [at(time, day) for day in numbers]
