"""Whom receivers and mail servers have to be certified by."""

import ssl

import httpx

from service.config import Settings
from service.errors import InvalidInput


def tls_context(settings: Settings) -> ssl.SSLContext:
    """The usual authorities and those of ALERT_CA_FILE. Raises InvalidInput where that file cannot be used."""
    context = httpx.create_ssl_context(trust_env=False)
    if settings.alert_ca_file:
        try:
            context.load_verify_locations(cafile=settings.alert_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                "ALERT_CA_FILE cannot be used.",
                field="alert_ca_file",
                value=settings.alert_ca_file,
                remedy="Name a PEM file of CA certificates that this process can read.",
            ) from error

    return context
