"""Somebody who looks at pages, signs in and sends forms, without a browser."""

import re
from collections.abc import Mapping, Sequence
from html import unescape

from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.api.test_problems import Answer

KEY = "open sesame"
Fields = Mapping[str, str | Sequence[str]]


class Visitor:
    """A client that keeps cookies and follows nothing by itself."""

    def __init__(self, app: FastAPI, *, base_url: str = "http://testserver") -> None:
        self.client = TestClient(app, base_url=base_url, follow_redirects=False, raise_server_exceptions=False)

    def sign_in(self, key: str = KEY) -> "Visitor":
        answer = self.client.post("/ui/sign-in", data={"key": key})
        assert answer.status_code == 303, answer.text
        return self

    def get(self, path: str, status: int = 200) -> str:
        """The text of a page, which has what every page has to have."""
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        check_page(answer)
        return answer.text

    def words(self, path: str, status: int = 200) -> str:
        """What stands on a page, without its marks."""
        return words_of(self.get(path, status))

    def token(self) -> str:
        """The token of this session's forms, as a page has it."""
        token = re.search(r'name="form_token" value="([0-9a-f]+)"', self.get("/ui"))
        assert token is not None
        return token[1]

    def send(self, path: str, fields: Fields | None = None, **headers: str) -> Answer:
        """Send a form as a page would."""
        return self.client.post(path, data={"form_token": self.token(), **(fields or {})}, headers=headers)


def words_of(html: str) -> str:
    """The words of a page's main part."""
    main = html[html.index("<main") : html.index("</main>")]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


def check_page(answer: Answer) -> None:
    """What holds for every page: nothing inline, nothing from elsewhere, kept by nobody."""
    headers = answer.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "no-store" in headers["cache-control"]
    assert re.search(r"<html lang=\"en\">", answer.text)
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=\"", answer.text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", answer.text)
    assert answer.text.count("<h1") == 1
