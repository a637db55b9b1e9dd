"""Tell people: publish alerts, look after the endpoints that hear them, deliver again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from uuid import UUID

from sqlalchemy.orm import Session

from service.config import Settings
from service.db import alert_endpoints as endpoints
from service.db import alerts as queries
from service.db.columns import ColumnValues
from service.db.session import database_clock
from service.delivery.addresses import check_url
from service.domain.alerts import (
    JSON,
    TEST,
    Alert,
    Delivery,
    DeliveryStatus,
    Endpoint,
    EndpointKind,
    check_addresses,
    check_kind,
    check_kinds,
    one_line,
)
from service.domain.pages import Page, Position
from service.domain.resources import check_name
from service.domain.webhooks import new_secret
from service.errors import Conflict, InvalidInput, NotFound

ON_REQUEST = "Disabled on request."

RECENT = 1_000
"""So many of the newest alerts are searched for those of one deployment."""


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What is to be different; None: as it is. events: kinds, or "all"."""

    url: str | None = None
    addresses: Sequence[str] | None = None
    events: Sequence[str] | None = None
    enabled: bool | None = None
    reason: str | None = None


def publish_alert(
    session: Session, kind: str, data: Mapping[str, JSON], *, subject: str, at: datetime | None = None
) -> UUID:
    """Tell everybody who listens: written in the caller's transaction, sent once that has been committed.

    data: JSON, a few kilobytes at most, with nothing in it that names a patient. subject: one line for people, such as
    "screening-b5: FAIL". at: when it happened, None for the time of this transaction. Raises InvalidInput for a kind
    that there is not and for an empty subject, ValueError for NaN and infinity.
    """
    check_kind(kind, field="kind")
    alert = queries.add_alert(session, kind, one_line(subject), data, at)
    queries.add_deliveries(session, alert)
    return alert.id


def create_endpoint(
    session: Session,
    settings: Settings,
    *,
    name: str,
    kind: EndpointKind,
    url: str | None = None,
    addresses: Sequence[str] | None = None,
    events: Sequence[str] | None = None,
) -> tuple[Endpoint, str | None]:
    """A new endpoint, and the secret of a webhook, which nobody is shown again. events: None for all.

    Raises InvalidInput, and Conflict for a name that is taken or mail without a mail server.
    """
    check_name(name)
    events = None if events is None else _checked_kinds(events)

    secret = None
    if kind is EndpointKind.WEBHOOK:
        check_url(url or "", settings)
        secret = new_secret()
    else:
        check_addresses(addresses or ())
        _check_mail(settings)

    endpoint = endpoints.add_endpoint(session, name, kind, url=url, secret=secret, addresses=addresses, events=events)
    if endpoint is None:
        raise Conflict(
            f"An alert endpoint named '{name}' already exists.",
            field="name",
            value=name,
            remedy=f"Change it with PATCH /alert-endpoints/{name}, or choose another name.",
        )
    return endpoint, secret


def find_endpoint(session: Session, name: str) -> Endpoint:
    """The endpoint of that name. Raises NotFound with near matches."""
    endpoint = endpoints.find_endpoint(session, name)
    return endpoint if endpoint is not None else _unknown(session, name)


def list_endpoints(session: Session, *, limit: int, after: Position | None) -> Page[Endpoint]:
    """All endpoints, newest first."""
    return endpoints.list_endpoints(session, limit=limit, after=after)


def change_endpoint(
    session: Session, settings: Settings, name: str, change: EndpointChange, *, now: datetime | None = None
) -> Endpoint:
    """Change an endpoint. To enable it sends everything that it has missed. Raises NotFound, InvalidInput."""
    endpoint = _locked(session, name)
    values: ColumnValues = {}

    if change.events is not None:
        values["events"] = None if change.events == "all" else _checked_kinds(change.events)
    if change.url is not None:
        _check_kind(endpoint, EndpointKind.WEBHOOK, field="url", value=change.url)
        check_url(change.url, settings)
        values["url"] = change.url
    if change.addresses is not None:
        _check_kind(endpoint, EndpointKind.EMAIL, field="addresses", value=", ".join(change.addresses))
        check_addresses(change.addresses)
        values["addresses"] = list(change.addresses)

    if change.reason is not None and change.enabled is not False:
        raise InvalidInput(
            "A reason needs enabled to be false, because it explains why the endpoint is disabled.",
            field="reason",
            value=change.reason,
            remedy="Leave the reason out, or set enabled to false.",
        )

    moment = now or database_clock(session)
    if change.enabled is True:
        values |= {"enabled": True, "disabled_reason": None, "failing_since": None, "held_until": None}
        if not endpoint.enabled:
            endpoints.send_what_was_missed(session, endpoint, moment)
    elif change.enabled is False:
        values |= {"enabled": False, "disabled_reason": change.reason or ON_REQUEST}

    if values:
        endpoints.change_endpoint(session, endpoint.id, values)
    if change.addresses is not None:
        endpoints.withdraw_deliveries(session, endpoint.id, moment, keep=change.addresses)
    return find_endpoint(session, name)


def delete_endpoint(session: Session, name: str, *, now: datetime | None = None) -> None:
    """Delete an endpoint: what is on its way is withdrawn, what was delivered stays on record. Raises NotFound."""
    endpoint = _locked(session, name)
    endpoints.remove_endpoint(session, endpoint.id, now or database_clock(session))


def rotate_secret(
    session: Session, name: str, *, overlap: timedelta, now: datetime | None = None
) -> tuple[Endpoint, str]:
    """Give a webhook another secret, which nobody is shown again; the present one signs, too, for the overlap.

    Raises NotFound, and Conflict for an endpoint that has no secret.
    """
    endpoint = _locked(session, name)
    if endpoint.kind is not EndpointKind.WEBHOOK:
        raise Conflict(
            f"Alert endpoint '{name}' is for e-mail, which the service does not sign.",
            field="name",
            value=name,
            remedy="Name a webhook.",
        )

    secret = new_secret()
    previous_until = None
    if overlap > timedelta(0):
        previous_until = (now or database_clock(session)) + overlap
    endpoints.replace_secret(session, endpoint.id, secret, previous_until=previous_until)
    return find_endpoint(session, name), secret


def send_test(session: Session, name: str, *, now: datetime | None = None) -> Alert:
    """Send a test to this endpoint alone, whatever it listens to. Raises NotFound, Conflict while it is disabled."""
    endpoint = find_endpoint(session, name)
    _check_enabled(endpoint)
    alert = queries.add_alert(session, TEST, f"Test of alert endpoint {name}", {"endpoint": name}, now)
    queries.deliver_to(session, alert.id, endpoint.id, alert.at)
    return alert


def parse_alert_id(text: str) -> UUID:
    """The id of an alert from what receivers and clients know it by: `msg_...` or a UUID. Raises NotFound."""
    try:
        return UUID(text.removeprefix("msg_"))
    except ValueError:
        raise _unknown_alert(text) from None


def find_alert(session: Session, alert_id: UUID) -> tuple[Alert, list[Delivery]]:
    """An alert, and its deliveries with every attempt. Raises NotFound."""
    alert = queries.find_alert(session, alert_id)
    if alert is None:
        raise _unknown_alert(f"msg_{alert_id.hex}")
    return alert, queries.deliveries_of(session, alert_id)


def list_alerts(
    session: Session, *, kind: str | None, status: DeliveryStatus | None, limit: int, after: Position | None
) -> tuple[Page[Alert], dict[UUID, dict[DeliveryStatus, int]]]:
    """Alerts, newest first, and how many deliveries of each have each status.

    status: only those with a delivery of that status. Raises InvalidInput for a kind that there is not.
    """
    if kind is not None:
        check_kind(kind, field="kind")
    page = queries.list_alerts(session, kind=kind, status=status, limit=limit, after=after)
    return page, queries.count_deliveries(session, [alert.id for alert in page.items])


def alerts_about(session: Session, deployment: str, schedules: Sequence[str], *, limit: int) -> list[Alert]:
    """The newest alerts that tell of a deployment or of its schedules, among the newest `RECENT` of all."""
    return queries.alerts_about(session, deployment, schedules, among=RECENT, limit=limit)


def redeliver(session: Session, alert_id: UUID, *, endpoint: str | None, now: datetime | None = None) -> None:
    """Deliver an alert again under the same id: to one endpoint, whatever it listens to, or to all it was for.

    Raises NotFound, and Conflict where the endpoint is disabled or nobody is left to deliver to.
    """
    find_alert(session, alert_id)
    moment = now or database_clock(session)
    if endpoint is not None:
        receiver = find_endpoint(session, endpoint)
        _check_enabled(receiver)
        queries.deliver_to(session, alert_id, receiver.id, moment)
    elif queries.deliver_again(session, alert_id, moment) == 0:
        raise Conflict(
            "None of the alert's endpoints exists any more.",
            field="endpoint",
            remedy='Name an endpoint in the body, as in {"endpoint": "on-call"}.',
        )


def _locked(session: Session, name: str) -> Endpoint:
    endpoint = endpoints.lock_endpoint(session, name)
    return endpoint if endpoint is not None else _unknown(session, name)


def _unknown(session: Session, name: str) -> Endpoint:
    near = get_close_matches(name, endpoints.endpoint_names(session), n=3, cutoff=0.4)
    remedy = f"Near matches: {', '.join(near)}." if near else "Create it with POST /alert-endpoints."
    raise NotFound(f"There is no alert endpoint '{name[:80]}'.", field="name", value=name, remedy=remedy)


def _unknown_alert(text: str) -> NotFound:
    return NotFound(
        f"There is no alert '{text[:80]}'.", field="id", value=text, remedy="List the alerts with GET /alerts."
    )


def _checked_kinds(kinds: Sequence[str]) -> list[str]:
    check_kinds(kinds)
    return list(dict.fromkeys(kinds))


def _check_kind(endpoint: Endpoint, kind: EndpointKind, *, field: str, value: str) -> None:
    if endpoint.kind is not kind:
        raise InvalidInput(
            f"Alert endpoint '{endpoint.name}' is of kind {endpoint.kind}, which has no {field}.",
            field=field,
            value=value,
            remedy=f"Leave {field} out, or create another endpoint of kind {kind}.",
        )


def _check_enabled(endpoint: Endpoint) -> None:
    if not endpoint.enabled:
        raise Conflict(
            f"Alert endpoint '{endpoint.name}' is disabled: {endpoint.disabled_reason}",
            field="endpoint",
            value=endpoint.name,
            remedy=f'Enable it with PATCH /alert-endpoints/{endpoint.name} and {{"enabled": true}}.',
        )


def _check_mail(settings: Settings) -> None:
    for setting in ("smtp_host", "smtp_sender"):
        if not getattr(settings, setting):
            raise Conflict(
                f"Alerts cannot be sent by e-mail: {setting.upper()} is not set.",
                field="kind",
                value=EndpointKind.EMAIL,
                remedy=f"Set {setting.upper()} for the API and the scheduler, and restart them.",
            )
