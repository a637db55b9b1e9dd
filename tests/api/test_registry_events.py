"""MLflow's webhooks: signed events start audits; everything else is refused and changes nothing."""

import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.registry_events import alias, audits, created, in_use, refused, registry, send
from tests.api.test_audits import baseline, deployed
from tests.api.test_problems import problem

__all__ = ["baseline", "deployed", "registry"]


def test_a_new_version_is_audited_as_a_candidate_once(registry: TestClient, data_root: Path) -> None:
    heard = send(registry, created(data_root))
    assert heard.status_code == 202, heard.text
    (audit,) = audits(registry)
    assert heard.json() == {"audits": [audit["id"]]}
    assert (audit["deployment"], audit["trigger"], audit["candidate"]) == ("east", "registry", True)
    assert registry.get("/deployments/east").json()["target"] == "screening@1"
    assert send(registry, created(data_root)).json() == {"audits": []}


def test_a_new_version_is_shown_images_as_the_one_in_use_is(registry: TestClient, data_root: Path) -> None:
    in_use = registry.get("/models/screening@1").json()["spec"]
    given = {"height": 384, "mean": [0.25]}
    shown = {"checkpoint": in_use["checkpoint"], "architecture": in_use["architecture"], "input": given}
    deployed_version = registry.post("/deployments/east/versions", json={"target": shown})
    assert deployed_version.status_code == 202, deployed_version.text

    (audit,) = send(registry, created(data_root)).json()["audits"]
    candidate = registry.get(f"/audits/{audit}").json()["target"]
    spec = registry.get(f"/models/{candidate}").json()["spec"]
    assert spec["checkpoint"] == str(data_root / "v2" / "model.safetensors")
    assert spec["input"] == given


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


def test_an_event_that_comes_again_is_told_of_once(registry: TestClient, data_root: Path) -> None:
    event = created(data_root, source="models:/screening/latest")
    assert len(refused(registry, event)) == 1
    assert refused(registry, event) == []
    assert len(refused(registry, alias())) == 1
    assert refused(registry, alias()) == []


def test_an_event_whose_version_or_alias_is_senseless_is_told_of_to_all_it_may_mean(
    registry: TestClient, data_root: Path
) -> None:
    for wrong in (None, "", " ", 1.5, True, ["2"], {"v": 2}, "v" * 300):
        (audit,) = refused(registry, created(data_root, version=wrong))
        assert (audit["deployment"], audit["problem"]["field"]) == ("east", "data.version")
        for field in ("version", "alias"):
            event = alias(at="2026-02-01")
            event["data"][field] = wrong
            (audit,) = refused(registry, event)
            assert (audit["deployment"], audit["problem"]["field"]) == ("west", f"data.{field}")


def test_a_version_may_be_a_number(registry: TestClient, data_root: Path) -> None:
    send(registry, created(data_root, version=2))
    assert len(send(registry, alias()).json()["audits"]) == 1


def test_what_is_no_event_names_its_field_and_leaves_nothing(registry: TestClient, data_root: Path) -> None:
    for event, field in (
        ([], "body"),
        ({"entity": "model_version", "action": "created"}, "data"),
        (created(data_root) | {"entity": 7}, "entity"),
        (created(data_root, name=None), "data.name"),
        (created(data_root, name="\0"), "data.name"),
        (created(data_root, name="\ud800"), "data.name"),
        (created(data_root, name=float("nan")), "data.name"),
        (created(data_root, tags=nested(100)), "body"),
    ):
        assert problem(send(registry, event), 422)["field"] == field
    assert audits(registry) == []
    assert len(send(registry, created(data_root)).json()["audits"]) == 1


def nested(depth: int) -> list[Any]:
    whole: list[Any] = []
    for _ in range(depth):
        whole = [whole]
    return whole


def test_what_is_not_used_of_an_event_may_be_anything(registry: TestClient, data_root: Path) -> None:
    odd = {"description": "\ud800 \0", "tags": [float("nan"), 10**50, float("inf")], "\ud800": "\0"}
    assert len(send(registry, created(data_root, **odd)).json()["audits"]) == 1


@pytest.mark.parametrize("odd", ["\ud800", "\0", float("nan"), float("inf"), 10**50])
def test_what_is_used_of_an_event_and_cannot_be_is_an_audit_that_ended_in_an_error(
    registry: TestClient, data_root: Path, odd: Any
) -> None:
    before = in_use(registry)
    source = odd if not isinstance(odd, str) else f"{data_root}/v2{odd}"
    (audit,) = refused(registry, created(data_root, source=source))
    assert audit["deployment"] == "east"
    (audit,) = refused(registry, created(data_root, version=odd))
    assert (audit["deployment"], audit["problem"]["field"]) == ("east", "data.version")
    (audit,) = refused(registry, alias() | {"timestamp": odd})
    assert (audit["deployment"], audit["problem"]["field"]) == ("west", "timestamp")
    assert in_use(registry) == before


def test_without_a_secret_nothing_is_heard(client: TestClient, data_root: Path) -> None:
    assert problem(send(client, created(data_root)), 409)["field"] == "mlflow_webhook_secret"
