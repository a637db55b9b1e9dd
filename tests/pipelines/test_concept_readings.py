"""A dissector reads a concept set for whoever asks what is weak about it, without any job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.engine.prompting import embed_concept_set
from service.errors import InvalidDissector
from service.pipelines import reading_texts

LONG = "a " * 120
WORDS = ["mass", f"{LONG}clip", "calcification"]


def post(client: TestClient, collection: str, status: int = 201, **body: Any) -> Any:
    response = client.post(collection, json=body)
    assert response.status_code == status, response.text
    return response.json()


@pytest.fixture
def reader(client: TestClient, folder: Path) -> TestClient:
    post(client, "/dissectors", name="reader", path=str(folder / "dissector"))
    post(client, "/dissectors", name="other", path=str(folder / "dissector"), prompts={"templates": ["a {}"]})
    return client


def test_texts_are_read_for_who_asks(reader: TestClient, work: Callable[[], None]) -> None:
    asked = post(reader, "/concept-sets", name="words", concepts=WORDS, dissector="reader")
    assert asked["state"] == "checking"
    assert "GET /concept-sets/words@1?dissector=reader@1" in asked["dissector_note"]
    assert not asked["remarks_by_weakness"].get("cut text")
    also = reader.get("/concept-sets/words?dissector=other").json()
    assert also["state"] == "checking"

    work()

    for dissector in ("reader", "other"):
        read = reader.get(f"/concept-sets/words?dissector={dissector}").json()
        assert read["state"] == "ready"
        assert read["dissector_note"].startswith(f"{dissector}@1 has read the texts")
        assert read["remarks_by_weakness"]["cut text"] == 1
    assert reader.get("/concept-sets/words").json()["state"] is None


def test_one_that_is_asked_for_meanwhile_is_read_too(
    reader: TestClient, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_meanwhile(*arguments: Any) -> Any:
        reader.get("/concept-sets/words?dissector=other")
        return embed_concept_set(*arguments)

    monkeypatch.setattr(reading_texts, "embed_concept_set", ask_meanwhile)
    post(reader, "/concept-sets", name="words", concepts=["mass", "clip"], dissector="reader")
    work()
    assert reader.get("/concept-sets/words?dissector=other").json()["state"] == "ready"


def test_what_cannot_be_read_is_said_and_tried_again_when_it_is_asked_for(
    reader: TestClient, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise InvalidDissector("Its weights are damaged.", field="dissector", remedy="Copy them again.")

    with monkeypatch.context() as patched:
        patched.setattr(reading_texts, "embed_concept_set", refuse)
        post(reader, "/concept-sets", name="words", concepts=["mass", "clip"], dissector="reader")
        work()
    refused = reader.get("/concept-sets/words?dissector=reader").json()
    assert refused["state"] == "refused"
    assert refused["dissector_note"].endswith("Its weights are damaged. Copy them again.")

    again = post(reader, "/concept-sets", 200, name="words", concepts=["mass", "clip"], dissector="reader")
    assert again["state"] == "checking"
    work()
    assert reader.get("/concept-sets/words?dissector=reader").json()["state"] == "ready"


def test_texts_that_are_the_same_to_the_dissector_are_refused(reader: TestClient, work: Callable[[], None]) -> None:
    alike = [f"{LONG}clip", f"{LONG}calcification"]
    post(reader, "/concept-sets", name="words", concepts=alike, dissector="reader")
    work()
    refused = reader.get("/concept-sets/words?dissector=reader").json()
    assert refused["state"] == "refused"
    assert "differ only behind these" in refused["dissector_note"]
