"""Settings that cannot be used are named, in our own words."""

import pytest

from api.app import create_app
from service.config import read_settings
from service.errors import InvalidInput


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LEASE_S", "soon", "LEASE_S is 'soon', which cannot be used: it must be a number."),
        ("LEASE_S", "nan", "LEASE_S is 'nan', which cannot be used: it must be a number of at most 3600.0."),
        ("LEASE_S", "0", "it must be a number greater than 0"),
        ("MAX_BODY_MB", "1.5", "it must be a whole number."),
        ("REQUESTS_AT_ONCE", "65", "it must be a number of at most 64."),
        ("ALERT_HTTP", "perhaps", "it must be true or false."),
        ("SMTP_TLS", "always", "it must be 'starttls', 'tls' or 'none'."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL is 'loud', which cannot be used: it is not one of CRITICAL, "),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    for read in (read_settings, create_app):
        with pytest.raises(InvalidInput) as refused:
            read()
        assert words in refused.value.detail
        assert refused.value.field == variable.lower()
        assert refused.value.remedy is not None
