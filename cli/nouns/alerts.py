"""`mammodissect alerts`: what was told, and whether it arrived."""

from typing import Annotated

import typer

from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, limit_of, noun, verb
from service.domain.alerts import DeliveryStatus

alerts = noun("alerts", "What was told, and whether it arrived: list, show.")

_COLUMNS = (
    Column("alert", "id"),
    Column("kind", "kind"),
    Column("subject", "subject"),
    Column("at", "at"),
    Column("delivered", "deliveries.delivered"),
    Column("pending", "deliveries.pending"),
    Column("failed", "deliveries.failed"),
)


@verb(alerts, "list")
def list_alerts(
    client: ServiceClient,
    answers: Answers,
    kind: Annotated[str | None, typer.Option(help="Only of this kind, such as audit.failed.")] = None,
    delivery: Annotated[DeliveryStatus | None, typer.Option(help="Only with a delivery in this status.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    everything: All = False,
) -> None:
    """List alerts, newest first."""
    filters = {"kind": kind, "delivery": delivery}
    answers.show_list(client.pages("/alerts", filters, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(alerts, "show")
def show_alert(
    client: ServiceClient, answers: Answers, alert: Annotated[str, typer.Argument(help="Id of the alert.")]
) -> None:
    """Show one alert with its deliveries and all their attempts."""
    answers.show(client.get(path_of("alerts", alert)))
