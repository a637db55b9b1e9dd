"""GET /jobs/{id}/review-list and /review-summary, and reviews in exports and reports."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from fastapi import FastAPI
from pyarrow import parquet
from pydantic import SecretStr

from api.app import create_app
from service.analysis.agreement_of_readers import wilson
from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.evidence import Evidence, JobEvidence, Significance
from service.domain.neurons import LayerDissection, Neuron
from service.domain.verdicts import DirectionFigures, JobVerdicts, UnitVerdict, Verdict
from tests.api.readers import KEYS, Reader
from tests.usecases.factories import RecordingQueue, dissected_job, neuron

EVIDENCE = JobEvidence(
    "exam", 50, None, None, None, (), verdicts=JobVerdicts(0.1, 0.05, least_explained=0.5, decoys=80, decoy_match=0.9)
)


def called(unit: int, name: str | None, z: float) -> Neuron:
    """A live neuron with that name, or with none."""
    verdict = UnitVerdict(Verdict.UNNAMED) if name is None else UnitVerdict(Verdict.NAMED, name, "concept", 0.05)
    figures = DirectionFigures(fit=z / 10, fit_p=0.001, correlation=0.5, explained=0.5, decoy_explained=0.1)
    evidence = Evidence(Significance(0.001, z, 0.01), direction=figures, verdict=verdict)
    return replace(neuron(unit, 2.0), evidence=evidence)


@pytest.fixture
def readers(database_url: str, tmp_path: Path) -> Iterator[tuple[Reader, Reader, Reader]]:
    app: FastAPI = create_app(
        Settings(
            database_url=SecretStr(database_url),
            broker_url=SecretStr("redis://localhost:1"),
            api_keys=SecretStr(KEYS),
            data_roots=str(tmp_path),
        )
    )
    app.state.queue = RecordingQueue()
    yield Reader(app, "first"), Reader(app, "second"), Reader(app, "third")
    app.state.sessions.kw["bind"].dispose()


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    """A layer with 60 live neurons, of which each fourth has no name, and one with 20; the last of each is dead."""
    first = [called(unit, None if unit % 4 == 3 else "spiculated mass", 9 - unit / 10) for unit in range(60)]
    second = [called(unit, "spiculated mass", 5.0) for unit in range(20)]
    layers = [
        LayerDissection("blocks.0", (*first, neuron(60, None))),
        LayerDissection("blocks.1", (*second, neuron(20, None))),
    ]
    with transaction(sessions) as session:
        return dissected_job(session, layers, evidence=EVIDENCE)


def drawn(reader: Reader, job: UUID, draw: str, **params: Any) -> list[tuple[str, int]]:
    items = reader.get(f"/jobs/{job}/review-list", draw=draw, **params)["items"]
    return [(item["layer"], item["unit"]) for item in items]


def test_a_random_list_is_stratified_and_the_same_for_the_same_seed(readers: Any, job: UUID) -> None:
    anna, ben, _ = readers
    list_of_anna = drawn(anna, job, "random", count=40, seed=7)
    assert len(set(list_of_anna)) == 40
    assert Counter(layer for layer, _ in list_of_anna) == {"blocks.0": 30, "blocks.1": 10}
    assert drawn(ben, job, "random", count=40, seed=7) == list_of_anna
    assert drawn(ben, job, "random", count=12, seed=7) == list_of_anna[:12]
    assert drawn(ben, job, "random", count=40, seed=8) != list_of_anna
    every = drawn(ben, job, "random", count=500)
    assert len(set(every)) == 80
    assert ("blocks.0", 60) not in every
    assert [unit for layer, unit in every if layer == "blocks.0"] != list(range(60))


def test_a_list_says_how_it_was_drawn_and_leaves_out_what_the_reader_has_reviewed(readers: Any, job: UUID) -> None:
    anna, ben, _ = readers
    first, second, *rest = drawn(anna, job, "random", count=10)
    anna.review(job, first[1], "accept", layer=first[0])
    anna.review(job, second[1], "comment", layer=second[0])
    body = anna.get(f"/jobs/{job}/review-list", count=10)
    assert (body["draw"], body["seed"], body["count"]) == ("random", 0, 10)
    assert (body["population"], body["drawn"], body["reviewed"]) == (80, 10, 2)
    assert "stratified over the layers" in body["how"]
    assert [(item["layer"], item["unit"]) for item in body["items"]] == rest
    assert [item["place"] for item in body["items"]] == list(range(3, 11))
    assert body["items"][0]["concept"] == "spiculated mass"
    assert drawn(ben, job, "random", count=10) == [first, second, *rest]


def test_strongest_and_unnamed(readers: Any, job: UUID) -> None:
    anna, _, _ = readers
    assert drawn(anna, job, "strongest", count=3) == [("blocks.0", 0), ("blocks.0", 1), ("blocks.0", 2)]
    assert drawn(anna, job, "unnamed", count=2) == [("blocks.0", 3), ("blocks.0", 7)]
    assert anna.get(f"/jobs/{job}/review-list", draw="unnamed")["population"] == 15


def test_disputed_neurons_are_for_a_third_reader(readers: Any, job: UUID) -> None:
    anna, ben, carla = readers
    for unit, decision in ((0, "accept"), (1, "reject"), (2, "accept")):
        anna.review(job, unit, decision)
        ben.review(job, unit, "accept")
    assert drawn(carla, job, "disputed") == [("blocks.0", 1)]
    assert drawn(anna, job, "disputed") == []
    carla.review(job, 1, "reject")
    assert drawn(carla, job, "disputed") == []
    anna.review(job, 1, "accept", version=1)
    assert carla.listed(job, disputed=True) == [("anna", 1, "accept"), ("carla", 1, "reject"), ("ben", 1, "accept")]


def read_through(reader: Reader, job: UUID, rejected: set[tuple[str, int]], count: int) -> None:
    """Have a reader go through the random list: they reject some, and accept all others."""
    for layer, unit in drawn(reader, job, "random", count=count):
        reader.review(job, unit, "reject" if (layer, unit) in rejected else "accept", layer=layer)


def test_the_summary_of_two_readers(readers: Any, job: UUID) -> None:
    anna, ben, carla = readers
    chosen = drawn(anna, job, "random", count=48)
    read_through(anna, job, set(chosen[:12]), 48)
    read_through(ben, job, set(chosen[:9]), 48)
    body = ben.get(f"/jobs/{job}/review-summary")
    assert body["decisions"] == {"accept": 36 + 39, "reject": 12 + 9, "rename": 0, "comment": 0}
    assert body["standings"] == {"accepted": 36, "rejected": 9, "renamed": 0, "disputed": 3}
    assert (body["hidden"], body["needed"], body["no_agreement"]) == (0, 20, None)
    (pair,) = body["agreement"]
    assert (pair["readers"], pair["neurons"], pair["refused"]) == (["anna", "ben"], 48, None)
    observed, expected = 45 / 48, (36 * 39 + 12 * 9) / 48**2
    assert (pair["observed"], pair["expected"]) == (pytest.approx(observed), pytest.approx(expected))
    assert pair["kappa"] == pytest.approx((observed - expected) / (1 - expected))
    assert pair["low"] < pair["kappa"] < pair["high"]

    named = [place for place in chosen if place[0] == "blocks.1" or place[1] % 4 != 3]
    accepted = sum(place in chosen[12:] for place in named)
    found = body["acceptance"]
    assert (found["seed"], found["drawn"], found["judged"], found["accepted"]) == (0, len(named), len(named), accepted)
    share = wilson(accepted, len(named))
    assert (found["share"], found["low"], found["high"]) == pytest.approx((share.value, share.low, share.high))
    assert (found["error"], found["error_level"], found["refused"]) == (0.05, 0.1, None)

    of_carla = carla.get(f"/jobs/{job}/review-summary")
    assert sum(of_carla["decisions"].values()) == sum(of_carla["standings"].values()) == 0
    assert of_carla["hidden"] == 96
    assert (of_carla["agreement"], of_carla["acceptance"]) == (body["agreement"], body["acceptance"])


def test_agreement_rests_on_what_was_said_before_the_other_was_seen(readers: Any, job: UUID) -> None:
    anna, ben, _ = readers
    chosen = drawn(anna, job, "random", count=24)
    read_through(anna, job, set(chosen[:12]), 24)
    read_through(ben, job, set(chosen[8:12]), 24)
    before = anna.get(f"/jobs/{job}/review-summary")
    for layer, unit in chosen[:8]:
        ben.review(job, unit, "reject", layer=layer, version=1)
    after = anna.get(f"/jobs/{job}/review-summary")
    assert before["standings"]["disputed"] == 8
    assert after["standings"] == {"accepted": 12, "rejected": 12, "renamed": 0, "disputed": 0}
    assert after["agreement"] == before["agreement"]
    assert after["agreement"][0]["observed"] == pytest.approx(16 / 24)


def test_too_few_say_so(readers: Any, job: UUID) -> None:
    anna, ben, _ = readers
    body = anna.get(f"/jobs/{job}/review-summary")
    assert "No two readers have judged the same neuron" in body["no_agreement"]
    anna.review(job, 0, "accept")
    ben.review(job, 0, "accept")
    body = anna.get(f"/jobs/{job}/review-summary")
    (pair,) = body["agreement"]
    assert (pair["neurons"], pair["observed"], pair["kappa"]) == (1, None, None)
    assert pair["refused"] == "Both have judged 1 of the 20 neurons that are needed."
    assert (body["acceptance"]["share"], body["acceptance"]["accepted"]) == (None, None)
    assert "20 are needed" in body["acceptance"]["refused"]


def test_neurons_that_a_reader_chose_are_not_drawn_at_random(readers: Any, job: UUID) -> None:
    anna, _, _ = readers
    last_of_draw = drawn(anna, job, "random", count=80)[-40:]
    for layer, unit in last_of_draw:
        anna.review(job, unit, "accept", layer=layer)
    assert anna.get(f"/jobs/{job}/review-summary")["acceptance"]["share"] is None


def exported(reader: Reader, job: UUID, form: str) -> bytes:
    answer = reader.client.get(f"/jobs/{job}/export", params={"format": form})
    assert answer.status_code == 200
    return bytes(answer.content)


def test_exports_have_what_the_caller_may_see(readers: Any, job: UUID) -> None:
    anna, ben, carla = readers
    before = {form: exported(anna, job, form) for form in ("csv", "parquet", "json", "published")}
    anna.review(job, 0, "rename", name="a hair")
    anna.review(job, 1, "reject")
    ben.review(job, 1, "accept")
    for form, content in before.items():
        assert exported(carla, job, form) == content

    rows = list(csv.DictReader(io.StringIO(exported(anna, job, "csv").decode())))
    reviews = [(row["review"], row["reviewed_name"], row["reviewers"]) for row in rows[:3]]
    assert reviews == [("renamed", "a hair", "anna"), ("disputed", "", "anna ben"), ("", "", "")]
    assert rows[0]["label"] == "spiculated mass"
    assert list(rows[0])[-3:] == ["review", "reviewed_name", "reviewers"]
    of_ben = list(csv.DictReader(io.StringIO(exported(ben, job, "csv").decode())))
    assert [row["review"] for row in of_ben[:2]] == ["", "disputed"]

    table = parquet.read_table(pa.BufferReader(exported(anna, job, "parquet")))
    assert table.column("reviewers").to_pylist()[:3] == [["anna"], ["anna", "ben"], []]
    assert table.column("review").to_pylist()[:3] == ["renamed", "disputed", None]
    whole = json.loads(exported(anna, job, "json"))
    first = whole["layers"][0]["neurons"][0]
    assert (first["review"], first["reviewed_name"], first["reviewers"]) == ("renamed", "a hair", ["anna"])
    assert exported(anna, job, "published") == before["published"]


def report(reader: Reader, job: UUID, form: str) -> str:
    answer = reader.client.get(f"/jobs/{job}/report", params={"format": form})
    assert answer.status_code == 200
    return str(answer.text)


def test_reports_have_what_the_caller_may_see(readers: Any, job: UUID) -> None:
    anna, ben, carla = readers
    before = {form: report(anna, job, form) for form in ("html", "json")}
    assert "readers" not in json.loads(before["json"])
    assert "What readers said" not in before["html"]

    anna.review(job, 0, "rename", name="a <b>hair</b>")
    anna.review(job, 1, "reject")
    ben.review(job, 1, "accept")
    page = report(anna, job, "html")
    assert "What readers said" in page
    assert "Readers judge 2 neurons: 1 renamed, 1 disputed." in page
    assert "renamed to &#39;a &lt;b&gt;hair&lt;/b&gt;&#39; by anna" in page
    assert "How far anna and ben agree is not known. Both have judged 1 of the 20 neurons that are needed." in page
    section = json.loads(report(anna, job, "json"))["readers"]
    assert [(neuron["unit"], neuron["standing"]) for neuron in section["neurons"]] == [(0, "renamed"), (1, "disputed")]
    assert section["summary"]["decisions"] == {"rename": 1, "reject": 1, "accept": 1}

    of_carla = report(carla, job, "html")
    assert "3 reviews of neurons that carla has not judged are left out" in of_carla
    assert "hair" not in of_carla
    assert "disputed" not in of_carla
    assert json.loads(report(carla, job, "json"))["readers"]["neurons"] == []
