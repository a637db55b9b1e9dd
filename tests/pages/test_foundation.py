"""What holds for all pages: their files, their words, their errors."""

import re

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from api.app import create_app
from api.pages.forms import PageRoute
from api.pages.static_files import address_of
from api.pages.words import WORDS
from api.sessions import COOKIE
from service.config import Settings
from tests.pages.visitor import KEY, Visitor, check_page, words_of


def test_every_page_with_a_form_asks_for_its_token(app: FastAPI) -> None:
    changing = [
        context
        for context in iter_route_contexts(app.routes)
        if str(context.path).startswith("/ui") and not (context.methods or set()) <= {"GET", "HEAD"}
    ]
    assert changing
    assert all(isinstance(context.original_route, PageRoute) for context in changing)


def test_pages_stand_in_no_contract(visitor: Visitor) -> None:
    assert not [path for path in visitor.client.get("/openapi.json").json()["paths"] if path.startswith("/ui")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("style.css", "text/css"), ("pages.js", "text/javascript"), ("mark.svg", "image/svg+xml")],
)
def test_files_of_our_own_may_be_kept_for_ever(stranger: Visitor, name: str, kind: str) -> None:
    answer = stranger.client.get(address_of(name))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content


@pytest.mark.parametrize("path", ["/ui/static/0/style.css", "/ui/static/0/none.css", "/ui/static/0/..%2Fwords.py"])
def test_other_files_are_not_there(stranger: Visitor, path: str) -> None:
    answer = stranger.client.get(path)
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_every_file_that_a_page_names_is_there(visitor: Visitor) -> None:
    named = set(re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', visitor.get("/ui")))
    assert len(named) >= 3
    for address in named:
        assert visitor.client.get(address).status_code == 200


def test_every_word_has_its_place(visitor: Visitor) -> None:
    page = visitor.get("/ui/words")
    for name, word in WORDS.items():
        assert f'<div id="{name}"' in page
        assert word.meaning.endswith(".")


def test_a_page_that_is_not_there_says_so(visitor: Visitor) -> None:
    words = visitor.words("/ui/nothing", 404)
    assert "There is no such page" in words
    assert "/ui/nothing" in words
    assert "openapi.json" not in words


def test_what_somebody_typed_into_an_address_is_only_text(visitor: Visitor) -> None:
    page = visitor.get("/ui/%3Cscript%3Ealert(1)%3C/script%3E", 404)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_wrong_method_is_a_page_too(visitor: Visitor) -> None:
    answer = visitor.send("/ui/words")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    check_page(answer)


def test_a_crash_is_a_page_that_tells_nothing(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages.glossary.page", None)
    answer = visitor.client.get("/ui/words")
    assert answer.status_code == 500
    check_page(answer)
    assert "Try again" in answer.text
    assert "NoneType" not in answer.text


def test_without_a_database_the_page_says_that_it_may_be_tried_again() -> None:
    app = create_app(
        Settings(
            database_url=SecretStr("postgresql+psycopg://nobody@127.0.0.1:1/none"),
            broker_url=SecretStr("redis://localhost:1"),
            api_key=SecretStr(KEY),
            data_roots="/",
        )
    )
    session = app.state.sign_ins.sign_in(KEY)
    visitor = Visitor(app)
    visitor.client.cookies.set(COOKIE, app.state.sign_ins.cookie_of(session))
    answer = visitor.client.get("/ui/jobs?status=failed")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    check_page(answer)
    assert "Try again" in words_of(answer.text)
    assert 'href="/ui/jobs?status=failed"' in answer.text


def test_the_head_leads_only_to_pages_that_are_there(visitor: Visitor) -> None:
    page = visitor.get("/ui")
    links = re.findall(r'<a href="([^"]+)"', page[page.index("<nav") : page.index("</nav>")])
    assert links
    for link in links:
        assert visitor.client.get(link).status_code == 200
    assert 'aria-current="page">Home' in page


def test_a_caller_with_a_key_sees_pages_too(stranger: Visitor) -> None:
    answer = stranger.client.get("/ui/words", headers={"Authorization": "Bearer first"})
    check_page(answer)
    assert "named" in words_of(answer.text)
