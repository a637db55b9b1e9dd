"""Probe sets: the check of their images, and what their findings mean."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.resources import ResourceKind
from service.pipelines.items import DissectionRunner
from tests.api.changing_calls import trail
from tests.pages.audited import client
from tests.pages.visitor import Visitor, check_page, words_of
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import IMAGES, write_folder
from tests.usecases.factories import resource

__all__ = ["client"]

Work = Callable[[], None]
FINDINGS = ["mass"] * 4 + ["spot <thing>"] * 3 + [""] * 3


@pytest.fixture
def manifest(data_root: Path) -> Path:
    columns = {
        "patient_id": [str(number // 2) for number in range(IMAGES)],
        "view": ["CC", "MLO"] * (IMAGES // 2),
        "density": ["a"] * 7 + [""] * 3,
        "device <x>": ["north"] * 4 + ["south"] * 6,
        "findings": FINDINGS,
    }
    return write_folder(data_root, columns=columns) / "manifest.csv"


@pytest.fixture
def work(database_url: str, data_root: Path, tmp_path: Path, sessions: Sessions) -> Work:
    settings = Settings(
        database_url=SecretStr(database_url),
        device="cpu",
        artifacts_url=(tmp_path / "artifacts").as_uri(),
        data_roots=str(data_root),
    )
    return lambda: inline_host(sessions, settings, DissectionRunner(settings, sessions)).work()


def test_without_probe_sets_the_page_says_how_to_register_one(visitor: Visitor) -> None:
    assert "POST /probe-sets registers a manifest" in visitor.words("/ui/probe-sets")


def test_a_check_from_its_beginning_to_what_it_found(
    visitor: Visitor, client: TestClient, manifest: Path, work: Work
) -> None:
    damaged = manifest.parent / "3.png"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)}).status_code == 201
    listed = visitor.get("/ui/probe-sets")
    assert 'href="/ui/probe-sets/probes%401"' in listed
    assert "checking" in words_of(listed)
    assert "5 patients" in words_of(listed)

    waiting = visitor.get("/ui/probe-sets/probes")
    assert f"0 of {IMAGES} images are checked." in words_of(waiting)
    assert f'<progress max="{IMAGES}" value="0"' in waiting
    assert "/probe-sets/probes@1/check" not in waiting
    assert "/report" not in waiting

    work()
    html = visitor.get("/ui/probe-sets/probes@1")
    words = words_of(html)
    assert "refused" in words
    assert "1 image cannot be read; a job on the set fails." in words
    assert "Images that cannot be read (1)" in words
    assert "4 it is not a DICOM, PNG, JPEG, PGM or TIFF file" in words
    assert f"Tiny images ({IMAGES - 1})" in words
    assert "10 images 9 can be read 5 patients \N{EN DASH} exams 5 independent: patient" in words
    for counted in ("CC 5", "MLO 5", "a 7", "not said 3", "south 6"):
        assert counted in words
    assert "Device <x>" in words or "device <x>" in words
    assert 'href="/probe-sets/probes%401/report?concept_set=bi-rads"' in html
    assert visitor.client.get("/probe-sets/probes%401/report?concept_set=bi-rads").status_code == 200


def test_which_findings_name_a_concept_and_which_do_not(visitor: Visitor, client: TestClient, manifest: Path) -> None:
    client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)})
    client.post("/concept-sets", json={"name": "shapes", "concepts": ["spot <thing>", "clip"]})
    html = visitor.get("/ui/probe-sets/probes")
    words = words_of(html)
    assert "Findings that name no concept of bi-rads for certain (1)" in words
    assert "spot <thing> 3 names no concept" in words
    assert "Findings that name a concept of bi-rads (1)" in words
    assert "spot <thing>" not in html
    other = visitor.words("/ui/probe-sets/probes?concept_set=shapes")
    assert "Findings that name a concept of shapes@1 (1)" in other
    assert "mass 4 names no concept" in other
    visitor.get("/ui/probe-sets/probes?concept_set=none", 404)


def test_a_check_is_asked_for_again_at_the_page(
    visitor: Visitor, client: TestClient, manifest: Path, work: Work, sessions: Sessions
) -> None:
    client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)})
    work()
    path = "/ui/probe-sets/probes@1"
    assert "Check the images again" in visitor.words(path)
    assert visitor.client.post(f"{path}/check", data={}).status_code == 403
    answer = visitor.send(f"{path}/check")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert client.get("/probe-sets/probes").json()["state"] == "checking"
    assert trail(sessions)[-1].action == "POST /ui/probe-sets/{name}/check"


def test_what_is_not_there_is_a_page(visitor: Visitor) -> None:
    visitor.get("/ui/probe-sets/none", 404)
    visitor.get("/ui/probe-sets/Not%20a%20name@0", 422)
    answer = visitor.send("/ui/probe-sets/none/check")
    assert answer.status_code == 404
    check_page(answer)


def test_a_set_of_which_an_earlier_release_noted_little(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        resource(session, ResourceKind.PROBE_SET, "old")
    assert "not checked" in visitor.words("/ui/probe-sets")
    words = visitor.words("/ui/probe-sets/old")
    assert "How many images there are is not known yet" in words
    assert "Nobody has had its images checked." in words
    assert "The manifest names no finding" in words
