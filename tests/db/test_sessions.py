"""Sessions: what their connections ask of the network, and what their errors tell."""

import time
import traceback

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from service.db.session import Sessions, transaction
from service.errors import Unavailable

SECRET = "whsec_c2VjcmV0"  # noqa: S105
ADD_ENDPOINT = text("INSERT INTO alert_endpoints (name, kind, url, secret) VALUES (:name, :kind, :url, :secret)")
WEBHOOK = {"name": "on-call", "kind": "webhook", "url": "https://alerts.example/", "secret": SECRET}


def test_a_database_that_falls_silent_is_noticed(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        asked = driver.info.get_parameters()
    assert {name: asked[name] for name in asked if "keepalives" in name or "timeout" in name} == {
        "connect_timeout": "5",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "20000",
    }


@pytest.mark.parametrize("wrong", [{}, {"name": "other", "kind": "email"}], ids=["twice", "of a kind it is not"])
def test_an_error_tells_no_values(sessions: Sessions, wrong: dict[str, str]) -> None:
    with transaction(sessions) as session:
        session.execute(ADD_ENDPOINT, WEBHOOK)
    with pytest.raises(IntegrityError) as caught, transaction(sessions) as session:
        session.execute(ADD_ENDPOINT, WEBHOOK | wrong)
    logged = "".join(traceback.format_exception(caught.value))
    assert "violates" in logged
    assert "alert_endpoints" in logged, "which constraint it was remains"
    for value in (SECRET, "on-call", "https://alerts.example/"):
        assert value not in logged


def pid(sessions: Sessions) -> int:
    """The process of Postgres that serves the next transaction."""
    with transaction(sessions) as session:
        number: int = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        return number


def write_under(sessions: Sessions, setting: str) -> None:
    with transaction(sessions) as session:
        session.execute(text(setting))
        time.sleep(0.5)
        session.execute(ADD_ENDPOINT, WEBHOOK)


@pytest.mark.parametrize(
    "setting",
    ["SET TRANSACTION READ ONLY", "SET LOCAL idle_in_transaction_session_timeout = '50ms'"],
    ids=["has become read-only", "was kept waiting for too long"],
)
def test_a_database_that_refuses_for_now(sessions: Sessions, setting: str) -> None:
    before = pid(sessions)
    with pytest.raises(Unavailable):
        write_under(sessions, setting)
    assert pid(sessions) != before, "that connection is not used again"
