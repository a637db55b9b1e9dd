"""Events of a model registry as MLflow sends them, and a service whose deployments follow it."""

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
from structlog.testing import capture_logs

from service.db.session import transaction
from service.usecases.alerts import list_alerts
from tests.api.test_problems import Answer

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


def alias(version: str | None = "2", *, at: str | None = "2026-01-01T10:00:00.5+00:00") -> dict[str, Any]:
    """The event of an alias that was given, or, with no version, taken away."""
    data = {"name": "screening", "alias": "champion"}
    event: dict[str, Any] = {"entity": "model_version_alias", "action": "deleted", "data": data}
    if version is not None:
        event |= {"action": "created", "data": data | {"version": version}}
    return event if at is None else event | {"timestamp": at}


def audits(client: TestClient) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = client.get("/audits").json()["items"]
    return items


def in_use(client: TestClient) -> str:
    return str(client.get("/deployments/west").json()["target"])


def two_versions(registry: TestClient, data_root: Path) -> None:
    (data_root / "v3").mkdir()
    (data_root / "v3" / "model.safetensors").write_bytes(b"third version")
    for version in ("2", "3"):
        source = (data_root / f"v{version}").as_uri()
        assert send(registry, created(data_root, version=version, source=source)).status_code == 202


def refused(client: TestClient, event: Any) -> list[dict[str, Any]]:
    """The audits that an event has begun, each of which has ended in an error, was told of, and is in the log."""
    with capture_logs() as logs:
        heard = send(client, event)
    assert heard.status_code == 202, heard.text
    begun = [client.get(f"/audits/{audit}").json() for audit in heard.json()["audits"]]
    warnings = [entry for entry in logs if entry["event"] == "cannot follow the model registry"]
    logged = [(name, entry["reason"], entry["value"]) for entry in warnings for name in entry["deployments"]]
    expected = [(audit["deployment"], audit["problem"]["detail"], audit["problem"].get("value")) for audit in begun]
    assert sorted(logged, key=str) == sorted(expected, key=str)

    told = reasons_told(client)
    for audit in begun:
        assert (audit["status"], audit["verdict"], audit["trigger"]) == ("error", None, "registry")
        assert audit["problem"]["remedy"]
        assert told[audit["id"]] == [audit["problem"]["detail"]]
    return begun


def reasons_told(client: TestClient) -> dict[Any, Any]:
    """What the alerts of audits that ended in an error say, by audit."""
    with transaction(client.app.state.sessions) as session:  # type: ignore[attr-defined]
        page, _ = list_alerts(session, kind="audit.error", status=None, limit=100, after=None)
    return {alert.data["audit"]: alert.data["reasons"] for alert in page.items}
