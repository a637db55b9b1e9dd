"""API keys: each acts under its name, and those that nobody could send are refused at the start."""

import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from service.config import Settings
from service.db.session import Sessions
from service.errors import InvalidInput
from service.signatures import PublicKey
from tests.api.changing_calls import trail
from tests.api.test_problems import problem


def test_each_key_acts_under_its_name(named: FastAPI, sessions: Sessions) -> None:
    with TestClient(named) as client:
        for key, name in (("first==", "radiology"), ("second", "it")):
            headers = {"Authorization": f"Bearer {key}"}
            body = {"name": name, "concepts": ["mass"]}
            assert client.post("/concept-sets", json=body, headers=headers).status_code == 201
        for wrong in ("first", "", "it=second", "radiology"):
            problem(client.get("/jobs", headers={"Authorization": f"Bearer {wrong}"}), 401)
    assert [entry.actor for entry in trail(sessions)] == ["radiology", "it"]


@pytest.mark.parametrize(
    ("keys", "hint"),
    [
        ("secret-word", "Key 1"),
        ("a=secret-word,b=", "Key 2"),
        ("A B=secret-word", "Key 1"),
        ("a=secret-word,a=other", "a, is taken"),
        ("scheduler=secret-word", "scheduler, is taken"),
        ("a=secret-word,b=secret-word", "the same as another"),
        ("a=open sesame", "the same as another"),
        ("a=secret-wörd", "Key 1 of API_KEYS, a, holds characters that are not ASCII"),
        ("a= secret-word", "Key 1 of API_KEYS, a, begins or ends with a blank"),
        ("a=secret\tword", "Key 1 of API_KEYS, a, is more than one line, or holds control characters"),
    ],
)
def test_a_bad_list_of_keys_is_named_and_not_shown(keys: str, hint: str) -> None:
    url = SecretStr("postgresql+psycopg://")
    settings = Settings(
        database_url=url, broker_url=url, api_key=SecretStr("open sesame"), api_keys=SecretStr(keys), data_roots="/"
    )
    with pytest.raises(InvalidInput, match=hint) as refused:
        create_app(settings)
    assert refused.value.field == "api_keys"
    assert "secret-w" not in json.dumps(refused.value.as_problem())


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("secret-wörd", "not ASCII"),
        (" secret-word", "begins or ends with a blank"),
        ("secret-word ", "begins or ends with a blank"),
        ("secret-word\n", "more than one line"),
        (" ", "is empty"),
        ("secret\tword", "control characters"),
        ("\0", "control characters"),
    ],
)
def test_a_key_that_no_client_can_send_is_refused_and_not_shown(key: str, why: str) -> None:
    url = SecretStr("postgresql+psycopg://")
    settings = Settings(database_url=url, broker_url=url, api_key=SecretStr(key), data_roots="/")
    with pytest.raises(InvalidInput, match=f"API_KEY .*{why}") as refused:
        create_app(settings)
    assert refused.value.field == "api_key"
    assert "secret" not in json.dumps(refused.value.as_problem())


def test_the_public_key_is_told(named: FastAPI, client: TestClient) -> None:
    with TestClient(named, headers={"Authorization": "Bearer second"}) as signing:
        told = signing.get("/signing-key").json()
    assert told["algorithm"] == "Ed25519"
    public = PublicKey.from_pem(told["public_key"].encode())
    assert public.key_id == told["key_id"]
    public.verify(b"report", named.state.signing_key.sign(b"report"))
    assert "SIGNING_KEY" in problem(client.get("/signing-key"), 404)["remedy"]
    problem(client.get("/signing-key", headers={"Authorization": ""}), 401)
