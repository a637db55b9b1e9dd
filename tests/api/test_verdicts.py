"""Verdicts in GET /layers and GET /neurons."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from service.analysis.evidence_codec import encode_evidence
from service.db.session import Sessions, transaction
from service.domain.evidence import Evidence, JobEvidence, Watched
from service.domain.neurons import LayerDissection, Neuron
from service.domain.verdicts import DirectionFigures, JobVerdicts, LayerErrors, NamePart, UnitVerdict, Verdict
from tests.api.test_problems import problem
from tests.usecases.factories import dissected_job, neuron

LAYER = "blocks.0"
VERDICTS = JobVerdicts(0.1, 0.04, 0.7, 40, 0.9, (LayerErrors(LAYER, 2, 0.04),))
FIGURES = DirectionFigures(0.5, 0.001, 0.4, 0.64, 0.1, rivals=(1,), parts=(NamePart(0, "spiculated mass", 0.6),))


def called(unit: int, verdict: UnitVerdict) -> Neuron:
    watched = tuple(Watched(2, "red sports car", 0.01, float(z), 0.04) for z in (1, 2, 5, 3, 4))
    evidence = Evidence(verdict=verdict, direction=FIGURES, watched=watched)
    return replace(neuron(unit, 1.0), evidence=evidence)


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    layer = LayerDissection(
        LAYER,
        (
            called(0, UnitVerdict(Verdict.NAMED, "spiculated mass", "concept", 0.02)),
            called(1, UnitVerdict(Verdict.NAMED, "mass margin", "category", 0.04)),
            called(2, UnitVerdict(Verdict.UNVERIFIED, "spiculated mass", "concept", 0.03)),
            called(3, UnitVerdict(Verdict.UNNAMED)),
            called(4, UnitVerdict(Verdict.NO_SIGNAL)),
            neuron(5, None),
        ),
    )
    evidence = JobEvidence("exam", 50, None, None, None, (), verdicts=VERDICTS)
    with transaction(sessions) as session:
        return dissected_job(session, [layer], manifest={"evidence": encode_evidence(evidence)})


def units(client: TestClient, job: UUID, **params: Any) -> list[int]:
    answer = client.get(f"/neurons/{LAYER}", params={"job": str(job), "sort": "unit", **params})
    assert answer.status_code == 200, answer.text
    return [item["unit"] for item in answer.json()["items"]]


def test_neurons_are_filtered_by_one_verdict_or_several(client: TestClient, job: UUID) -> None:
    assert units(client, job, verdict="named") == [0, 1]
    assert units(client, job, verdict="no-signal") == [4]
    assert units(client, job, verdict=["unnamed", "unverified"]) == [2, 3]
    assert units(client, job) == [0, 1, 2, 3, 4, 5]


def test_a_verdict_that_does_not_exist_is_refused(client: TestClient, job: UUID) -> None:
    answer = client.get(f"/neurons/{LAYER}", params={"job": str(job), "verdict": "sure"})
    assert "unnamed" in problem(answer, 422)["detail"]


def test_a_listed_neuron_says_what_it_may_be_called(client: TestClient, job: UUID) -> None:
    listed = client.get(f"/neurons/{LAYER}", params={"job": str(job), "sort": "unit"}).json()["items"]
    told = [tuple(one[name] for name in ("verdict", "name", "level", "error")) for one in listed]
    assert told[1] == ("named", "mass margin", "category", 0.04)
    assert told[3:] == [("unnamed", None, None, None), ("no-signal", None, None, None), (None, None, None, None)]
    assert listed[0]["evidence"]["direction"]["explained"] == 0.64
    assert [response["z"] for response in listed[0]["evidence"]["watched"]] == [5.0, 4.0, 3.0]


def test_the_single_neuron_has_rivals_parts_and_all_its_responses(client: TestClient, job: UUID) -> None:
    alone = client.get(f"/neurons/{LAYER}/0", params={"job": str(job)}).json()
    assert alone["evidence"]["direction"]["rivals"] == ["clustered calcification"]
    assert alone["evidence"]["direction"]["parts"] == [{"text": "spiculated mass", "share": 0.6}]
    assert len(alone["evidence"]["watched"]) == 5
    assert (alone["verdict"], alone["name"]) == ("named", "spiculated mass")


def test_layers_count_verdicts_and_say_how_they_were_reached(client: TestClient, job: UUID) -> None:
    body = client.get("/layers", params={"job": str(job)}).json()
    counts = {"named": 2, "unverified": 1, "unnamed": 1, "no_signal": 1}
    assert (body["items"][0]["verdicts"], body["items"][0]["error"]) == (counts, 0.04)
    assert body["verdicts"] == counts
    assert (body["judged_by"]["error_level"], body["judged_by"]["error"]) == (0.1, 0.04)


def test_an_export_has_the_names(client: TestClient, job: UUID) -> None:
    header, *rows = client.get(f"/jobs/{job}/export", params={"format": "csv"}).text.splitlines()
    columns = header.split(",")
    cells = dict(zip(columns, rows[1].split(","), strict=True))
    told = [cells[name] for name in ("verdict", "name", "level", "error")]
    assert told == ["named", "mass margin", "category", "0.04"]


def test_a_report_names_the_neurons_that_a_person_should_look_at(client: TestClient, job: UUID) -> None:
    page = client.get(f"/jobs/{job}/report").text
    assert "the neurons that a person should look at" in page
    assert "named neurons in layer no." in page
    assert "significant neurons in layer no." not in page
    report = client.get(f"/jobs/{job}/report", params={"format": "json"}).json()
    assert report["verdicts"] == {"named": 2, "unverified": 1, "unnamed": 1, "no_signal": 1}
    assert [one["unit"] for one in report["unnamed"]] == [3]
    assert any("4 % are wrong as estimated" in sentence for sentence in report["summary"])
