"""MLflow's webhooks: signed events start audits; everything else is refused and changes nothing."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from tests.api.test_audits import baseline, deployed
from tests.api.test_problems import Answer, problem

__all__ = ["baseline", "deployed"]
NOTHING: Mapping[str, str] = MappingProxyType({})
SECRET = "shared between registry and service"  # noqa: S105 - of this test alone


@pytest.fixture
def registry(client: TestClient, deployed: str, data_root: Path) -> TestClient:
    """The service with a deployment that follows the registered model, and one that follows its alias."""
    app = client.app
    settings = app.state.settings  # type: ignore[attr-defined]
    app.state.settings = settings.model_copy(update={"mlflow_webhook_secret": SecretStr(SECRET)})  # type: ignore[attr-defined]
    (data_root / "v2").mkdir()
    (data_root / "v2" / "model.safetensors").write_bytes(b"second version")
    first = client.get(f"/deployments/{deployed}").json()
    body = {"name": "west", "policy": "screening", "baseline": first["baseline"]}
    assert client.post("/deployments", json={**body, "registered_model": "screening@champion"}).status_code == 201
    assert client.patch("/deployments/east", json={"registered_model": "screening"}).status_code == 200
    return client


def send(
    client: TestClient, event: Any, *, secret: str = SECRET, age_s: int = 0, changed: Mapping[str, str] = NOTHING
) -> Answer:
    content = json.dumps(event).encode()
    timestamp = str(int(time.time()) - age_s)
    signed = f"delivery-1.{timestamp}.".encode() + content
    signature = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    headers = {
        "X-MLflow-Signature": f"v1,{signature}",
        "X-MLflow-Delivery-Id": "delivery-1",
        "X-MLflow-Timestamp": timestamp,
        "Authorization": "",
    }
    return client.post("/registry-events", content=content, headers={**headers, **changed})


def created(data_root: Path, **changed: Any) -> dict[str, Any]:
    data = {"name": "screening", "version": "2", "source": (data_root / "v2").as_uri(), "run_id": "r", "tags": {}}
    return {"entity": "model_version", "action": "created", "timestamp": "2026-01-01", "data": data | changed}


def alias(version: str = "2") -> dict[str, Any]:
    data = {"name": "screening", "alias": "champion", "version": version}
    return {"entity": "model_version_alias", "action": "created", "timestamp": "2026-01-01", "data": data}


def audits(client: TestClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/audits").json()["items"]
    return items


def test_a_new_version_is_audited_as_a_candidate_once(registry: TestClient, data_root: Path) -> None:
    heard = send(registry, created(data_root))
    assert heard.status_code == 202, heard.text
    (audit,) = audits(registry)
    assert heard.json() == {"audits": [audit["id"]]}
    assert (audit["deployment"], audit["trigger"], audit["candidate"]) == ("east", "registry", True)
    assert registry.get("/deployments/east").json()["target"] == "screening@1"
    assert send(registry, created(data_root)).json() == {"audits": []}


def test_a_version_that_gets_the_alias_is_deployed_and_audited_once(registry: TestClient, data_root: Path) -> None:
    send(registry, created(data_root))
    (audit,) = send(registry, alias()).json()["audits"]
    found = registry.get(f"/audits/{audit}").json()
    assert (found["deployment"], found["target"], found["candidate"]) == ("west", "west@1", False)
    assert registry.get("/deployments/west").json()["target"] == "west@1"
    assert send(registry, alias()).json() == {"audits": []}


def test_what_nobody_follows_is_heard_and_nothing_happens(registry: TestClient, data_root: Path) -> None:
    for event in (
        created(data_root, name="another"),
        {"entity": "registered_model", "action": "created", "data": {"name": "screening"}},
    ):
        assert send(registry, event).json() == {"audits": []}
    assert audits(registry) == []


def test_what_was_not_signed_or_is_old_is_refused(registry: TestClient, data_root: Path) -> None:
    event = created(data_root)
    for answer in (
        send(registry, event, secret="guessed"),  # noqa: S106
        send(registry, event, changed={"X-MLflow-Delivery-Id": "delivery-2"}),
        send(registry, event, changed={"X-MLflow-Timestamp": str(int(time.time()) + 1)}),
    ):
        assert problem(answer, 401)["field"] == "X-MLflow-Signature"
    for age_s in (400, -400):
        assert problem(send(registry, event, age_s=age_s), 401)["field"] == "X-MLflow-Timestamp"
    assert audits(registry) == []


def test_what_cannot_be_used_names_its_field_and_leaves_nothing(registry: TestClient, data_root: Path) -> None:
    (data_root / "v3").mkdir()
    for event, field in (
        (created(data_root, source="models:/m-1"), "data.source"),
        (created(data_root, source=str(data_root / "v3")), "data.source"),
        (created(data_root, source="/elsewhere/model.pt"), "checkpoint"),
        (created(data_root, version=None), "version"),
        (alias("7"), "data.version"),
        ([], "body"),
    ):
        assert problem(send(registry, event), 422)["field"] == field
    assert audits(registry) == []
    assert len(send(registry, created(data_root)).json()["audits"]) == 1


def test_without_a_secret_nothing_is_heard(client: TestClient, data_root: Path) -> None:
    assert problem(send(client, created(data_root)), 409)["field"] == "mlflow_webhook_secret"
