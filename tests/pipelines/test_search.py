"""Searches by texts and images that a worker reads, on whole jobs of small networks."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.db.search_vectors import find_search_vector
from service.db.session import Sessions, transaction
from service.db.tables import ArtifactRow
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job
from service.domain.resources import ResourceKind
from service.domain.search import SearchKind
from service.engine.prompting import embed_concept_set
from service.errors import InvalidDissector
from service.pipelines import search_vectors
from service.usecases.resources import find_resource
from tests.engine.small_networks import LAYERS
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import submit

NONE = EvidenceOptions(draws=0)
AT_ONCE = {"Prefer": "wait=0"}


@pytest.fixture
def job(sessions: Sessions, folder: Path, run: Run) -> Job:
    return run(submit(sessions, folder, evidence=NONE))


def search(client: TestClient, **params: str) -> dict[str, Any]:
    response = client.get("/search/neurons", params=params, headers=AT_ONCE)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_a_text_is_read_as_a_concept_is(client: TestClient, job: Job, work: Callable[[], None]) -> None:
    by_concept = search(client, concept="calcification")
    assert {item["layer"] for item in by_concept["items"]} == set(LAYERS)

    assert client.get("/search/neurons?text=calcification", headers=AT_ONCE).status_code == 503
    work()
    by_text = search(client, text="calcification")
    assert by_text["searched_by"] == "the text 'calcification'"
    for mine, theirs in zip(by_text["items"], by_concept["items"], strict=True):
        assert mine["cosine"] == pytest.approx(theirs["cosine"], abs=1e-3)


def test_a_request_waits_for_the_worker(client: TestClient, job: Job, work: Callable[[], None]) -> None:
    answers = []
    asking = Thread(
        target=lambda: answers.append(client.get("/search/neurons?text=clip", headers={"Prefer": "wait=10"}))
    )
    asking.start()
    while asking.is_alive():
        work()
        time.sleep(0.05)
    assert answers[0].status_code == 200, answers[0].text


def test_an_image_is_where_the_dissector_saw_it(
    client: TestClient, job: Job, work: Callable[[], None], sessions: Sessions
) -> None:
    image = f"{job.id}/7"
    assert client.get(f"/search/neurons?image={image}", headers=AT_ONCE).status_code == 503
    assert client.get(f"/search/neurons?image={job.id}/99", headers=AT_ONCE).status_code == 503
    work()
    assert search(client, image=image)["searched_by"] == f"the image of manifest row 7 in job {job.id}"
    unknown = client.get(f"/search/neurons?image={job.id}/99", headers=AT_ONCE).json()
    assert "no image of manifest row 99" in unknown["detail"]

    with transaction(sessions) as session:
        dissector = find_resource(session, ResourceKind.DISSECTOR, "dissector", field="dissector")
        reading = find_search_vector(session, dissector.id, SearchKind.IMAGE, image)
    assert reading is not None
    assert reading.vector is not None
    assert reading.vector.shape == (16,)
    assert np.linalg.norm(reading.vector) == pytest.approx(1, abs=1e-3)


def test_an_image_whose_shard_was_deleted(
    client: TestClient, job: Job, work: Callable[[], None], sessions: Sessions
) -> None:
    with transaction(sessions) as session:
        session.query(ArtifactRow).filter(ArtifactRow.kind == "shard").delete()
    client.get(f"/search/neurons?image={job.id}/1", headers=AT_ONCE)
    work()
    refused = client.get(f"/search/neurons?image={job.id}/1", headers=AT_ONCE)
    assert refused.status_code == 409
    assert f"POST /jobs/{job.id}/replay" in refused.json()["remedy"]


def test_a_dissector_that_fails_is_named_and_what_is_asked_meanwhile_is_read(
    client: TestClient, job: Job, work: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:

    def embed_some(dissector: Any, concepts: Any, prompts: Any) -> Any:
        if list(concepts.texts) == ["bad"]:
            client.get("/search/neurons?text=meanwhile", headers=AT_ONCE)
            raise InvalidDissector("Its weights are damaged.", remedy="Copy them again.")
        return embed_concept_set(dissector, concepts, prompts)

    monkeypatch.setattr(search_vectors, "embed_concept_set", embed_some)
    client.get("/search/neurons?text=bad", headers=AT_ONCE)
    work()
    refused = client.get("/search/neurons?text=bad", headers=AT_ONCE).json()
    assert (refused["status"], refused["remedy"]) == (409, "Copy them again.")
    assert search(client, text="meanwhile")["items"]
