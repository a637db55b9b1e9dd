"""The courier: makes one attempt to deliver, and says how it went."""

import socket
import time
from datetime import timedelta

import structlog

from service.config import Settings
from service.delivery import mail, webhooks
from service.delivery.addresses import AllowedHosts, Resolver, look_up
from service.delivery.failed import AttemptFailed
from service.delivery.tls import tls_context
from service.domain.alerts import AttemptOutcome, ClaimedDelivery, EndpointKind, Failure
from service.domain.webhooks import payload_of, signed_headers

log = structlog.get_logger()


class Courier:
    """Delivers by HTTP and SMTP; may be used by several threads. Raises InvalidInput for settings that cannot be used.

    resolve: how names are looked up.
    """

    def __init__(self, settings: Settings, resolve: Resolver = socket.getaddrinfo) -> None:
        self._settings = settings
        self._resolve = resolve
        self._context = tls_context(settings)
        AllowedHosts.of(settings.alert_hosts)

    def attempt(self, claimed: ClaimedDelivery) -> AttemptOutcome:
        """Try once to deliver. Whatever goes wrong with the receiver is part of the outcome."""
        began = time.monotonic()
        by_mail = claimed.kind is EndpointKind.EMAIL
        try:
            status = self._mail(claimed) if by_mail else self._post(claimed)
        except AttemptFailed as failed:
            return AttemptOutcome(
                _since(began),
                status=failed.status,
                failure=failed.failure,
                detail=failed.detail,
                retry_after=failed.retry_after,
            )
        except Exception as error:
            log.error("cannot send an alert", alert=claimed.alert.message_id, exc_info=error)
            detail = "This service could not send it; the scheduler's log says why."
            return AttemptOutcome(_since(began), failure=Failure.INTERNAL, detail=detail)

        return AttemptOutcome(_since(began), status=status)

    def _post(self, claimed: ClaimedDelivery) -> int:
        destination = look_up(claimed.target, self._settings, self._resolve)
        body = payload_of(claimed.alert)
        headers = signed_headers(claimed.alert.message_id, claimed.at, body, claimed.secrets)
        timeout_s = self._settings.alert_timeout_s
        return webhooks.post(destination, headers, body, timeout_s=timeout_s, context=self._context, at=claimed.at)

    def _mail(self, claimed: ClaimedDelivery) -> int:
        message = mail.compose(claimed.alert, self._settings.smtp_sender, claimed.target)
        return mail.send(message, self._settings, context=self._context)


def _since(began: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - began)
