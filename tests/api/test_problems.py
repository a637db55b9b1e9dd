"""Every error is a problem document, whoever raises it."""

import base64
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import text

from api.app import create_app
from api.problems import STATUS
from service.config import Settings
from service.db.session import Sessions
from service.errors import ArtifactLost, ArtifactNotStored, DissectError, InvalidInput, JobCancelled, LeaseLost

NETWORKS = ("torch", "numba", "timm", "open_clip", "transformers")
DECODERS = ("cv2", "PIL", "pydicom", "gdcm", "jpeg_ls", "openjpeg", "_openjpeg", "libjpeg", "pylibjpeg", "rle")
"""Modules that no process but a worker's child may import."""


class Answer(Protocol):
    """What the test client's responses have in common, whichever HTTP library it is built on."""

    status_code: int

    @property
    def text(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def json(self) -> Any: ...


def problem(response: Answer, status: int) -> dict[str, Any]:
    """The problem in the answer, checked for its form."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:mammodissect:problem:")
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer wrong"}])
def test_without_the_key_nothing_is_told(client: TestClient, headers: dict[str, str]) -> None:
    response = client.get("/jobs", headers=headers)
    body = problem(response, 401)
    assert "Authorization: Bearer" in body["remedy"]
    assert response.headers["www-authenticate"] == "Bearer"


def test_unknown_path_and_method(client: TestClient) -> None:
    assert problem(client.get("/nowhere"), 404)["type"].endswith(":not-found")
    assert problem(client.delete("/jobs"), 405)["type"].endswith(":method-not-allowed")


def test_invalid_body_names_every_field(client: TestClient) -> None:
    body = problem(client.post("/jobs", json={"layers": [], "method": {"top_k": 0}, "extra": 1}), 422)
    fields = {error["field"] for error in client.post("/jobs", json={"layers": [], "extra": 1}).json()["errors"]}
    assert {"probe_set", "concept_set", "dissector", "extra"} <= fields
    assert body["field"] in body["detail"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("wrong", "more"), [(20_000, "19,980"), (21, "1"), (20, None), (1, None)])
def test_many_wrong_fields_are_counted_and_the_first_are_told(client: TestClient, wrong: int, more: str | None) -> None:
    body = problem(client.post("/concept-sets", json={"name": "c", "concepts": [*range(wrong)]}), 422)
    assert len(body["errors"]) == min(wrong, 20)
    assert body["field"] == body["errors"][0]["field"]
    assert (f"there are {more} more." in body["detail"]) is (more is not None)


LISTS = (
    "/models",
    "/dissectors",
    "/probe-sets",
    "/concept-sets",
    "/jobs",
    "/comparisons",
    "/policies",
    "/deployments",
    "/audits",
    "/schedules",
    "/alert-endpoints",
    "/alerts",
)


@pytest.mark.parametrize("path", LISTS)
def test_a_foreign_cursor_is_refused(client: TestClient, path: str) -> None:
    positions = ("[]", "no json", '["7"]', "[7]", '["2026-06-01T02:00:00Z"]')
    for cursor in ("x", "!!!", *(base64.urlsafe_b64encode(position.encode()).decode() for position in positions)):
        assert problem(client.get(path, params={"cursor": cursor}), 422)["field"] == "cursor"


def test_nul_which_the_database_takes_in_no_text_is_refused(client: TestClient) -> None:
    nul = "a\0b"
    by, reason = {"by": nul, "reason": "r"}, {"by": "b", "reason": nul}
    endpoint = {"kind": "email", "name": "on-call", "addresses": ["a@b.org"]}
    rules = [{"rule": "stability", "at_least": 0.5}]
    refused: list[tuple[str, dict[str, Any], str]] = [
        (f"/audits/{uuid4()}/acknowledge", by, "by"),
        (f"/audits/{uuid4()}/acknowledge", reason, "reason"),
        ("/deployments", {"name": "east", "policy": "p", "registered_model": nul}, "registered_model"),
        ("/alert-endpoints", {**endpoint, "addresses": [nul]}, "addresses"),
        ("/policies", {"name": "p", "policy": {"rules": rules, "description": nul}}, "policy"),
        (
            "/policies",
            {"name": "p", "policy": 'description: "a\\0b"\nrules: [{rule: stability, at_least: 0.5}]'},
            "policy",
        ),
        ("/models", {"name": "m", "checkpoint": f"/{nul}", "architecture": "a"}, "checkpoint"),
    ]
    for path, body, field in refused:
        found = problem(client.post(path, json=body), 422)
        assert field in found["field"].split(".")
        assert "NUL" in found["detail"]
    for path in ("/deployments/a%00b", "/audits?deployment=a%00b"):
        assert "NUL" in problem(client.get(path), 422)["detail"]


def test_a_crash_tells_nothing_of_itself(client: TestClient, owner_sessions: Sessions) -> None:
    with owner_sessions.begin() as session:
        session.execute(text("DROP TABLE jobs CASCADE"))
    body = problem(client.get("/jobs"), 500)
    assert "jobs" not in body["detail"].lower()


def test_a_lost_database_is_a_503() -> None:
    settings = Settings(
        database_url=SecretStr("postgresql+psycopg://nobody@/none?host=/nonexistent"),
        broker_url=SecretStr("redis://localhost:1"),
        api_key=SecretStr("k"),
        data_roots="/",
    )
    with TestClient(create_app(settings), headers={"Authorization": "Bearer k"}) as client:
        response = client.get("/health/ready")
        assert problem(response, 503)["type"].endswith(":unavailable")
        assert int(response.headers["retry-after"]) > 0
        assert client.get("/health/live").json() == {"status": "ok"}
        assert problem(client.get("/jobs"), 503)


@pytest.mark.parametrize("missing", ["database_url", "broker_url", "api_key", "data_roots"])
def test_the_app_refuses_to_start_without_its_settings(missing: str) -> None:
    values = {"database_url": "postgresql+psycopg://", "broker_url": "redis://", "api_key": "k", "data_roots": "/"}
    with pytest.raises(InvalidInput, match=f"{missing.upper()} is not set"):
        create_app(Settings.model_validate(values | {missing: ""}))


def test_every_error_of_the_tree_has_a_status_and_a_code() -> None:
    classes, stack = set(), [DissectError]
    while stack:
        kind = stack.pop()
        classes.add(kind)
        stack += [found for found in kind.__subclasses__() if found.__module__ == DissectError.__module__]
    codes = [kind.code for kind in classes]
    assert len(codes) == len(set(codes))
    never_answered = {DissectError, JobCancelled, LeaseLost, ArtifactLost, ArtifactNotStored}  # a worker's own
    for kind in classes - never_answered:
        assert any(base in STATUS for base in kind.__mro__), kind


@pytest.mark.parametrize("module", ["api.app", "workers.app", "workers.duties"])
def test_no_process_but_the_computing_child_imports_networks_or_decoders(module: str) -> None:
    script = f"import sys, {module}; print(sorted(set(sys.modules) & {{*{NETWORKS}, *{DECODERS}}}))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
