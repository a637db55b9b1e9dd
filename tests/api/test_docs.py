"""GET /docs: the contract as a page, from files of our own."""

import re

import pytest
from fastapi.testclient import TestClient

from api.routes import docs

STRANGER = {"Authorization": ""}


@pytest.mark.parametrize("path", sorted(docs.PATHS))
def test_the_page_and_its_files_need_no_key_and_come_with_a_strict_policy(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=STRANGER)
    assert answer.status_code == 200, answer.text
    policy = answer.headers["content-security-policy"]
    assert policy == docs.POLICY
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_loads_nothing_but_those_files(client: TestClient) -> None:
    page = client.get(docs.PAGE_PATH, headers=STRANGER).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {f"/{name}" for name in loaded if name.startswith("docs/")} == docs.PATHS - {docs.PAGE_PATH}
    assert set(loaded) - {name.removeprefix("/") for name in docs.PATHS} == {"openapi.json", "data:,"}
    assert not re.search(r"<style|style=|<script>|\son\w+=", page)


def test_a_browser_keeps_the_script(client: TestClient) -> None:
    first = client.get("/docs/swagger-ui-bundle.js", headers=STRANGER)
    assert "SwaggerUIBundle" in first.text
    again = client.get("/docs/swagger-ui-bundle.js", headers={**STRANGER, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_starts_from_the_contract_and_asks_nobody_to_validate_it(client: TestClient) -> None:
    script = client.get("/docs/start.js", headers=STRANGER).text
    assert '"openapi.json"' in script
    assert "validatorUrl: null" in script


def test_the_page_is_no_call_of_the_contract(client: TestClient) -> None:
    assert not any(path.startswith("/docs") for path in client.get("/openapi.json").json()["paths"])
