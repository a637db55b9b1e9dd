"""POST and GET /comparisons."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.analysis.comparison import compare
from service.db.session import Sessions, transaction
from service.db.text_embeddings import keep_texts
from service.domain.comparisons import Comparison
from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection, Neuron
from service.usecases.comparisons import compare_jobs
from tests.api.test_problems import problem
from tests.usecases.factories import WORDS, dissected_job, judged_neuron, neuron, queued_job

EVIDENCE = JobEvidence("exam", 50, None, None, None, ())
TEXTS = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)


def layer(name: str, *concepts: int) -> LayerDissection:
    """Neurons with those labels, the same in every resample and half."""
    return LayerDissection(name, tuple(_judged(unit, concept) for unit, concept in enumerate(concepts)))


def _judged(unit: int, concept: int) -> Neuron:
    judged = judged_neuron(neuron(unit, 2.0, concept), p=0.001, q=0.01, z=3.0)
    assert judged.evidence is not None
    return replace(judged, evidence=replace(judged.evidence, resampled=(concept,) * 4, halves=(concept,) * 4))


@pytest.fixture
def jobs(sessions: Sessions) -> list[str]:
    """A network, its copy, and one that has lost a mass to a calcification and has a layer of its own."""
    with transaction(sessions) as session:
        keep_texts(session, "0", WORDS.digest, "cpu", TEXTS)
        found = [
            dissected_job(session, layers, model=model, evidence=EVIDENCE)
            for model, layers in (
                ("screening", [layer("blocks.0", 0, 0, 1)]),
                ("copy", [layer("blocks.0", 0, 0, 1)]),
                ("tuned", [layer("blocks.0", 0, 1, 1), layer("blocks.1", 1)]),
            )
        ]
    return [str(job) for job in found]


def post(client: TestClient, jobs: list[str]) -> dict[str, Any]:
    response = client.post("/comparisons", json={"jobs": jobs})
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/comparisons/{body['id']}"
    return body


def test_a_comparison_may_take_longer_than_a_transaction_may_be_silent(
    sessions: Sessions, jobs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*parts: Any, **more: Any) -> Comparison:
        time.sleep(0.5)
        return compare(*parts, **more)

    monkeypatch.setattr("service.usecases.comparisons.compare", slowly)
    with transaction(sessions) as session:
        session.execute(text("SET idle_in_transaction_session_timeout = '200ms'"))
        _, new = compare_jobs(session, [UUID(job) for job in jobs])
        session.execute(text("SET idle_in_transaction_session_timeout = '60s'"))
    assert new


def test_a_copy_differs_by_nothing_and_a_tuned_network_by_what_it_gained(client: TestClient, jobs: list[str]) -> None:
    body = post(client, jobs)
    assert body["jobs"] == jobs
    result = body["result"]
    assert (result["basis"], result["resamples"], result["halves"], result["notes"]) == ("significant", 4, 2, [])
    assert result["unshared"] == [[], [], ["blocks.1"]]
    assert [scope["layer"] for scope in result["layers"]] == ["blocks.0"]
    scope = result["network"]
    table = {row["name"]: row["neurons"] for row in scope["categories"]["rows"]}
    assert table == {"mass margin": [2, 2, 1], "calcification distribution": [1, 1, 2]}
    nothing, gain = scope["categories"]["rows"][1]["changes"]
    assert (nothing["gain"], nothing["low"], nothing["high"], nothing["exceeds_noise"]) == (0.0, 0.0, 0.0, False)
    # One unit differs, in every resample: no exam has a part in it.
    ends = [pytest.approx(1 + sign * 1.959964) for sign in (-1, 1)]
    assert [gain["gain"], gain["low"], gain["high"], gain["noise"]] == [1.0, *ends, pytest.approx(1.959964)]
    assert (gain["exceeds_noise"], gain["test"], gain["p"], gain["halves"]) == (False, "resampled", 1.0, 0.0)
    assert result["judged_by"] == "resamples"
    assert {row["name"]: row["neurons"] for row in result["by_concept"]["rows"]} == {
        WORDS.concepts[0].text: [2, 2, 1],
        WORDS.concepts[1].text: [1, 1, 2],
    }
    assert [churn["label"]["value"] for churn in scope["churn"]] == [0.0, pytest.approx(1 / 3)]
    assert [churn["semantic"]["value"] for churn in scope["churn"]] == [0.0, pytest.approx(0.4 / 3)]
    assert [churn["semantic"]["exceeds_noise"] for churn in scope["churn"]] == [False, True]
    assert scope["categories"]["divergence"][0]["value"] == 0.0
    assert client.get(f"/comparisons/{body['id']}").json() == body


def test_jobs_that_were_stored_before_meanings_were_kept(
    client: TestClient, jobs: list[str], sessions: Sessions
) -> None:
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM text_embeddings"))
    result = post(client, jobs[:2])["result"]
    unknown = {"value": None, "noise": None, "exceeds_noise": None, "halves": None}
    assert result["network"]["churn"][0]["semantic"] == unknown
    assert [note.split(",")[0] for note in result["notes"]] == ["No semantic churn"]


def test_a_comparison_that_was_stored_before_meanings_were_compared(
    client: TestClient, jobs: list[str], sessions: Sessions
) -> None:
    identifier = post(client, jobs[:2])["id"]
    with transaction(sessions) as session:
        session.execute(text("UPDATE comparisons SET result = result #- '{network,churn,0,semantic}'"))
    found = client.get(f"/comparisons/{identifier}").json()["result"]["network"]["churn"][0]
    assert (found["label"]["value"], found["semantic"]["value"]) == (0.0, None)


def test_a_comparison_that_was_judged_by_halves_stays_what_it_was(
    client: TestClient, jobs: list[str], sessions: Sessions
) -> None:
    body = post(client, jobs)
    new = {"by_concept", "judged_by", "halves"}

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(part) for key, part in value.items() if key not in new}
        return [without(part) for part in value] if isinstance(value, list) else value

    earlier = {**without(body["result"]), "halves": body["result"]["halves"]}
    with transaction(sessions) as session:
        session.execute(
            text("UPDATE comparisons SET result = CAST(:earlier AS jsonb)"), {"earlier": json.dumps(earlier)}
        )

    result = client.get(f"/comparisons/{body['id']}").json()["result"]
    assert (result["judged_by"], result["by_concept"], result["halves"]) == ("halves", None, 2)
    assert result["network"]["categories"]["rows"][1]["changes"][1]["halves"] is None
    assert without(result) == without(body["result"])
    report = client.get(f"/comparisons/{body['id']}/report", params={"format": "json"})
    assert report.status_code == 200, report.text


def test_the_same_jobs_again_are_the_same_comparison(client: TestClient, jobs: list[str]) -> None:
    first = post(client, jobs[:2])
    again = client.post("/comparisons", json={"jobs": jobs[:2]})
    assert (again.status_code, again.json()) == (200, first)
    assert again.headers["location"] == f"/comparisons/{first['id']}"
    assert post(client, jobs[1::-1])["id"] != first["id"]


def test_posted_at_once_they_are_stored_once(client: TestClient, jobs: list[str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.post("/comparisons", json={"jobs": jobs}), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_comparisons_are_listed_newest_first_in_pages(client: TestClient, jobs: list[str]) -> None:
    posted = [post(client, pair)["id"] for pair in (jobs[:2], jobs[1:], jobs)]
    page = client.get("/comparisons", params={"limit": 2})
    assert [item["id"] for item in page.json()["items"]] == posted[:0:-1]
    assert page.json()["items"][0]["jobs"] == jobs
    assert "result" not in page.json()["items"][0]
    last = client.get(page.links["next"]["url"]).json()
    assert ([item["id"] for item in last["items"]], last["next"]) == (posted[:1], None)


@pytest.fixture
def unlike(sessions: Sessions) -> UUID:
    with transaction(sessions) as session:
        made = {"dissector": {"digest": "another"}}
        return dissected_job(session, [layer("blocks.0", 0)], evidence=EVIDENCE, manifest=made)


def test_unlike_and_unfinished_jobs_are_refused(
    client: TestClient, jobs: list[str], unlike: UUID, sessions: Sessions
) -> None:
    body = problem(client.post("/comparisons", json={"jobs": [jobs[0], str(unlike)]}), 409)
    assert body["field"] == "dissector"
    assert "digest 0 against reader@1, digest another" in body["detail"]
    with transaction(sessions) as session:
        waiting = str(queued_job(session).id)
    assert "queued" in problem(client.post("/comparisons", json={"jobs": [jobs[0], waiting]}), 409)["detail"]
    assert problem(client.post("/comparisons", json={"jobs": [jobs[0], str(uuid4())]}), 404)["field"] == "job"
    assert client.get("/comparisons").json()["items"] == []


def test_networks_without_a_common_layer_are_refused(client: TestClient, jobs: list[str], sessions: Sessions) -> None:
    with transaction(sessions) as session:
        apart = dissected_job(session, [layer("features.3", 0)], evidence=EVIDENCE)
    assert problem(client.post("/comparisons", json={"jobs": [jobs[0], str(apart)]}), 409)["field"] == "layers"


@pytest.mark.parametrize("number", [0, 1, 9])
def test_two_to_eight_jobs_are_compared(client: TestClient, number: int) -> None:
    assert problem(client.post("/comparisons", json={"jobs": [str(uuid4())] * number}), 422)["field"] == "jobs"


def test_an_unknown_comparison_is_a_404(client: TestClient) -> None:
    assert problem(client.get(f"/comparisons/{uuid4()}"), 404)["field"] == "comparison"
