"""When requests are sent again, what pages and streams give, and what errors say."""

import httpx
import pytest

from client import Away, Connection, Event, NotTheService, Refused, Unreachable
from client.answers import error_in
from client.events import events_in
from client.following import follow_job
from client.retries import Waits
from tests.client.answering import answer, answering, stream

FINE = answer("200 OK", '{"id": "1"}')
AWAY = answer("502 Bad Gateway")
BUSY = answer("503 Service Unavailable", '{"detail": "Busy."}', "Retry-After: 0")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.retries._FIRST_S", 0.001)
    monkeypatch.setattr("client.following.time.sleep", lambda _: None)


def connection(url: str, patience_s: float = 20.0) -> Connection:
    return Connection(url, "open sesame", patience_s=patience_s, transport=httpx.HTTPTransport())


@pytest.mark.parametrize("first", [AWAY, BUSY, answer("504 Gateway Timeout"), b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_what_only_reads_is_asked_again(first: bytes) -> None:
    with answering([first, first, FINE]) as server, connection(server.url) as service:
        assert service.get("/jobs/1") == {"id": "1"}
    assert len(server.heard) == 3


@pytest.mark.parametrize("first", [AWAY, answer("503 Service Unavailable"), b""])
def test_what_changes_something_is_asked_again_only_with_a_key(first: bytes) -> None:
    with answering([first, FINE]) as server, connection(server.url) as service:
        assert service.post("/jobs", {}, idempotency_key="k") == {"id": "1"}
    assert [request.count("idempotency-key: k") or request.count("Idempotency-Key: k") for request in server.heard] == [
        1,
        1,
    ]

    with answering([first, FINE]) as server, connection(server.url) as service, pytest.raises((Away, Unreachable)):
        service.post("/audits", {})
    assert len(server.heard) == 1


def test_what_the_service_says_it_did_not_do_is_asked_again() -> None:
    with answering([BUSY, FINE]) as server, connection(server.url) as service:
        assert service.post("/audits", {}) == {"id": "1"}


@pytest.mark.parametrize("status", ["404 Not Found", "409 Conflict", "422 Unprocessable", "500 Error"])
def test_a_problem_is_not_asked_again(status: str) -> None:
    body = '{"type": "urn:mammodissect:problem:not-found", "detail": "No.", "field": "job", "remedy": "List them."}'
    with (
        answering([answer(status, body)]) as server,
        connection(server.url) as service,
        pytest.raises(Refused, match=r"No\. List them\.") as refused,
    ):
        service.get("/jobs/1")
    assert (refused.value.code, refused.value.field) == ("not-found", "job")
    assert refused.value.status == int(status[:3])
    assert len(server.heard) == 1


def test_an_address_where_nothing_is_fails_at_once() -> None:
    with pytest.raises(Unreachable, match="cannot be reached") as error:
        connection("http://127.0.0.1:9", patience_s=3600).get("/jobs")
    assert not error.value.sent


def test_patience_ends_and_retry_after_is_heeded() -> None:
    with answering([AWAY] * 200) as server, connection(server.url, patience_s=0.05) as service, pytest.raises(Away):
        service.get("/jobs")
    long = answer("503 Service Unavailable", "", "Retry-After: 600")
    with answering([long]) as server, connection(server.url, patience_s=30) as service, pytest.raises(Away) as away:
        service.get("/jobs")
    assert away.value.retry_after_s == 600
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999999", 3600.0),
        ("Sat, 01 Nov 2025 10:00:00 GMT", 0.0),
        ("Fri, 01 Nov 2199 10:00:00 GMT", 3600.0),
        ("soon", None),
        ("-3", None),
        ("nan", None),
        ("", None),
    ],
)
def test_how_long_an_answer_asks_to_wait(header: str, seconds: float | None) -> None:
    error = error_in(httpx.Response(503, headers={"Retry-After": header}))
    assert isinstance(error, Away)
    assert error.retry_after_s == seconds


def test_waits_grow_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.retries._FIRST_S", 0.5)
    waits = Waits(1e6)
    error = Away("", status=502, retry_after_s=None)
    seconds = [waits.before_next(error) or 0 for _ in range(12)]
    assert 0.25 <= seconds[0] <= 0.5
    assert all(5.0 <= wait <= 10.0 for wait in seconds[6:])


@pytest.mark.parametrize("body", ["<html>", "[]", '{"items": 3}', '{"id": "1"}'])
def test_a_list_that_is_none_is_an_error(body: str) -> None:
    with (
        answering([answer("200 OK", body)]) as server,
        connection(server.url) as service,
        pytest.raises(NotTheService, match="not an answer of the service"),
    ):
        list(service.items("/jobs"))


def test_pages_follow_cursors_and_stop_at_the_limit() -> None:
    pages = [
        answer("200 OK", '{"items": [{"n": 1}, {"n": 2}], "next": "a b"}'),
        answer("200 OK", '{"items": [{"n": 3}], "next": null}'),
    ]
    with answering(pages) as server, connection(server.url) as service:
        items = list(service.items("/jobs", {"status": ["failed", "dead"], "model": None, "dead": False}))
    assert [item["n"] for item in items] == [1, 2, 3]
    assert server.heard[0].startswith("GET /jobs?status=failed&status=dead&dead=false&limit=200 ")
    assert server.heard[1].startswith("GET /jobs?status=failed&status=dead&dead=false&limit=200&cursor=a+b ")

    with answering(pages[:1]) as server, connection(server.url) as service:
        assert len(list(service.items("/jobs", limit=2))) == 2
    assert "limit=2 " in server.heard[0]


@pytest.mark.parametrize("key", ["", " sesame", "sesame\n", "schlüssel", "sesame\x1bb"])
def test_what_no_header_carries_is_no_key(key: str) -> None:
    with pytest.raises(ValueError, match="one line of printable ASCII") as error:
        Connection("http://127.0.0.1:9", key)
    assert "sesame" not in str(error.value)


def test_events_are_read_however_they_are_cut() -> None:
    text = (
        ': ping\r\n\r\nid: 7\r\nevent: status\r\ndata: {"status":\r\ndata: "failed"}\r\n\r\n'
        'event: progress\ndata:{"text": "a\u2028b"}\nretry: 3\n\ndata: nothing\n\nid: x\ndata: {}\n\n'
        "data: broken off"
    ).encode()
    expected = [
        Event(7, "status", {"status": "failed"}),
        Event(None, "progress", {"text": "a\u2028b"}),
        Event(None, "message", {}),
        Event(None, "message", {}),
    ]
    for size in (1, 2, 7, len(text)):
        assert list(events_in(text[start : start + size] for start in range(0, len(text), size))) == expected


QUEUED = 'id: 1\nevent: status\ndata: {"status": "queued"}\n\n'
RUNNING = 'id: 2\nevent: status\ndata: {"status": "running"}\n\nevent: progress\ndata: {"status": "running"}\n\n'
ENDED = 'id: 3\nevent: status\ndata: {"status": "failed"}\n\n'


def test_a_stream_that_breaks_is_taken_up_behind_the_last_event() -> None:
    answers = [
        stream(QUEUED, RUNNING),
        answer("200 OK", '{"status": "running"}'),
        AWAY,
        b"",
        stream(ENDED),
        answer("200 OK", '{"status": "failed"}'),
    ]
    with answering(answers) as server, connection(server.url) as service:
        events = list(follow_job(service, "a/b"))
    assert [event.id for event in events] == [1, 2, None, 3]
    sent = [request.lower().partition("last-event-id: ")[2][:1] for request in server.heard if "/events" in request]
    assert sent == ["0", "2", "2", "2"]
    assert server.heard[0].startswith("GET /jobs/a%2Fb/events ")


def test_a_job_that_is_not_there_is_not_followed() -> None:
    with (
        answering([answer("404 Not Found", '{"detail": "There is no job 7."}')]) as server,
        connection(server.url) as service,
        pytest.raises(Refused, match="no job 7"),
    ):
        list(follow_job(service, "7"))
    with pytest.raises(Unreachable):
        list(follow_job(connection("http://127.0.0.1:9", patience_s=3600), "7"))
