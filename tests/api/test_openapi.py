"""The published contract: it is what the application says of itself, and it holds together."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.problems import Problem

SNAPSHOT = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_copy_in_the_docs_is_up_to_date(client: TestClient) -> None:
    published = json.loads(SNAPSHOT.read_text())
    assert client.get("/openapi.json").json() == published, "renew it: python -m api.openapi > docs/openapi.json"


def test_every_reference_leads_somewhere_and_every_operation_knows_problems(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for reference in references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"], path
            assert operation["summary"], path


def test_the_contract_is_made_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.get("/openapi.json").content
    monkeypatch.setattr(Problem, "model_json_schema", None)
    assert client.get("/openapi.json").content == first


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []
