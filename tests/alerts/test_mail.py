"""Alerts by e-mail against a mail server on the loopback."""

import email
import email.policy
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.smtp import Envelope
from pydantic import SecretStr

from service.config import Settings
from service.db.session import Sessions
from service.delivery.mail import compose
from service.domain.alerts import Alert, Attempt, DeliveryStatus, Failure
from tests.alerts.clockwork import START, Clockwork, after
from tests.alerts.conftest import Certified
from tests.alerts.receivers import MailServer

MakeServer = Callable[..., MailServer]


def clockwork(sessions: Sessions, settings: Settings, server: MailServer, **changes: object) -> Clockwork:
    return Clockwork(sessions, settings.model_copy(update={"smtp_port": server.port, **changes}))


def message_of(envelope: Envelope) -> EmailMessage:
    assert isinstance(envelope.content, bytes)
    return email.message_from_bytes(envelope.content, policy=email.policy.default)


def last(one: Clockwork, alert_id: UUID) -> tuple[DeliveryStatus, Attempt]:
    delivery = one.delivery(alert_id)
    return delivery.status, delivery.log[-1]


def test_each_address_gets_a_message_of_its_own(
    sessions: Sessions, settings: Settings, mail_server: MakeServer
) -> None:
    server = mail_server()
    one = clockwork(sessions, settings, server)
    one.mail("physicists", "anna@hospital.test", "ben@hospital.test")
    data: dict[str, Any] = {
        "deployment": "screening-b5",
        "share": 0.25,
        "acknowledged": False,
        "rules": [{"rule": "density", "verdict": "fail"}],
        "notes": ["Dichte ≥ 2"],
        "baseline": None,
    }
    alert_id = one.publish(subject="screening-b5: FAIL, Dichte ≥ 2", **data)
    assert one.deliver(START) == 2
    assert sorted(envelope.rcpt_tos[0] for envelope in server.taken) == ["anna@hospital.test", "ben@hospital.test"]
    for envelope in server.taken:
        assert (envelope.mail_from, len(envelope.rcpt_tos)) == ("alerts@hospital.test", 1)
        message = message_of(envelope)
        assert message["To"] == envelope.rcpt_tos[0]
        assert message["From"] == "alerts@hospital.test"
        assert message["Subject"] == "screening-b5: FAIL, Dichte ≥ 2"
        assert message["Message-ID"] == f"<msg_{alert_id.hex}@hospital.test>"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Date"].datetime == START
        assert message.get_content_type() == "text/plain"
        lines = message.get_content().splitlines()
        assert lines[0] == "An audit failed."
        assert {"deployment: screening-b5", "share: 0.25", "acknowledged: no", "baseline: none"} <= set(lines)
        rules = lines[lines.index("rules:") + 1 :][:3]
        assert [line.strip() for line in rules] == ["-", "rule: density", "verdict: fail"]
        assert "  - Dichte ≥ 2" in lines
        assert f"alert: msg_{alert_id.hex}" in lines
    assert {delivery.status for delivery in one.deliveries(alert_id)} == {DeliveryStatus.DELIVERED}
    assert [delivery.address for delivery in one.deliveries(alert_id)] == ["anna@hospital.test", "ben@hospital.test"]


def test_every_mail_server_can_take_it() -> None:
    alert = Alert(UUID(int=7), "audit.failed", "Dichte ≥ 2 " + "x" * 150, {"long": "ü" * 2000, "dot": "."}, START)
    content = compose(alert, "alerts@hospital.test", "anna@hospital.test").as_bytes()
    assert content.isascii()
    assert all(len(line) <= 998 and b"\n" not in line for line in content.split(b"\r\n"))
    assert "ü" * 2000 in email.message_from_bytes(content, policy=email.policy.default).get_content()


def test_an_address_that_the_server_refuses_is_given_up_and_the_others_get_theirs(
    sessions: Sessions, settings: Settings, mail_server: MakeServer
) -> None:
    server = mail_server()
    server.rcpt = lambda address: "550 5.1.1 no such user" if address.startswith("gone") else "250 OK"
    one = clockwork(sessions, settings, server)
    one.mail("physicists", "anna@hospital.test", "gone@hospital.test")
    alert_id = one.publish()
    one.deliver_until(after(days=4))
    anna, gone = one.deliveries(alert_id)
    assert anna.status is DeliveryStatus.DELIVERED
    assert (gone.status, len(gone.log)) == (DeliveryStatus.FAILED, 1)
    assert (gone.log[0].failure, gone.log[0].status) == (Failure.MAIL_REJECTED, 550)
    assert gone.log[0].detail == "The mail server said 550: 5.1.1 no such user"
    assert one.endpoint("physicists").enabled


@pytest.mark.parametrize("stage", ["rcpt", "data"])
def test_what_is_refused_for_now_is_tried_again(
    sessions: Sessions, settings: Settings, mail_server: MakeServer, stage: str
) -> None:
    server = mail_server()
    setattr(server, stage, lambda *_: "451 4.7.1 greylisted")
    one = clockwork(sessions, settings, server)
    one.mail("physicists", "anna@hospital.test")
    alert_id = one.publish()
    one.deliver(START)
    status, attempt = last(one, alert_id)
    assert (status, attempt.failure, attempt.status) == (DeliveryStatus.PENDING, Failure.MAIL_DEFERRED, 451)
    setattr(server, stage, lambda *_: "250 OK")
    assert one.deliver(after(seconds=30)) == 1
    assert last(one, alert_id)[0] is DeliveryStatus.DELIVERED
    assert message_of(server.taken[0])["Message-ID"] == f"<msg_{alert_id.hex}@hospital.test>"


def test_content_that_the_server_refuses_is_given_up(
    sessions: Sessions, settings: Settings, mail_server: MakeServer
) -> None:
    server = mail_server()
    server.data = lambda: "554 5.7.1 spam"
    one = clockwork(sessions, settings, server)
    one.mail("physicists", "anna@hospital.test")
    alert_id = one.publish()
    one.deliver(START)
    status, attempt = last(one, alert_id)
    assert (status, attempt.failure, attempt.status) == (DeliveryStatus.FAILED, Failure.MAIL_REJECTED, 554)


def test_what_follows_the_message_does_not_undo_it(
    sessions: Sessions, settings: Settings, mail_server: MakeServer
) -> None:
    server = mail_server()
    server.quit = "500 what?"
    one = clockwork(sessions, settings, server)
    one.mail("physicists", "anna@hospital.test")
    alert_id = one.publish()
    one.deliver_until(after(days=1))
    assert last(one, alert_id)[0] is DeliveryStatus.DELIVERED
    assert len(server.taken) == 1


def test_a_mail_server_that_is_down_for_a_day_then_gets_everything(
    sessions: Sessions, settings: Settings, mail_server: MakeServer
) -> None:
    server = mail_server(up=False)
    one = clockwork(sessions, settings, server)
    one.mail("physicists", "anna@hospital.test")
    published = []
    for hour in range(0, 24, 6):
        published.append(one.publish(at=after(hours=hour)))
        one.deliver_until(after(hours=hour + 5, minutes=59))
    assert {attempt.failure for attempt in one.delivery(published[0]).log} == {Failure.CONNECTION}
    server.start()
    one.deliver_until(after(days=3))
    ids = [message_of(envelope)["Message-ID"] for envelope in server.taken]
    assert sorted(ids) == sorted(f"<msg_{alert_id.hex}@hospital.test>" for alert_id in published)
    assert one.endpoint("physicists").pending == 0


def test_a_mail_server_that_answers_too_slowly_is_cut_off(sessions: Sessions, settings: Settings) -> None:
    """Each of its bytes comes in time, and the end of its answer never."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def trickle() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.sendall(b"220 mail.hospital.test\r\n")
                while True:
                    connection.sendall(b"250-SLOW\r\n")
                    time.sleep(0.05)

        threading.Thread(target=trickle, daemon=True).start()
        slow = settings.model_copy(update={"smtp_port": listening.getsockname()[1], "alert_timeout_s": 0.5})
        one = Clockwork(sessions, slow)
        one.mail("physicists", "anna@hospital.test")
        alert_id = one.publish()
        begun = time.monotonic()
        one.deliver(START)
        assert time.monotonic() - begun < 20
    status, attempt = last(one, alert_id)
    assert (status, attempt.failure) == (DeliveryStatus.PENDING, Failure.TIMEOUT)


def test_login_and_tls(sessions: Sessions, settings: Settings, mail_server: MakeServer, certified: Certified) -> None:
    server = mail_server(tls=certified.context)
    login = {
        "smtp_tls": "starttls",
        "smtp_user": MailServer.USER,
        "smtp_password": SecretStr(MailServer.PASSWORD),
        "alert_ca_file": str(certified.authority),
    }
    right = clockwork(sessions, settings, server, **login)
    right.mail("physicists", "anna@hospital.test")
    alert_id = right.publish()
    wrong = clockwork(sessions, settings, server, **login | {"smtp_password": SecretStr("wrong")})
    wrong.deliver(START)
    status, attempt = last(wrong, alert_id)
    # The password may be put right, so the alert waits.
    assert (status, attempt.failure, attempt.status) == (DeliveryStatus.PENDING, Failure.MAIL_SERVER, 535)
    assert "wrong" not in (attempt.detail or "")
    logins = server.logins
    in_clear = clockwork(sessions, settings, server, **login | {"smtp_tls": "none"})
    in_clear.deliver(after(hours=1))
    assert last(in_clear, alert_id)[1].failure is Failure.SETTINGS
    distrusting = clockwork(sessions, settings, server, **login | {"alert_ca_file": ""})
    distrusting.deliver(after(hours=2))
    assert last(distrusting, alert_id)[1].failure is Failure.TLS
    assert server.logins == logins, "no password is sent without TLS, or to a stranger"
    right.deliver(after(days=1))
    assert last(right, alert_id)[0] is DeliveryStatus.DELIVERED
    assert len(server.taken) == 1


def test_tls_from_the_first_byte_on(
    sessions: Sessions, settings: Settings, mail_server: MakeServer, certified: Certified
) -> None:
    server = mail_server(tls=certified.context, from_the_first_byte=True)
    tls = {"smtp_tls": "tls", "alert_ca_file": str(certified.authority)}
    one = clockwork(sessions, settings, server, **tls)
    one.mail("physicists", "anna@hospital.test")
    one.publish()
    one.deliver(START)
    assert [envelope.rcpt_tos for envelope in server.taken] == [["anna@hospital.test"]]


def test_without_a_mail_server_in_the_settings_alerts_wait(
    sessions: Sessions, settings: Settings, mail_server: MakeServer
) -> None:
    one = clockwork(sessions, settings, mail_server())
    one.mail("physicists", "anna@hospital.test")
    alert_id = one.publish()
    Clockwork(sessions, settings.model_copy(update={"smtp_host": ""})).deliver(START)
    assert last(one, alert_id)[1].failure is Failure.SETTINGS
    assert one.deliver(after(seconds=30)) == 1
    assert last(one, alert_id)[0] is DeliveryStatus.DELIVERED


def test_a_subject_cannot_add_a_header(sessions: Sessions, settings: Settings, mail_server: MakeServer) -> None:
    server = mail_server()
    one = clockwork(sessions, settings, server)
    one.mail("physicists", "anna@hospital.test")
    one.publish(subject="FAIL\r\nBcc: eve@elsewhere.test\r\n\r\nhello")
    one.deliver(START)
    (envelope,) = server.taken
    assert envelope.rcpt_tos == ["anna@hospital.test"]
    assert message_of(envelope)["Bcc"] is None
    assert message_of(envelope)["Subject"] == "FAIL Bcc: eve@elsewhere.test hello"
