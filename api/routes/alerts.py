"""Who is told what happens, and what became of it."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query, Request, Response, status

from api.dependencies import SessionDep, SettingsDep
from api.one_thread import OneThreadRoute
from api.pagination import Cursor, Limit, PageOut, decode_cursor, next_cursor
from api.schemas.alerts import (
    AlertBriefOut,
    AlertOut,
    EmailIn,
    EndpointOut,
    EndpointPatchIn,
    EndpointWithSecretOut,
    RedeliveryIn,
    RotationIn,
    WebhookIn,
)
from service.domain.alerts import DeliveryStatus, EndpointKind
from service.usecases import alerts

endpoints = APIRouter(prefix="/alert-endpoints", tags=["alerts"], route_class=OneThreadRoute)
router = APIRouter(prefix="/alerts", tags=["alerts"], route_class=OneThreadRoute)

EndpointName = Annotated[str, Path(max_length=80)]
AlertId = Annotated[
    str, Path(max_length=80, description="The alert's id, which receivers get in the header `webhook-id`.")
]


@endpoints.post("", status_code=status.HTTP_201_CREATED)
def create_alert_endpoint(
    body: Annotated[WebhookIn | EmailIn, Body(discriminator="kind")],
    session: SessionDep,
    settings: SettingsDep,
    response: Response,
) -> EndpointWithSecretOut:
    """Register an alert endpoint. Only this answer shows the secret of a webhook."""
    endpoint, secret = alerts.create_endpoint(
        session,
        settings,
        name=body.name,
        kind=EndpointKind(body.kind),
        url=body.url if isinstance(body, WebhookIn) else None,
        addresses=body.addresses if isinstance(body, EmailIn) else None,
        events=None if body.events == "all" else body.events,
    )

    response.headers["Location"] = f"/alert-endpoints/{endpoint.name}"
    return EndpointWithSecretOut.with_secret(endpoint, secret)


@endpoints.get("")
def list_alert_endpoints(
    session: SessionDep, request: Request, response: Response, limit: Limit = 50, cursor: Cursor = None
) -> PageOut[EndpointOut]:
    """All endpoints, newest first."""
    page = alerts.list_endpoints(session, limit=limit, after=decode_cursor(cursor))
    items = [EndpointOut.of(endpoint) for endpoint in page.items]
    return PageOut[EndpointOut](items=items, next=next_cursor(request, response, page.next_position))


@endpoints.get("/{name}")
def read_alert_endpoint(name: EndpointName, session: SessionDep) -> EndpointOut:
    """One endpoint: its health, and if it is disabled, why."""
    return EndpointOut.of(alerts.find_endpoint(session, name))


@endpoints.patch("/{name}")
def change_alert_endpoint(
    name: EndpointName, body: EndpointPatchIn, session: SessionDep, settings: SettingsDep
) -> EndpointOut:
    """Change an endpoint. Alerts wait while it is disabled; enabling it sends them."""
    return EndpointOut.of(alerts.change_endpoint(session, settings, name, body.change()))


@endpoints.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
def delete_alert_endpoint(name: EndpointName, session: SessionDep) -> None:
    """Delete an endpoint. This withdraws its pending deliveries; past deliveries stay on record."""
    alerts.delete_endpoint(session, name)


@endpoints.post("/{name}/rotate-secret")
def rotate_secret(name: EndpointName, session: SessionDep, body: RotationIn | None = None) -> EndpointWithSecretOut:
    """Create a new secret, shown only once. During the overlap, webhooks are also signed with the old secret."""
    endpoint, secret = alerts.rotate_secret(session, name, overlap=(body or RotationIn()).overlap)
    return EndpointWithSecretOut.with_secret(endpoint, secret)


@endpoints.post("/{name}/test", status_code=status.HTTP_202_ACCEPTED)
def test_alert_endpoint(name: EndpointName, session: SessionDep, response: Response) -> AlertOut:
    """Send an alert of kind `alert.test` to this endpoint. Location leads to the alert and its deliveries."""
    alert = alerts.send_test(session, name)
    response.headers["Location"] = f"/alerts/{alert.message_id}"
    return AlertOut.of(*alerts.find_alert(session, alert.id))


@router.get("")
def list_alerts(
    session: SessionDep,
    request: Request,
    response: Response,
    kind: Annotated[str | None, Query(max_length=80)] = None,
    delivery: Annotated[DeliveryStatus | None, Query(description="Only alerts with a delivery in this status.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> PageOut[AlertBriefOut]:
    """All alerts, newest first."""
    page, counts = alerts.list_alerts(session, kind=kind, status=delivery, limit=limit, after=decode_cursor(cursor))
    items = [AlertBriefOut.of(alert, counts.get(alert.id, {})) for alert in page.items]
    return PageOut[AlertBriefOut](items=items, next=next_cursor(request, response, page.next_position))


@router.get("/{id}")
def read_alert(id: AlertId, session: SessionDep) -> AlertOut:  # noqa: A002 - its name in the contract
    """One alert with its deliveries and all their attempts."""
    return AlertOut.of(*alerts.find_alert(session, alerts.parse_alert_id(id)))


@router.post("/{id}/redeliver", status_code=status.HTTP_202_ACCEPTED)
def redeliver_alert(
    id: AlertId,  # noqa: A002 - its name in the contract
    session: SessionDep,
    body: RedeliveryIn | None = None,
) -> AlertOut:
    """Deliver an alert again under the same id, to everyone whom it was for or to one endpoint."""
    alert_id = alerts.parse_alert_id(id)
    alerts.redeliver(session, alert_id, endpoint=(body or RedeliveryIn()).endpoint)
    return AlertOut.of(*alerts.find_alert(session, alert_id))
