"""Queries on alert endpoints. Whoever changes an endpoint locks its row before those of its deliveries."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, any_, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from service.db.alert_tables import AlertDeliveryRow, AlertEndpointRow
from service.db.columns import ColumnValues
from service.db.paging import cut_page, newest_first
from service.domain.alerts import DeliveryStatus, Endpoint, EndpointKind
from service.domain.pages import Page, Position


def add_endpoint(
    session: Session,
    name: str,
    kind: EndpointKind,
    *,
    url: str | None,
    secret: str | None,
    addresses: Sequence[str] | None,
    events: Sequence[str] | None,
) -> Endpoint | None:
    """Add an endpoint, or return None where the name is taken."""
    values = {"name": name, "kind": kind, "url": url, "secret": secret, "addresses": addresses, "events": events}
    statement = insert(AlertEndpointRow).values(values)
    added = statement.on_conflict_do_nothing(index_elements=[AlertEndpointRow.name]).returning(AlertEndpointRow)
    row = session.scalar(added)
    return None if row is None else _endpoint(row, 0, 0)


def find_endpoint(session: Session, name: str) -> Endpoint | None:
    """The endpoint of that name."""
    row = session.execute(_with_counts().where(AlertEndpointRow.name == name)).first()
    return None if row is None else _endpoint(*row)


def lock_endpoint(session: Session, name: str) -> Endpoint | None:
    """The same, for a change: whoever else wants to change it waits until this transaction has ended."""
    locked = select(AlertEndpointRow.id).where(AlertEndpointRow.name == name).with_for_update()
    return None if session.scalar(locked) is None else find_endpoint(session, name)


def has_listener(session: Session, kind: str) -> bool:
    """Does any endpoint name that kind of alert?"""
    listening = select(AlertEndpointRow.id).where(literal(kind) == any_(AlertEndpointRow.events))
    return bool(session.scalar(select(listening.exists())))


def endpoint_names(session: Session) -> list[str]:
    """Every name, for near matches in errors."""
    return list(session.scalars(select(AlertEndpointRow.name)))


def list_endpoints(session: Session, *, limit: int, after: Position | None) -> Page[Endpoint]:
    """All endpoints, newest first."""
    query = newest_first(_with_counts(), AlertEndpointRow.id, limit=limit, after=after)
    rows, next_position = cut_page(session.execute(query).all(), limit, lambda row: row[0].id)
    return Page(tuple(_endpoint(*row) for row in rows), next_position)


def change_endpoint(session: Session, endpoint_id: UUID, values: ColumnValues) -> None:
    """Set columns of an endpoint that the caller has locked."""
    session.execute(update(AlertEndpointRow).where(AlertEndpointRow.id == endpoint_id).values(values))


def replace_secret(session: Session, endpoint_id: UUID, secret: str, *, previous_until: datetime | None) -> None:
    """Give it another secret; the present one signs, too, until that moment (None: no longer)."""
    previous = None if previous_until is None else AlertEndpointRow.secret
    values: ColumnValues = {"previous_secret": previous, "previous_secret_until": previous_until, "secret": secret}
    change_endpoint(session, endpoint_id, values)


def remove_endpoint(session: Session, endpoint_id: UUID, at: datetime) -> None:
    """Withdraw what is on its way, and delete the endpoint. What was delivered stays on record."""
    withdraw_deliveries(session, endpoint_id, at, keep=())
    row = session.get(AlertEndpointRow, endpoint_id)
    if row is not None:
        session.delete(row)
        session.flush()


def withdraw_deliveries(session: Session, endpoint_id: UUID, at: datetime, *, keep: Sequence[str]) -> None:
    """Withdraw what is on its way to other addresses than these."""
    statement = update(AlertDeliveryRow).where(*_pending(endpoint_id), AlertDeliveryRow.address.not_in(keep))
    session.execute(statement.values(status=DeliveryStatus.WITHDRAWN, ended_at=at))


def send_what_was_missed(session: Session, endpoint: Endpoint, at: datetime) -> None:
    """Make everything due that waits for the endpoint, and what was given up since it began to fail."""
    missed = _pending(endpoint.id)[1]
    if endpoint.failing_since is not None:
        given_up = AlertDeliveryRow.status == DeliveryStatus.FAILED
        missed = missed | and_(given_up, AlertDeliveryRow.ended_at >= endpoint.failing_since)

    statement = update(AlertDeliveryRow).where(AlertDeliveryRow.endpoint_id == endpoint.id, missed)
    session.execute(statement.values(status=DeliveryStatus.PENDING, attempts=0, due_at=at, ended_at=None))


def _pending(endpoint_id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return AlertDeliveryRow.endpoint_id == endpoint_id, AlertDeliveryRow.status == DeliveryStatus.PENDING


def _with_counts() -> Select[AlertEndpointRow, int, int]:
    def count(status: DeliveryStatus) -> ColumnElement[int]:
        own = (AlertDeliveryRow.endpoint_id == AlertEndpointRow.id, AlertDeliveryRow.status == status)
        return select(func.count()).select_from(AlertDeliveryRow).where(*own).scalar_subquery()

    return select(AlertEndpointRow, count(DeliveryStatus.PENDING), count(DeliveryStatus.FAILED)).execution_options(
        populate_existing=True
    )


def _endpoint(row: AlertEndpointRow, pending: int, failed: int) -> Endpoint:
    return Endpoint(
        id=row.id,
        name=row.name,
        kind=EndpointKind(row.kind),
        url=row.url,
        addresses=tuple(row.addresses or ()),
        events=None if row.events is None else tuple(row.events),
        enabled=row.enabled,
        disabled_reason=row.disabled_reason,
        failing_since=row.failing_since,
        held_until=row.held_until,
        previous_secret_until=row.previous_secret_until,
        created_at=row.created_at,
        pending=pending,
        failed=failed,
    )
