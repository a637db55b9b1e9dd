"""Alerts under a clock that goes as the test says."""

import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from service.config import Settings
from service.db.session import Sessions, transaction
from service.delivery.addresses import Resolver
from service.delivery.courier import Courier
from service.domain.alerts import Delivery, Endpoint, EndpointKind
from service.usecases import alerts
from service.usecases.alert_delivery import Senders

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
SPECIFIED = [
    timedelta(),
    timedelta(seconds=5),
    timedelta(minutes=5, seconds=5),
    timedelta(minutes=35, seconds=5),
    timedelta(hours=2, minutes=35, seconds=5),
    timedelta(hours=7, minutes=35, seconds=5),
    timedelta(hours=17, minutes=35, seconds=5),
    timedelta(hours=31, minutes=35, seconds=5),
    timedelta(hours=51, minutes=35, seconds=5),
    timedelta(hours=75, minutes=35, seconds=5),
]
"""The table of the specification: time since the start."""


class Clockwork:
    """Delivers what is due at a time that it is told, or goes from one due time to the next."""

    def __init__(self, sessions: Sessions, settings: Settings, resolve: Resolver = socket.getaddrinfo) -> None:
        self.sessions = sessions
        self.settings = settings
        self.senders = Senders(sessions, settings, Courier(settings, resolve))

    def deliver(self, now: datetime | None = None) -> int:
        """Deliver what is due now; how many attempts that took. now: None for the database's clock."""
        before = self.senders.attempts
        self.senders.start_due(now)
        self.senders.wait()
        return self.senders.attempts - before

    def deliver_until(self, end: datetime) -> None:
        """Let time pass, stopping wherever something is due."""
        now = self.next_due()
        while now is not None and now <= end:
            assert self.deliver(now), "what is due is tried"
            now = self.next_due()

    def next_due(self) -> datetime | None:
        query = (
            "SELECT min(greatest(d.due_at, e.held_until)) FROM alert_deliveries d "
            "JOIN alert_endpoints e ON e.id = d.endpoint_id WHERE d.status = 'pending' AND e.enabled"
        )
        with transaction(self.sessions) as session:
            due: datetime | None = session.execute(text(query)).scalar_one()
            return due

    def publish(
        self, kind: str = "audit.failed", *, at: datetime = START, subject: str = "screening-b5: FAIL", **data: Any
    ) -> UUID:
        with transaction(self.sessions) as session:
            return alerts.publish_alert(session, kind, data, subject=subject, at=at)

    def webhook(self, name: str, url: str, events: Sequence[str] | None = None) -> str:
        """Register a webhook; its secret."""
        with transaction(self.sessions) as session:
            made = alerts.create_endpoint(
                session, self.settings, name=name, kind=EndpointKind.WEBHOOK, url=url, events=events
            )
        assert made[1] is not None
        return made[1]

    def mail(self, name: str, *addresses: str) -> None:
        with transaction(self.sessions) as session:
            alerts.create_endpoint(session, self.settings, name=name, kind=EndpointKind.EMAIL, addresses=addresses)

    def endpoint(self, name: str) -> Endpoint:
        with transaction(self.sessions) as session:
            return alerts.find_endpoint(session, name)

    def enable(self, name: str, now: datetime) -> Endpoint:
        with transaction(self.sessions) as session:
            change = alerts.EndpointChange(enabled=True)
            return alerts.change_endpoint(session, self.settings, name, change, now=now)

    def deliveries(self, alert_id: UUID) -> list[Delivery]:
        with transaction(self.sessions) as session:
            return alerts.find_alert(session, alert_id)[1]

    def delivery(self, alert_id: UUID) -> Delivery:
        """The only delivery of an alert."""
        (one,) = self.deliveries(alert_id)
        return one


def after(**duration: float) -> datetime:
    return START + timedelta(**duration)
