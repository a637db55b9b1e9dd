"""Whole jobs that ask where their neurons look, on images whose manifest says where findings are."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job, JobStatus
from service.domain.localisation import LocalisationEntry, LocalisationOptions
from service.pipelines import localisation
from service.usecases.jobs import find_job, replay_job
from service.usecases.reports import read_report, write_html
from tests.engine.small_networks import LAYERS
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import CONCEPTS, submit, write_folder
from tests.usecases.factories import RecordingQueue

IMAGES = 24
PATIENTS = [f"patient-{index // 2}" for index in range(IMAGES)]
UNTESTED = EvidenceOptions(draws=0)
"""Then every living neuron has a label."""


def cell(*regions: tuple[str, Sequence[int]]) -> str:
    text = json.dumps([{"finding": finding, "box": list(box)} for finding, box in regions])
    return '"' + text.replace('"', '""') + '"'


def columns(finding: str = "mass", *, beyond: Sequence[int] = ()) -> Mapping[str, Sequence[str]]:
    """All images have all findings of the concept set, and a box of one of them."""
    return {
        "patient_id": PATIENTS,
        "findings": ["mass|calcification|clip"] * IMAGES,
        "regions": [
            cell((finding, [index % 20, index % 30, 60 if index in beyond else 8, 8])) for index in range(IMAGES)
        ],
    }


def entry_of(job: Job) -> LocalisationEntry:
    assert job.status is JobStatus.SUCCEEDED, job.problem
    assert job.manifest is not None
    return job.manifest["localisation"]


def run_job(sessions: Sessions, folder: Path, run: Run, **changes: Any) -> Job:
    asked: dict[str, Any] = {"evidence": UNTESTED, "localisation": LocalisationOptions()} | changes
    return run(submit(sessions, folder, **asked))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_folder(tmp_path, images=IMAGES, columns=columns())


def neurons(client: TestClient, job: Job, concept: str) -> list[dict[str, Any]]:
    """All neurons with that label, each as the API gives it alone."""
    found = []
    for layer in LAYERS:
        listed = client.get(f"/neurons/{layer}", params={"job": str(job.id), "concept": concept, "limit": 200})
        assert listed.status_code == 200, listed.text
        for neuron in listed.json()["items"]:
            assert "localisations" not in neuron["evidence"] if neuron["evidence"] else True
            one = client.get(f"/neurons/{layer}/{neuron['unit']}", params={"job": str(job.id)})
            found.append(one.json())
    return found


def test_labelled_neurons_are_held_against_the_places_of_their_finding(
    sessions: Sessions, written: Path, run: Run, client: TestClient
) -> None:
    job = run_job(sessions, written, run)
    entry = entry_of(job)
    assert entry["findings"] == {"mass": {"images": IMAGES, "used": IMAGES, "exams": IMAGES // 2}}
    assert entry["images_with_problems"] == 0
    assert entry["exchanges"] == 999

    of_mass = neurons(client, job, "mass")
    assert of_mass
    assert entry["units"]["measured"] == len(of_mass)
    for neuron in of_mass:
        [measured] = neuron["evidence"]["localisations"]
        assert (measured["finding"], measured["from_label"], measured["images"]) == ("mass", True, IMAGES)
        assert measured["why_not"] is None
        for figure in ("pointing", "iou", "auroc"):
            assert 0 <= measured[figure]["value"] <= 1
            assert 0 <= measured[figure]["exchanged"] <= 1
            assert 0.001 <= measured[figure]["p"] <= 1

    others = [*neurons(client, job, "calcification"), *neurons(client, job, "clip")]
    assert others
    for neuron in others:
        [measured] = neuron["evidence"]["localisations"]
        assert measured["why_not"] == "no-places"
        assert measured["pointing"] is None
    assert entry["units"]["no-places"] == len(others)

    asked = client.get(f"/jobs/{job.id}").json()
    assert asked["localisation"] == {"findings": []}

    with transaction(sessions) as session:
        report = read_report(session, job.id, must_have=None)
        page = write_html(session, report, job.id)
    assert report.where is not None
    assert report.where.measured == len(of_mass)
    assert any(sentence.startswith(f"Of {len(of_mass)} neurons whose maps") for sentence in report.summary)
    places = [place for card in report.cards for image in card.images for place in image.places]
    assert places
    assert {place.finding for place in places} == {"mass"}
    assert "Where neurons look" in page
    assert 'class="place"' in page
    assert "points at it in" in page


def test_a_replay_asks_for_the_same_and_finds_the_same(
    sessions: Sessions, written: Path, run: Run, client: TestClient
) -> None:
    job = run_job(sessions, written, run)
    with transaction(sessions) as session:
        replay = replay_job(session, RecordingQueue(), job.id)
    run(replay)
    with transaction(sessions) as session:
        again = find_job(session, replay.id)
    assert again.manifest is not None
    assert again.manifest["replay"]["identical"]
    assert entry_of(again) == entry_of(job)
    before, after = (neurons(client, one, "mass") for one in (job, again))
    assert [neuron["evidence"] for neuron in before] == [neuron["evidence"] for neuron in after]


def test_given_findings_are_for_neurons_whose_label_has_no_places(
    sessions: Sessions, tmp_path: Path, run: Run, client: TestClient
) -> None:
    write_folder(tmp_path, images=IMAGES, columns=columns("lesion", beyond=[3]))
    job = run_job(sessions, tmp_path, run, localisation=LocalisationOptions((" Lesion", "clot")))
    entry = entry_of(job)
    assert entry["findings_given"] == ["lesion", "clot"], "as the manifest spells them"
    assert entry["findings"] == {"lesion": {"images": IMAGES, "used": IMAGES - 1, "exams": IMAGES // 2}}
    assert entry["images_with_problems"] == 1
    assert entry["problems"] == [
        {
            "row": 4,
            "why": "the box of 'lesion' at 3, 3 of 8 x 60 pixels reaches beyond the image's 40 x 30",
        }
    ]

    named = [neuron for text in CONCEPTS.texts for neuron in neurons(client, job, text)]
    assert len(named) == entry["units"]["measured"]
    for neuron in named:
        lesion, clot = neuron["evidence"]["localisations"]
        assert (lesion["finding"], lesion["from_label"], lesion["images"]) == ("lesion", False, IMAGES - 1)
        assert (clot["finding"], clot["why_not"]) == ("clot", "no-places")


def test_the_strongest_labels_alone_are_measured_where_there_are_many(
    sessions: Sessions, written: Path, run: Run, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localisation, "MOST_UNITS", 3)
    monkeypatch.setattr(localisation, "MOST_IMAGES", 11)
    job = run_job(sessions, written, run)
    entry = entry_of(job)
    of_mass = sorted(neurons(client, job, "mass"), key=lambda neuron: -neuron["score"])
    assert len(of_mass) > 3
    assert (entry["units"]["measured"], entry["units"]["left-out"]) == (3, len(of_mass) - 3)
    assert [neuron["evidence"]["localisations"][0]["why_not"] for neuron in of_mass[:4]] == [None] * 3 + ["left-out"]
    assert entry["findings"]["mass"] == {"images": IMAGES, "used": 10, "exams": 5}, "whole exams only"


def test_exams_too_large_to_be_taken_whole_are_exchanged_all_the_same(
    sessions: Sessions, written: Path, run: Run, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an image has many patches: two images an exam here, and room for three."""
    monkeypatch.setattr(localisation, "MOST_IMAGES", 3)
    job = run_job(sessions, written, run)
    assert entry_of(job)["findings"]["mass"] == {"images": IMAGES, "used": 3, "exams": 3}
    assert {neuron["evidence"]["localisations"][0]["why_not"] for neuron in neurons(client, job, "mass")} == {None}


def test_a_set_without_findings_says_so(sessions: Sessions, folder: Path, run: Run, client: TestClient) -> None:
    job = run_job(sessions, folder, run)
    entry = entry_of(job)
    assert set(entry["units"]) == {"no-finding"}
    assert entry["findings"] == {}

    with transaction(sessions) as session:
        report = read_report(session, job.id, must_have=None)
    assert "Where neurons look could not be measured for any of them." in report.summary


def test_a_job_that_does_not_ask_has_none(sessions: Sessions, written: Path, run: Run, client: TestClient) -> None:
    job = run_job(sessions, written, run, localisation=None)
    assert job.manifest is not None
    assert "localisation" not in job.manifest
    assert client.get(f"/jobs/{job.id}").json()["localisation"] is None
    assert all(not (neuron["evidence"] or {}).get("localisations") for neuron in neurons(client, job, "mass"))
