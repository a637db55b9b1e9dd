"""Webhooks against receivers on the loopback: signatures, failures, retries, and what is never lost."""

import base64
import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.alerts import JSON, DeliveryStatus, Failure
from service.usecases import alerts
from tests.alerts.clockwork import SPECIFIED, START, Clockwork, after
from tests.alerts.conftest import Certified, MakeReceiver
from tests.alerts.receivers import DROP, HANG, TRICKLE, Answer, Received
from tests.embedded.processes import wait_until


def verified_by_specification(secret: str, one: Received, *, now: datetime) -> bool:
    """Written from the text of Standard Webhooks 1.0 alone."""
    key = base64.b64decode(secret[len("whsec_") :])
    sent_at = int(one.headers["webhook-timestamp"])
    signed = one.headers["webhook-id"].encode() + b"." + str(sent_at).encode() + b"." + one.body
    expected = hmac.new(key, signed, hashlib.sha256).digest()
    listed = [entry.split(",", 1) for entry in one.headers["webhook-signature"].split(" ")]
    matches = [hmac.compare_digest(base64.b64decode(value), expected) for version, value in listed if version == "v1"]
    return secret.startswith("whsec_") and any(matches) and abs(now.timestamp() - sent_at) < 300


def verified_by_package(secret: str, one: Received) -> bool:
    try:
        Webhook(secret).verify(one.body, one.headers)
    except WebhookVerificationError:
        return False
    return True


def test_a_webhook_says_what_happened_and_is_signed(
    clockwork: Clockwork, sessions: Sessions, receiver: MakeReceiver
) -> None:
    hook = receiver()
    secret = clockwork.webhook("on-call", hook.url)
    with transaction(sessions) as session:
        data: dict[str, JSON] = {"deployment": "screening-b5", "share": 0.25, "reasons": ["Dichte ≥ 2"], "audit": None}
        alert_id = alerts.publish_alert(session, "audit.failed", data, subject="screening-b5: FAIL")
    assert clockwork.deliver() == 1, "by the database's clock"
    (one,) = hook.received
    assert one.id == f"msg_{alert_id.hex}"
    assert one.headers["content-type"] == "application/json"
    assert one.path == "/hook"
    assert set(one.json) == {"type", "timestamp", "subject", "data"}
    assert (one.json["type"], one.json["subject"], one.json["data"]) == ("audit.failed", "screening-b5: FAIL", data)
    assert datetime.fromisoformat(one.json["timestamp"]) <= datetime.now(UTC)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    forged = [
        replace(one, body=one.body.replace(b"FAIL", b"PASS")),
        replace(one, headers=one.headers | {"webhook-id": "msg_other"}),
        replace(one, headers=one.headers | {"webhook-timestamp": str(int(one.headers["webhook-timestamp"]) + 1)}),
    ]
    now = datetime.now(UTC)
    assert verified_by_package(secret, one)
    assert verified_by_specification(secret, one, now=now)
    for other in forged:
        assert not verified_by_package(secret, other)
        assert not verified_by_specification(secret, other, now=now)
    delivery = clockwork.delivery(alert_id)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert [(try_.number, try_.status, try_.failure) for try_ in delivery.log] == [(1, 204, None)]
    assert clockwork.deliver() == 0


def test_an_alert_goes_to_those_who_listen_and_only_once_it_is_committed(
    clockwork: Clockwork, sessions: Sessions, receiver: MakeReceiver
) -> None:
    everything, failures = receiver(), receiver()
    clockwork.webhook("everything", everything.url)
    clockwork.webhook("failures", failures.url, ["audit.failed", "audit.error"])
    passed = clockwork.publish("audit.passed")
    failed = clockwork.publish("audit.failed")
    with sessions() as session:
        alerts.publish_alert(session, "audit.failed", {}, subject="of an audit that could not be stored")
        session.rollback()
    assert clockwork.deliver(START) == 3
    assert sorted(everything.ids) == sorted([f"msg_{passed.hex}", f"msg_{failed.hex}"])
    assert failures.ids == [f"msg_{failed.hex}"]


FAILURES = {
    "broken": (Answer(500, {"content-type": "text/plain"}, b"it is broken"), Failure.STATUS, 500),
    "unknown": (Answer(404), Failure.STATUS, 404),
    "moved": (Answer(302, {"location": "/elsewhere"}), Failure.REDIRECT, 302),
    "elsewhere": (Answer(307, {"location": "/elsewhere"}), Failure.REDIRECT, 307),
    "drops": (DROP, Failure.PROTOCOL, None),
    "hangs": (HANG, Failure.TIMEOUT, None),
    "trickles": (TRICKLE, Failure.TIMEOUT, None),
}


@pytest.mark.parametrize("slow", [False, True], ids=["answers", "slow answers"])
def test_a_failure_is_on_record_and_the_same_message_goes_again(
    sessions: Sessions, settings: Settings, receiver: MakeReceiver, *, slow: bool
) -> None:
    # Those who answer have all the time they need, however busy this machine is.
    patience = 1.0 if slow else settings.alert_timeout_s
    clockwork = Clockwork(sessions, settings.model_copy(update={"alert_timeout_s": patience}))
    cases = {name: case for name, case in FAILURES.items() if (case[1] is Failure.TIMEOUT) == slow}
    hooks = {name: receiver([answering, Answer()]) for name, (answering, *_) in cases.items()}
    secrets = {name: clockwork.webhook(name, hook.url) for name, hook in hooks.items()}
    alert_id = clockwork.publish()
    assert clockwork.deliver(START) == len(cases)
    for delivery in clockwork.deliveries(alert_id):
        (attempt,) = delivery.log
        assert (delivery.status, attempt.at) == (DeliveryStatus.PENDING, START)
        assert (attempt.failure, attempt.status) == cases[delivery.endpoint][1:]
        assert attempt.detail
        assert clockwork.endpoint(delivery.endpoint).failing_since == START
    assert clockwork.deliver(after(seconds=4)) == 0, "not before the schedule says"
    clockwork.senders = Clockwork(sessions, settings).senders
    assert clockwork.deliver(after(seconds=30)) == len(cases)
    for name, hook in hooks.items():
        first, second = hook.received
        assert (first.id, first.body, first.path) == (second.id, second.body, second.path)
        assert first.headers["webhook-timestamp"] == str(int(START.timestamp()))
        assert second.headers["webhook-timestamp"] == str(int(after(seconds=30).timestamp()))
        assert verified_by_specification(secrets[name], second, now=after(seconds=31))
        assert not verified_by_specification(secrets[name], first, now=after(hours=1)), "an old message is no message"
        assert clockwork.endpoint(name).failing_since is None
    assert {delivery.status for delivery in clockwork.deliveries(alert_id)} == {DeliveryStatus.DELIVERED}


def test_a_redirect_is_not_followed(clockwork: Clockwork, receiver: MakeReceiver) -> None:
    elsewhere = receiver()
    hook = receiver(Answer(308, {"location": elsewhere.url}))
    clockwork.webhook("on-call", hook.url)
    clockwork.publish()
    clockwork.deliver_until(after(hours=1))
    assert len(hook.received) == 4
    assert elsewhere.received == []


def test_words_of_the_receiver_are_kept_short_and_without_secrets(clockwork: Clockwork, receiver: MakeReceiver) -> None:
    words = b"<p>no</p>\x1b[31m\npassword=hunter2 token: abc.def whsec_c2VjcmV0 " + b"x" * 5000
    clockwork.webhook("on-call", receiver(Answer(400, {"content-type": "text/html"}, words)).url)
    clockwork.webhook("binary", receiver(Answer(400, {"content-type": "image/png"}, b"\x89PNG")).url)
    alert_id = clockwork.publish()
    clockwork.deliver(START)
    binary, detail = (delivery.log[0].detail or "" for delivery in clockwork.deliveries(alert_id))
    assert binary == "The receiver answered 400."
    assert detail.startswith("The receiver answered 400: <p>no</p> [31m password=*** token: *** whsec_***")
    assert detail.isprintable()
    assert len(detail) < 250


def test_an_endpoint_that_is_gone_gets_nothing_until_it_is_enabled(
    sessions: Sessions, clockwork: Clockwork, receiver: MakeReceiver
) -> None:
    gone, other = receiver([Answer(410), Answer()]), receiver()
    clockwork.webhook("gone", gone.url)
    clockwork.webhook("other", other.url)
    first = clockwork.publish()
    clockwork.deliver(START)
    endpoint = clockwork.endpoint("gone")
    assert not endpoint.enabled
    assert endpoint.disabled_reason == "The receiver answered 410 Gone at 2026-03-01 08:00 UTC."
    second = clockwork.publish(at=after(days=1))
    clockwork.deliver_until(after(days=30))
    assert len(gone.received) == 1
    told = other.received[1].json
    assert (told["type"], told["data"]["endpoint"]) == ("endpoint.disabled", "gone")
    with transaction(sessions) as session:
        written = session.execute(text("SELECT actor, action, subject FROM trail")).all()
    assert [tuple(entry) for entry in written] == [("scheduler", "disable alert endpoint", "/alert-endpoints/gone")]
    assert clockwork.endpoint("gone").pending == 2
    assert clockwork.enable("gone", after(days=30)).disabled_reason is None
    assert clockwork.deliver(after(days=30)) == 2
    assert sorted(gone.ids[1:]) == sorted([f"msg_{first.hex}", f"msg_{second.hex}"])


@pytest.mark.parametrize(("status", "retry_after"), [(429, "120"), (503, format_datetime(after(seconds=120)))])
def test_a_receiver_that_asks_for_patience_gets_it(
    clockwork: Clockwork, receiver: MakeReceiver, status: int, retry_after: str
) -> None:
    hook = receiver([Answer(status, {"retry-after": retry_after}), Answer()])
    clockwork.webhook("on-call", hook.url)
    clockwork.publish()
    clockwork.deliver(START)
    clockwork.publish(at=after(seconds=30))
    assert clockwork.deliver(after(seconds=119)) == 0, "nor does any other alert go there"
    assert clockwork.deliver(after(seconds=150)) == 2


def test_patience_has_limits(clockwork: Clockwork, receiver: MakeReceiver) -> None:
    for number, retry_after in enumerate(["a while", "-5", "", str(10**12), "Fri, 31 Dec 9999 23:59:59 GMT"]):
        hook = receiver([Answer(429, {"retry-after": retry_after}), Answer()])
        clockwork.webhook(f"hook-{number}", hook.url)
    clockwork.publish()
    assert clockwork.deliver(START) == 5
    assert clockwork.deliver(after(seconds=30)) == 3, "what cannot be read asks for nothing"
    assert clockwork.deliver(after(days=1, seconds=30)) == 2


def test_the_schedule_is_the_specification_s_and_then_the_endpoint_is_disabled(
    clockwork: Clockwork, receiver: MakeReceiver
) -> None:
    hook = receiver(Answer(500))
    clockwork.webhook("on-call", hook.url)
    alert_id = clockwork.publish()
    clockwork.deliver_until(after(hours=73))
    later = clockwork.publish(at=after(hours=73))
    clockwork.deliver_until(after(hours=74))
    assert clockwork.endpoint("on-call").enabled, "as long as there is an attempt to be made"
    clockwork.deliver_until(after(days=10))
    delivery = clockwork.delivery(alert_id)
    since_start = [attempt.at - START for attempt in delivery.log]
    assert (delivery.status, len(since_start)) == (DeliveryStatus.FAILED, len(SPECIFIED))
    for actual, specified in zip(since_start, SPECIFIED, strict=True):
        assert specified <= actual <= 1.1 * specified + timedelta(seconds=60)
    assert any(
        actual > specified + timedelta(seconds=1) for actual, specified in zip(since_start, SPECIFIED, strict=True)
    )
    endpoint = clockwork.endpoint("on-call")
    assert (endpoint.enabled, endpoint.failed) == (False, 1)
    assert endpoint.disabled_reason is not None
    assert "since 2026-03-01 08:00 UTC" in endpoint.disabled_reason
    assert "answered 500" in endpoint.disabled_reason
    hook.answering = Answer()
    clockwork.enable("on-call", after(days=20))
    assert clockwork.deliver(after(days=20)) == 2, "what was given up goes, too"
    assert set(hook.ids[-2:]) == {f"msg_{alert_id.hex}", f"msg_{later.hex}"}


def test_a_receiver_that_fails_now_and_then_is_not_disabled(clockwork: Clockwork, receiver: MakeReceiver) -> None:
    hook = receiver(lambda one: Answer(500 if one.json["subject"] == "never taken" else 204))
    clockwork.webhook("on-call", hook.url)
    refused = clockwork.publish(subject="never taken")
    for day in range(5):
        clockwork.publish(at=after(days=day, hours=1))
    clockwork.deliver_until(after(days=6))
    assert clockwork.delivery(refused).status is DeliveryStatus.FAILED
    assert clockwork.endpoint("on-call").enabled


def test_a_receiver_that_is_down_for_a_day_then_gets_everything(clockwork: Clockwork, receiver: MakeReceiver) -> None:
    hook = receiver(up=False)
    secret = clockwork.webhook("on-call", hook.url)
    published = []
    for hour in range(0, 24, 4):
        published.append(clockwork.publish(at=after(hours=hour), number=hour))
        clockwork.deliver_until(after(hours=hour + 3, minutes=59))
    assert {attempt.failure for attempt in clockwork.delivery(published[0]).log} == {Failure.CONNECTION}
    assert clockwork.endpoint("on-call").pending == 6
    hook.start()
    clockwork.deliver_until(after(days=3))
    assert sorted(hook.ids) == sorted(f"msg_{alert_id.hex}" for alert_id in published), "each exactly once"
    assert {one.json["data"]["number"] for one in hook.received} == set(range(0, 24, 4))
    assert all(verified_by_specification(secret, one, now=sent_at(one)) for one in hook.received)
    endpoint = clockwork.endpoint("on-call")
    assert (endpoint.enabled, endpoint.pending, endpoint.failed, endpoint.failing_since) == (True, 0, 0, None)


def sent_at(one: Received) -> datetime:
    return datetime.fromtimestamp(int(one.headers["webhook-timestamp"]), UTC)


def test_while_a_secret_is_rotated_both_sign(clockwork: Clockwork, sessions: Sessions, receiver: MakeReceiver) -> None:
    hook = receiver()
    old = clockwork.webhook("on-call", hook.url)
    with transaction(sessions) as session:
        endpoint, new = alerts.rotate_secret(session, "on-call", overlap=timedelta(hours=24))
        alerts.publish_alert(session, "audit.passed", {}, subject="PASS")
    assert endpoint.previous_secret_until is not None
    clockwork.deliver()
    (one,) = hook.received
    assert len(one.headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        assert verified_by_package(secret, one)
        assert verified_by_specification(secret, one, now=datetime.now(UTC))
    later = endpoint.previous_secret_until + timedelta(seconds=1)
    clockwork.publish(at=later)
    clockwork.deliver(later)
    assert [verified_by_specification(secret, hook.received[1], now=later) for secret in (old, new)] == [False, True]
    with transaction(sessions) as session:
        newest = alerts.rotate_secret(session, "on-call", overlap=timedelta(0))[1]
    clockwork.publish(at=later)
    clockwork.deliver(later)
    assert [verified_by_specification(secret, hook.received[2], now=later) for secret in (new, newest)] == [False, True]


def test_delivered_again_on_request_it_is_the_same_message(
    clockwork: Clockwork, sessions: Sessions, receiver: MakeReceiver
) -> None:
    first, second = receiver(), receiver()
    clockwork.webhook("first", first.url)
    alert_id = clockwork.publish()
    clockwork.deliver(START)
    clockwork.webhook("second", second.url, ["audit.passed"])
    with transaction(sessions) as session:
        alerts.redeliver(session, alert_id, endpoint=None, now=after(days=9))
        alerts.redeliver(session, alert_id, endpoint="second", now=after(days=9))
    assert clockwork.deliver(after(days=9)) == 2
    assert [one.body for one in first.received] == [second.received[0].body] * 2
    assert first.ids + second.ids == [f"msg_{alert_id.hex}"] * 3
    assert [attempt.number for attempt in clockwork.deliveries(alert_id)[0].log] == [1, 2]


def test_what_changes_on_the_way(clockwork: Clockwork, sessions: Sessions, receiver: MakeReceiver) -> None:
    """A new URL is where what waits goes; a deleted endpoint leaves its record."""
    down, up = receiver(up=False), receiver()
    clockwork.webhook("on-call", down.url)
    alert_id = clockwork.publish()
    clockwork.deliver(START)
    with transaction(sessions) as session:
        alerts.change_endpoint(session, clockwork.settings, "on-call", alerts.EndpointChange(url=up.url))
    clockwork.deliver(after(seconds=30))
    assert up.ids == [f"msg_{alert_id.hex}"]
    waiting = clockwork.publish(at=after(days=1))
    with transaction(sessions) as session:
        alerts.delete_endpoint(session, "on-call", now=after(days=1))
    clockwork.deliver_until(after(days=2))
    assert clockwork.delivery(alert_id).status is DeliveryStatus.DELIVERED
    withdrawn = clockwork.delivery(waiting)
    assert (withdrawn.endpoint, withdrawn.status) == ("on-call", DeliveryStatus.WITHDRAWN)
    assert len(up.received) == 1


def test_an_endpoint_that_is_deleted_meanwhile_does_not_spoil_what_is_published(
    clockwork: Clockwork, sessions: Sessions
) -> None:
    clockwork.webhook("on-call", "http://127.0.0.1:9/")
    clockwork.webhook("other", "http://127.0.0.1:9/")
    with ThreadPoolExecutor(1) as pool, sessions.begin() as session:
        alerts.delete_endpoint(session, "on-call")
        published = pool.submit(clockwork.publish)
        wait_until(lambda: waits_for_a_lock(sessions))
        session.commit()
        deliveries = clockwork.deliveries(published.result())
    assert [delivery.endpoint for delivery in deliveries] == ["other"]


def waits_for_a_lock(sessions: Sessions) -> int:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with transaction(sessions) as session:
        session.execute(text("SET LOCAL ROLE NONE"))  # the service's role does not see what others wait for
        number: int = session.execute(text(waiting)).scalar_one()
        return number


def resolving(*addresses: str) -> Any:
    """A resolver that knows one answer to everything."""

    def resolve(_: str, port: int, **__: Any) -> list[tuple[Any, ...]]:
        return [(None, None, 0, "", (address, port)) for address in addresses]

    return resolve


def test_a_name_that_leads_inside_is_not_followed(
    sessions: Sessions, settings: Settings, receiver: MakeReceiver
) -> None:
    hook = receiver()
    outside = settings.model_copy(update={"alert_hosts": "public"})
    clockwork = Clockwork(sessions, outside, resolving("93.184.216.34", "127.0.0.1"))
    port = hook.server_address[1]
    clockwork.webhook("on-call", f"https://rebinding.example:{port}/hook")
    alert_id = clockwork.publish()
    clockwork.deliver(START)
    (attempt,) = clockwork.delivery(alert_id).log
    assert attempt.failure is Failure.FORBIDDEN_ADDRESS
    assert "127.0.0.1" in (attempt.detail or "")
    assert "ALERT_HOSTS" in (attempt.detail or "")
    assert hook.received == []
    lost = Clockwork(sessions, outside, _nowhere)
    lost.deliver(after(seconds=30))
    assert clockwork.delivery(alert_id).log[1].failure is Failure.NAME


def _nowhere(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
    raise OSError("no such name")


def test_the_certificate_has_to_be_the_name_s_although_the_address_is_pinned(
    sessions: Sessions, settings: Settings, receiver: MakeReceiver, certified: Certified
) -> None:
    hook = receiver(tls=certified.context)
    port = hook.server_address[1]
    trusting = settings.model_copy(update={"alert_ca_file": str(certified.authority)})
    # The first address refuses the connection, so the second has to be tried.
    clockwork = Clockwork(sessions, trusting, resolving("127.0.0.9", "127.0.0.1"))
    clockwork.webhook("right", f"https://alerts.hospital.test:{port}/hook")
    clockwork.webhook("wrong", f"https://other.hospital.test:{port}/hook")
    alert_id = clockwork.publish()
    clockwork.deliver(START)
    right, wrong = clockwork.deliveries(alert_id)
    assert right.status is DeliveryStatus.DELIVERED
    assert hook.received[0].headers["host"] == f"alerts.hospital.test:{port}"
    assert wrong.log[0].failure is Failure.TLS
    distrusting = Clockwork(sessions, settings, resolving("127.0.0.1"))
    alert_id = distrusting.publish(at=after(days=1))
    distrusting.deliver(after(days=1))
    assert {delivery.log[0].failure for delivery in distrusting.deliveries(alert_id)} == {Failure.TLS}
    assert len(hook.received) == 1


def test_a_sender_without_a_usable_authority_does_not_start(sessions: Sessions, settings: Settings) -> None:
    with pytest.raises(Exception, match="ALERT_CA_FILE"):
        Clockwork(sessions, settings.model_copy(update={"alert_ca_file": "/nowhere.pem"}))
