"""Who may see pages and send their forms."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.keys import ApiKey
from api.sessions import COOKIE, LASTS_S, SignIns
from service.db.session import Sessions
from tests.api.changing_calls import trail
from tests.api.test_problems import problem
from tests.pages.visitor import KEY, Visitor, check_page, words_of

KEYS = (ApiKey("api", b"open sesame"), ApiKey("radiology", b"first"))


def test_the_root_leads_to_the_pages_and_they_to_the_sign_in(stranger: Visitor) -> None:
    assert stranger.client.get("/").headers["location"] == "/ui"
    for path, leads_to in (
        ("/ui", "/ui/sign-in"),
        ("/ui/words", "/ui/sign-in?next=/ui/words"),
        ("/ui/jobs?status=failed&a=b", "/ui/sign-in?next=/ui/jobs%3Fstatus%3Dfailed%26a%3Db"),
        ("/ui/nothing", "/ui/sign-in?next=/ui/nothing"),
    ):
        answer = stranger.client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, leads_to)
    assert stranger.client.post("/ui/sign-out").headers["location"] == "/ui/sign-in"


def test_whoever_signs_in_goes_on_to_the_page_they_wanted(stranger: Visitor) -> None:
    form = stranger.get("/ui/sign-in?next=/ui/jobs%3Fstatus%3Dfailed%26a%3Db")
    action = re.search(r'<form action="([^"]+)"', form)
    assert action is not None
    answer = stranger.client.post(action[1].replace("&amp;", "&"), data={"key": KEY})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/jobs?status=failed&a=b")
    assert "Signed in as" in stranger.get("/ui")


@pytest.mark.parametrize(
    "leads_away",
    [
        "//evil.example",
        "https://evil.example/ui",
        "/\\evil.example",
        "/ui/\\evil",
        "/uievil",
        "/jobs",
        "javascript:alert(1)",
        "/ui/a\r\nSet-Cookie: a=b",
        "ui",
        "",
        "/ui/ä",
    ],
)
def test_nobody_is_led_away_after_signing_in(stranger: Visitor, leads_away: str) -> None:
    answer = stranger.client.post("/ui/sign-in", params={"next": leads_away}, data={"key": KEY})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui")


def test_the_cookie_is_for_our_own_pages_alone(app: FastAPI) -> None:
    for address, secure in (("http://testserver", False), ("https://testserver", True)):
        client = TestClient(app, base_url=address, follow_redirects=False)
        cookie = client.post("/ui/sign-in", data={"key": "first"}).headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=radiology:")
        for word in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LASTS_S}"):
            assert word in cookie
        assert ("Secure" in cookie) is secure


@pytest.mark.parametrize("key", ["", "open", "open sesame2", "api", "ключ", "x" * 9_000])
def test_a_wrong_key_gets_the_form_again(stranger: Visitor, sessions: Sessions, key: str) -> None:
    answer = stranger.client.post("/ui/sign-in?next=/ui/words", data={"key": key})
    assert answer.status_code == 401
    check_page(answer)
    assert "That is no API key of this service." in words_of(answer.text)
    assert 'action="/ui/sign-in?next=/ui/words"' in answer.text
    assert not re.search(r'value="(?!")', answer.text), "what was typed is not shown again"
    assert "set-cookie" not in answer.headers
    assert trail(sessions) == []


def test_signing_in_stands_in_the_trail_without_anything_of_the_key(stranger: Visitor, sessions: Sessions) -> None:
    stranger.sign_in("first")
    (entry,) = trail(sessions)
    assert (entry.actor, entry.action, entry.subject, entry.request) == (
        "radiology",
        "POST /ui/sign-in",
        "/ui/sign-in",
        None,
    )


def test_signing_out_ends_the_session_of_the_browser(visitor: Visitor) -> None:
    answer = visitor.send("/ui/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/sign-in")
    assert visitor.client.get("/ui").headers["location"] == "/ui/sign-in"


def test_the_session_reads_everywhere_and_changes_only_at_the_pages(visitor: Visitor) -> None:
    assert visitor.client.get("/jobs").status_code == 200
    problem(visitor.client.post("/concept-sets", json={"name": "c", "concepts": ["mass"]}), 401)
    problem(visitor.client.delete("/schedules/nightly"), 401)


def test_a_wrong_key_in_the_header_is_refused_whatever_the_cookie_says(visitor: Visitor) -> None:
    for header in ("Bearer wrong", "Basic open", ""):
        problem(visitor.client.get("/jobs", headers={"Authorization": header}), 401)
        problem(visitor.client.get("/ui", headers={"Authorization": header}), 401)


@pytest.mark.parametrize("token", [None, "", "0" * 64, "é"])
def test_a_form_without_its_token_is_refused(visitor: Visitor, token: str | None) -> None:
    answer = visitor.client.post("/ui/sign-out", data={} if token is None else {"form_token": token})
    assert answer.status_code == 403
    check_page(answer)
    assert "does not belong to your present session" in words_of(answer.text)
    assert "Signed in as" in visitor.get("/ui")


def test_the_token_of_another_session_is_none(app: FastAPI, visitor: Visitor) -> None:
    other = Visitor(app).sign_in()
    assert visitor.client.post("/ui/sign-out", data={"form_token": other.token()}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://testserver.evil.example", "http://[bad"])
def test_a_form_of_another_origin_is_refused(visitor: Visitor, stranger: Visitor, origin: str) -> None:
    answer = visitor.send("/ui/sign-out", Origin=origin)
    assert answer.status_code == 403
    assert "another server" in words_of(answer.text)
    assert stranger.client.post("/ui/sign-in", data={"key": KEY}, headers={"Origin": origin}).status_code == 403


def test_a_form_of_our_own_origin_is_taken(visitor: Visitor) -> None:
    assert visitor.send("/ui/sign-out", Origin="http://testserver").status_code == 303


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"key": "open sesame"}', {"Content-Type": "application/json"}, 415),
        (b"key=%00", {}, 422),
        (b"key=%ff", {}, 422),
        (b"\xff", {}, 422),
        (b"a=1&" * 6_000, {}, 422),
        (b"key=" + b"x" * (2 << 20), {}, 413),
    ],
)
def test_what_is_no_form_is_refused(stranger: Visitor, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = stranger.client.post("/ui/sign-in", content=content, headers=headers)
    assert answer.status_code == status
    check_page(answer)


def cookie_of(sign_ins: SignIns, key: str = "first") -> str:
    session = sign_ins.sign_in(key)
    assert session is not None
    return sign_ins.cookie_of(session)


def test_a_session_ends_after_twelve_hours_and_with_its_key() -> None:
    moment = 1_000_000.0
    sign_ins = SignIns(KEYS, now=lambda: moment)
    cookie = cookie_of(sign_ins)
    session = sign_ins.read(cookie)
    assert session is not None
    assert session.name == "radiology"
    moment += LASTS_S - 1
    assert sign_ins.read(cookie) == session
    moment += 1
    assert sign_ins.read(cookie) is None
    moment = 1_000_000.0
    for keys in ((KEYS[0],), (KEYS[0], ApiKey("radiology", b"another")), (ApiKey("oncology", b"first"),)):
        assert SignIns(keys, now=lambda: moment).read(cookie) is None


@pytest.mark.parametrize(
    "forge",
    [
        lambda cookie: cookie.replace("radiology", "api"),
        lambda cookie: re.sub(r":(\d+):", lambda end: f":{int(end[1]) + 1}:", cookie),
        lambda cookie: cookie[:-1] + ("0" if cookie[-1] != "0" else "1"),
        lambda cookie: cookie[:-1],
        lambda cookie: cookie + "0",
        lambda cookie: cookie.replace(":", ";"),
        lambda cookie: "radiology:٣:" + cookie.split(":", 2)[2],
        lambda _: "",
        lambda _: ":::",
        lambda _: "radiology:" + "9" * 5_000 + ":x:y",
    ],
)
def test_a_forged_cookie_is_none(app: FastAPI, forge: Callable[[str], str]) -> None:
    sign_ins = SignIns(KEYS)
    cookie = cookie_of(sign_ins)
    assert sign_ins.read(cookie) is not None
    forged = forge(cookie)
    assert sign_ins.read(forged) is None

    client: Any = TestClient(app, follow_redirects=False)
    headers = {"Cookie": f"{COOKIE}={forged}".encode()}
    assert client.get("/ui", headers=headers).headers["location"] == "/ui/sign-in"
    problem(client.get("/jobs", headers=headers), 401)


def test_the_form_token_is_not_the_seal_of_the_cookie() -> None:
    sign_ins = SignIns(KEYS)
    session = sign_ins.sign_in("first")
    assert session is not None
    assert sign_ins.form_token(session) not in sign_ins.cookie_of(session)


def test_who_signed_in_stands_in_no_answer_of_another(app: FastAPI) -> None:
    first, second = Visitor(app).sign_in("first"), Visitor(app).sign_in("second")
    assert "radiology" in first.get("/ui")
    assert "radiology" not in second.get("/ui")
    assert "sesame" not in first.get("/ui")
