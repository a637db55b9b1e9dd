"""Queries on deployments."""

from dataclasses import asdict, dataclass, replace
from typing import cast
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.audit_tables import DeploymentRow
from service.db.columns import ColumnValues
from service.db.jobs import JobParts, StoredRequest, request_as_json, request_from_json
from service.db.paging import cut_page, newest_first
from service.db.resources import get_resource
from service.domain.audits import Deployment, Snooze
from service.domain.jobs import JobRequest
from service.domain.json_values import StoredJson
from service.domain.pages import Page, Position
from service.domain.resources import Resource

_SNOOZE = TypeAdapter(Snooze)


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """A deployment that is to be inserted; for its fields see `Deployment`."""

    name: str
    parts: JobParts
    """The target, and what it is dissected with."""
    request: JobRequest
    policy: Resource
    baseline: UUID | None
    registered_model: str | None
    alert_budget: int | None


def add_deployment(session: Session, deployment: NewDeployment) -> Deployment | None:
    """Insert a deployment, or return None where the name is taken."""
    statement = (
        insert(DeploymentRow)
        .values(
            name=deployment.name,
            target_id=deployment.parts.target.id,
            dissector_id=deployment.parts.dissector.id,
            probe_set_id=deployment.parts.probe_set.id,
            concept_set_id=deployment.parts.concept_set.id,
            options=request_as_json(deployment.request),
            policy_id=deployment.policy.id,
            baseline_id=deployment.baseline,
            registered_model=deployment.registered_model,
            alert_budget=deployment.alert_budget,
        )
        .on_conflict_do_nothing(index_elements=[DeploymentRow.name])
        .returning(DeploymentRow.id)
    )
    return None if session.scalar(statement) is None else find_deployment(session, deployment.name)


def find_deployment(session: Session, name: str) -> Deployment | None:
    """The deployment with that name."""
    query = select(DeploymentRow).where(DeploymentRow.name == name).execution_options(populate_existing=True)
    row = session.scalar(query)
    return None if row is None else _deployment(session, row)


def get_deployment(session: Session, deployment_id: UUID) -> Deployment:
    """The deployment with that id. Raises NoResultFound: ids come from foreign keys, not from callers."""
    return _deployment(session, session.get_one(DeploymentRow, deployment_id, populate_existing=True))


def deployment_names(session: Session) -> list[str]:
    """Every name, for near matches in errors."""
    return list(session.scalars(select(DeploymentRow.name).order_by(DeploymentRow.name)))


def deployments_of_registered_model(session: Session, name: str) -> list[Deployment]:
    """Those that follow a model of that name in a registry."""
    rows = session.scalars(
        select(DeploymentRow).where(DeploymentRow.registered_model == name).order_by(DeploymentRow.id)
    )
    return [_deployment(session, row) for row in rows]


def deployments_of_aliases(session: Session, name: str) -> list[Deployment]:
    """Those that follow any alias of a model of that name in a registry."""
    follows = DeploymentRow.registered_model.startswith(f"{name}@", autoescape=True)
    rows = session.scalars(select(DeploymentRow).where(follows).order_by(DeploymentRow.id))
    return [_deployment(session, row) for row in rows]


def list_deployments(session: Session, *, limit: int, after: Position | None) -> Page[Deployment]:
    """Deployments, newest first."""
    query = newest_first(select(DeploymentRow), DeploymentRow.id, limit=limit, after=after)
    rows, next_position = cut_page(session.scalars(query).all(), limit, lambda row: row.id)
    return Page(tuple(_deployment(session, row) for row in rows), next_position)


def change_deployment(session: Session, deployment_id: UUID, values: ColumnValues) -> None:
    """Set columns."""
    session.execute(update(DeploymentRow).where(DeploymentRow.id == deployment_id).values(values))


def parts_of_deployment(session: Session, deployment_id: UUID) -> JobParts:
    """The resources of its dissections."""
    row = session.get_one(DeploymentRow, deployment_id, populate_existing=True)
    identifiers = (row.target_id, row.dissector_id, row.probe_set_id, row.concept_set_id)
    return JobParts(*(get_resource(session, identifier) for identifier in identifiers))


def snooze_as_json(snooze: Snooze | None) -> StoredJson | None:
    """JSON values for the column."""
    return None if snooze is None else {**asdict(snooze), "until": snooze.until.isoformat()}


def _deployment(session: Session, row: DeploymentRow) -> Deployment:
    target = get_resource(session, row.target_id)
    return Deployment(
        id=row.id,
        name=row.name,
        target=target,
        request=replace(request_from_json(cast("StoredRequest", row.options)), target=target.reference),
        policy=get_resource(session, row.policy_id),
        baseline=row.baseline_id,
        registered_model=row.registered_model,
        alert_budget=row.alert_budget,
        snooze=None if row.snooze is None else _SNOOZE.validate_python(row.snooze),
        created_at=row.created_at,
    )
