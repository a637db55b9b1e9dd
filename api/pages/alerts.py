"""Alerts, and one alert: whom it was for, and what became of every attempt."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.dependencies import SessionDep
from api.pages.forms import FormDep, PageRoute, see_other
from api.pages.paging import PAGE_SIZE, first_page, next_page
from api.pages.rendering import page
from api.pagination import Cursor, decode_cursor
from service.domain.alerts import ALERT_KINDS, DeliveryStatus
from service.usecases import alerts

router = APIRouter(include_in_schema=False, route_class=PageRoute)

AlertId = Annotated[str, Path(max_length=80)]


@router.get("/ui/alerts")
def show_alerts(
    request: Request, session: SessionDep, kind: str = "", delivery: str = "", cursor: Cursor = None
) -> Response:
    """Alerts, newest first, and who hears them. kind, delivery: empty for all, as a form sends them."""
    wanted = kind if kind in ALERT_KINDS else None
    status = DeliveryStatus(delivery) if delivery in list(DeliveryStatus) else None
    listed, counts = alerts.list_alerts(
        session, kind=wanted, status=status, limit=PAGE_SIZE, after=decode_cursor(cursor)
    )
    return page(
        request,
        "alerts.html",
        alerts=listed.items,
        counts=counts,
        kinds=ALERT_KINDS,
        kind=wanted,
        statuses=list(DeliveryStatus),
        status=status,
        endpoints=alerts.list_endpoints(session, limit=PAGE_SIZE, after=None).items,
        next_page=next_page(request, listed.next_position),
        first_page=first_page(request),
    )


@router.get("/ui/alerts/{alert_id}")
def show_alert(request: Request, alert_id: AlertId, session: SessionDep) -> Response:
    """One alert. Raises NotFound."""
    alert, deliveries = alerts.find_alert(session, alerts.parse_alert_id(alert_id))
    return page(request, "alert.html", alert=alert, kind_words=ALERT_KINDS.get(alert.kind, ""), deliveries=deliveries)


@router.post("/ui/alerts/{alert_id}/redeliver")
def redeliver(alert_id: AlertId, form: FormDep, session: SessionDep, response: Response) -> Response:
    """Deliver it again: to one endpoint, or to all it was for.

    Raises NotFound, and Conflict where nobody is left to deliver to or the endpoint is disabled.
    """
    identifier = alerts.parse_alert_id(alert_id)
    alerts.redeliver(session, identifier, endpoint=form.text("endpoint")[:64] or None)
    return see_other(response, f"/ui/alerts/msg_{identifier.hex}")
