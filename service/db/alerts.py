"""Queries on alerts, their deliveries and attempts."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.orm import Session

from service.db.alert_tables import AlertAttemptRow, AlertDeliveryRow, AlertRow
from service.db.columns import ColumnValues
from service.db.paging import cut_page, newest_first
from service.domain.alerts import (
    JSON,
    ON_REQUEST_KINDS,
    Alert,
    Attempt,
    AttemptOutcome,
    ClaimedDelivery,
    Delivery,
    DeliveryStatus,
    EndpointKind,
    Failure,
)
from service.domain.pages import Page, Position

_ADD = text(
    """
    INSERT INTO alerts (kind, subject, data, at)
    VALUES (:kind, :subject, CAST(:data AS jsonb), coalesce(CAST(:at AS timestamptz), now()))
    RETURNING id, kind, subject, data, at
    """
)


def add_alert(session: Session, kind: str, subject: str, data: Mapping[str, JSON], at: datetime | None) -> Alert:
    """Write an alert; at None: it happens in this transaction. Raises ValueError for NaN and infinity."""
    written = json.dumps(dict(data), allow_nan=False)
    row = session.execute(_ADD, {"kind": kind, "subject": subject, "data": written, "at": at}).one()
    return Alert(*row)


# With a key share of the endpoint, what is published waits for its deletion instead of failing by it.
_ADDRESSES = "unnest(CASE WHEN e.kind = 'email' THEN e.addresses ELSE ARRAY[''] END) AS to_whom (address)"

_ADD_DELIVERIES = text(
    f"""
    INSERT INTO alert_deliveries (alert_id, endpoint_id, endpoint_name, address, due_at)
    SELECT :alert, e.id, e.name, address, :at FROM alert_endpoints e CROSS JOIN {_ADDRESSES}
    WHERE (e.events IS NULL AND :in_all OR :kind = ANY (e.events)) AND e.id IS DISTINCT FROM CAST(:but AS uuid)
    FOR KEY SHARE OF e
    """  # noqa: S608 - a constant
)


def add_deliveries(session: Session, alert: Alert, *, but: UUID | None = None) -> None:
    """Put an alert on its way to every endpoint that listens to its kind, but for one.

    Endpoints that are disabled get theirs, too: it waits until they are enabled.
    """
    in_all = alert.kind not in ON_REQUEST_KINDS
    values = {"alert": alert.id, "kind": alert.kind, "in_all": in_all, "at": alert.at, "but": but}
    session.execute(_ADD_DELIVERIES, values)


_ASK_AGAIN = text(
    f"""
    INSERT INTO alert_deliveries (alert_id, endpoint_id, endpoint_name, address, due_at)
    SELECT :alert, e.id, e.name, address, :at FROM alert_endpoints e CROSS JOIN {_ADDRESSES} WHERE e.id = :endpoint
    FOR KEY SHARE OF e
    ON CONFLICT (alert_id, endpoint_id, address)
    DO UPDATE SET status = 'pending', attempts = 0, due_at = excluded.due_at, ended_at = NULL
    """  # noqa: S608 - a constant
)


def deliver_to(session: Session, alert_id: UUID, endpoint_id: UUID, at: datetime) -> None:
    """Put an alert on its way to one endpoint, whatever it listens to and whatever it got before."""
    session.execute(_ASK_AGAIN, {"alert": alert_id, "endpoint": endpoint_id, "at": at})


def deliver_again(session: Session, alert_id: UUID, at: datetime) -> int:
    """Put an alert on its way again to all whom it was for and who are still there; how many those are."""
    statement = update(AlertDeliveryRow).where(
        AlertDeliveryRow.alert_id == alert_id,
        AlertDeliveryRow.endpoint_id.is_not(None),
        AlertDeliveryRow.status != DeliveryStatus.WITHDRAWN,
    )
    values = {"status": DeliveryStatus.PENDING, "attempts": 0, "due_at": at, "ended_at": None}
    return len(session.scalars(statement.values(values).returning(AlertDeliveryRow.id)).all())


def find_alert(session: Session, alert_id: UUID) -> Alert | None:
    """The alert with that id."""
    row = session.get(AlertRow, alert_id)
    return None if row is None else _alert(row)


def count_alerts(session: Session, kinds: Sequence[str], deployment: str, *, since: datetime) -> int:
    """How many alerts of these kinds have told of a deployment since then."""
    query = select(func.count()).where(
        AlertRow.kind.in_(kinds), AlertRow.data["deployment"].as_string() == deployment, AlertRow.at > since
    )
    return session.execute(query).scalar_one()


def list_alerts(
    session: Session, *, kind: str | None, status: DeliveryStatus | None, limit: int, after: Position | None
) -> Page[Alert]:
    """Alerts, newest first. status: only those with a delivery of that status."""
    query = newest_first(select(AlertRow), AlertRow.id, limit=limit, after=after)
    if kind is not None:
        query = query.where(AlertRow.kind == kind)
    if status is not None:
        query = query.where(
            select(AlertDeliveryRow.id)
            .where(AlertDeliveryRow.alert_id == AlertRow.id, AlertDeliveryRow.status == status)
            .exists()
        )

    rows, next_position = cut_page(session.scalars(query).all(), limit, lambda row: row.id)
    return Page(tuple(map(_alert, rows)), next_position)


def alerts_about(session: Session, deployment: str, schedules: Sequence[str], *, among: int, limit: int) -> list[Alert]:
    """The newest alerts that tell of a deployment or of its schedules, among so many of the newest of all."""
    newest = select(AlertRow.id, AlertRow.data).order_by(AlertRow.id.desc()).limit(among).subquery()
    told = or_(
        newest.c.data["deployment"].as_string() == deployment, newest.c.data["schedule"].as_string().in_(schedules)
    )
    query = select(AlertRow).join(newest, newest.c.id == AlertRow.id).where(told)
    return list(map(_alert, session.scalars(query.order_by(AlertRow.id.desc()).limit(limit))))


def count_deliveries(session: Session, alert_ids: Sequence[UUID]) -> dict[UUID, dict[DeliveryStatus, int]]:
    """How many deliveries of each alert have each status."""
    query = (
        select(AlertDeliveryRow.alert_id, AlertDeliveryRow.status, func.count())
        .where(AlertDeliveryRow.alert_id.in_(alert_ids))
        .group_by(AlertDeliveryRow.alert_id, AlertDeliveryRow.status)
    )

    counts: dict[UUID, dict[DeliveryStatus, int]] = {}
    for alert_id, status, number in session.execute(query):
        counts.setdefault(alert_id, {})[DeliveryStatus(status)] = number
    return counts


def deliveries_of(session: Session, alert_id: UUID) -> list[Delivery]:
    """An alert's deliveries with every attempt, oldest first."""
    rows = list(session.scalars(select(AlertDeliveryRow).where(AlertDeliveryRow.alert_id == alert_id)))

    attempts: dict[UUID, list[Attempt]] = {row.id: [] for row in rows}
    query = select(AlertAttemptRow).where(AlertAttemptRow.delivery_id.in_(attempts)).order_by(AlertAttemptRow.number)
    for attempt_row in session.scalars(query):
        attempts[attempt_row.delivery_id].append(_attempt(attempt_row))

    in_order = sorted(rows, key=lambda row: (row.endpoint_name, row.address, row.id))
    return [_delivery(row, attempts[row.id]) for row in in_order]


_SERVE = text(
    """
    WITH clock AS MATERIALIZED (SELECT coalesce(CAST(:now AS timestamptz), clock_timestamp()) AS now),
    next AS (
      SELECT e.id FROM alert_endpoints e CROSS JOIN clock CROSS JOIN LATERAL (
        SELECT min(due_at) AS since FROM alert_deliveries d WHERE d.endpoint_id = e.id AND d.status = 'pending'
      ) AS waiting
      WHERE e.enabled AND waiting.since <= clock.now
        AND coalesce(e.lease_expires_at, '-infinity') <= clock.now
        AND coalesce(e.held_until, '-infinity') <= clock.now
      ORDER BY waiting.since, e.id LIMIT 1 FOR NO KEY UPDATE OF e SKIP LOCKED
    )
    UPDATE alert_endpoints e SET lease_expires_at = clock.now + :lease, fence = e.fence + 1
    FROM next, clock WHERE e.id = next.id
    RETURNING e.id, e.name, e.fence, e.kind, e.url, clock.now, CASE WHEN e.secret IS NULL THEN ARRAY[]::text[]
      WHEN e.previous_secret_until > clock.now THEN ARRAY[e.secret, e.previous_secret] ELSE ARRAY[e.secret] END
    """
)

_TAKE = text(
    """
    SELECT d.id, d.address, d.attempts, a.id, a.kind, a.subject, a.data, a.at,
      1 + coalesce((SELECT max(number) FROM alert_attempts t WHERE t.delivery_id = d.id), 0)
    FROM alert_deliveries d JOIN alerts a ON a.id = d.alert_id
    WHERE d.endpoint_id = :endpoint AND d.status = 'pending' AND d.due_at <= :now
    ORDER BY d.due_at, d.id LIMIT 1 FOR UPDATE OF d
    """
)


class ServedEndpoint(NamedTuple):
    """An endpoint in the hands of one sender."""

    id: UUID
    name: str
    fence: int
    kind: str
    url: str | None

    at: datetime
    """When the sender took it."""

    secrets: Sequence[str]
    """The secrets that sign now."""


class LostAttempt(NamedTuple):
    """An attempt whose sender did not record it in time. earlier: those that failed before it."""

    delivery_id: UUID
    earlier: int
    at: datetime


def serve_endpoint(session: Session, lease: timedelta, now: datetime | None) -> ServedEndpoint | None:
    """Take the endpoint whose delivery has been due for longest, of those that nobody serves; None where none is due.

    now: None for the database's clock.
    """
    row = session.execute(_SERVE, {"lease": lease, "now": now}).first()
    return None if row is None else ServedEndpoint(*row)


def take_delivery(session: Session, served: ServedEndpoint) -> ClaimedDelivery | None:
    """The delivery of an endpoint that has been due for longest; the attempt is on record before it is made."""
    row = session.execute(_TAKE, {"endpoint": served.id, "now": served.at}).first()
    if row is None:
        return None

    delivery_id, address, earlier, *alert, number = row
    session.add(AlertAttemptRow(delivery_id=delivery_id, number=number, at=served.at))
    return ClaimedDelivery(
        id=delivery_id,
        endpoint_id=served.id,
        endpoint=served.name,
        fence=served.fence,
        kind=EndpointKind(served.kind),
        target=served.url or address,
        secrets=tuple(served.secrets),
        alert=Alert(*alert),
        number=number,
        earlier=earlier,
        at=served.at,
    )


_CLOSE_LOST = text(
    """
    UPDATE alert_attempts t SET failure = :failure, detail = :detail
    FROM alert_deliveries d
    WHERE d.id = t.delivery_id AND d.endpoint_id = :endpoint AND d.status = 'pending'
      AND t.duration_s IS NULL AND t.failure IS NULL
    RETURNING d.id, d.attempts, t.at
    """
)


def close_lost_attempts(session: Session, served: ServedEndpoint) -> list[LostAttempt]:
    """Write down that the senders before this one left attempts behind: whoever serves an endpoint is alone."""
    detail = "The sender did not record the answer before its lease ran out; the message may have arrived."
    values = {"endpoint": served.id, "failure": Failure.LOST, "detail": detail}
    return [LostAttempt(*row) for row in session.execute(_CLOSE_LOST, values)]


_RELEASE = text(
    """
    UPDATE alert_endpoints SET lease_expires_at = NULL WHERE id = :endpoint AND fence = :fence
    RETURNING enabled, failing_since
    """
)


def release_endpoint(session: Session, endpoint_id: UUID, fence: int) -> tuple[bool, datetime | None] | None:
    """Let others serve the endpoint: (is it enabled, since when it fails), or None where it is no longer ours."""
    row = session.execute(_RELEASE, {"endpoint": endpoint_id, "fence": fence}).first()
    return None if row is None else (row.enabled, row.failing_since)


def record_attempt(session: Session, claimed: ClaimedDelivery, outcome: AttemptOutcome) -> None:
    """Complete the attempt's record."""
    statement = update(AlertAttemptRow).where(
        AlertAttemptRow.delivery_id == claimed.id, AlertAttemptRow.number == claimed.number
    )
    values: ColumnValues = {
        "duration_s": outcome.duration.total_seconds(),
        "status": outcome.status,
        "failure": outcome.failure,
        "detail": outcome.detail,
    }
    session.execute(statement.values(values))


def end_delivery(session: Session, delivery_id: UUID, status: DeliveryStatus, at: datetime, *, attempts: int) -> None:
    """Nothing more is to be done for a delivery that waited."""
    _move(session, delivery_id, {"status": status, "ended_at": at, "attempts": attempts})


def postpone_delivery(session: Session, delivery_id: UUID, due_at: datetime, *, attempts: int) -> None:
    """Try again then."""
    _move(session, delivery_id, {"due_at": due_at, "attempts": attempts})


def deliver_late(session: Session, delivery_id: UUID, at: datetime) -> bool:
    """End a delivery that still waits although an attempt that was counted as lost brought it; False if none waits."""
    return _move(session, delivery_id, {"status": DeliveryStatus.DELIVERED, "ended_at": at})


def _move(session: Session, delivery_id: UUID, values: ColumnValues) -> bool:
    statement = update(AlertDeliveryRow).where(
        AlertDeliveryRow.id == delivery_id, AlertDeliveryRow.status == DeliveryStatus.PENDING
    )
    return session.scalar(statement.values(values).returning(AlertDeliveryRow.id)) is not None


def _alert(row: AlertRow) -> Alert:
    return Alert(row.id, row.kind, row.subject, cast("Mapping[str, JSON]", row.data), row.at)


def _attempt(row: AlertAttemptRow) -> Attempt:
    failure = None if row.failure is None else Failure(row.failure)
    return Attempt(row.number, row.at, row.duration_s, row.status, failure, row.detail)


def _delivery(row: AlertDeliveryRow, log: Sequence[Attempt]) -> Delivery:
    return Delivery(
        id=row.id,
        endpoint=row.endpoint_name,
        address=row.address or None,
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        due_at=row.due_at,
        ended_at=row.ended_at,
        log=tuple(log),
    )
