"""The check of a probe set over HTTP, done by a worker in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import text

from service.config import Settings
from service.db.session import Sessions, transaction
from service.pipelines.items import DissectionRunner
from tests.api.test_problems import problem
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import IMAGES, write_folder
from tests.reports.page import Page

Work = Callable[[], None]


@pytest.fixture
def manifest(data_root: Path) -> Path:
    return write_folder(data_root, columns={"site": ["n", "s"] * (IMAGES // 2)}) / "manifest.csv"


@pytest.fixture
def work(database_url: str, data_root: Path, tmp_path: Path, sessions: Sessions) -> Work:
    settings = Settings(
        database_url=SecretStr(database_url),
        device="cpu",
        artifacts_url=(tmp_path / "artifacts").as_uri(),
        data_roots=str(data_root),
    )
    return lambda: inline_host(sessions, settings, DissectionRunner(settings, sessions)).work()


def test_a_check_is_asked_for_shown_and_reported(client: TestClient, manifest: Path, work: Work) -> None:
    damaged = manifest.parent / "3.png"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    posted = client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)}).json()
    assert (posted["state"], posted["problem"]) == ("checking", None)
    assert (posted["check"]["done"], posted["check"]["total"], posted["check"]["result"]) == (0, IMAGES, None)
    assert client.get("/probe-sets").json()["items"][0]["state"] == "checking"
    waiting = problem(client.get("/probe-sets/probes/report"), 409)
    assert "0 of 10 images are done" in waiting["detail"]

    work()
    read = client.get("/probe-sets/probes").json()
    assert read["state"] == "refused"
    assert read["problem"]["value"] == "row 4"
    reasons = {reason["reason"]: reason for reason in read["check"]["result"]["reasons"]}
    assert reasons["unreadable"]["rows"][0]["why"] == "it is not a DICOM, PNG, JPEG, PGM or TIFF file"
    assert (reasons["tiny"]["count"], len(reasons["tiny"]["rows"])) == (IMAGES - 1, 5), "in brief"
    whole = client.get("/probe-sets/probes/check").json()
    tiny = next(reason for reason in whole["result"]["reasons"] if reason["reason"] == "tiny")
    assert len(tiny["rows"]) == IMAGES - 1
    assert whole["result"]["manifest"]["site"]["values"] == [{"value": "n", "images": 5}, {"value": "s", "images": 5}]
    assert client.get("/probe-sets").json()["items"][0]["state"] == "refused"

    page = client.get("/probe-sets/probes/report")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "1 image cannot be read; a job on the set fails." in Page(page.text).text
    assert "3.png" not in page.text
    as_json = client.get("/probe-sets/probes/report", params={"format": "json"}).json()
    assert as_json["check"]["unreadable"] == 1


def test_a_set_that_nobody_checked_says_so_and_can_be(
    client: TestClient, manifest: Path, work: Work, sessions: Sessions
) -> None:
    client.post("/probe-sets", json={"name": "probes", "manifest": str(manifest)})
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM work_items WHERE checked_set_id IS NOT NULL"))
    read = client.get("/probe-sets/probes").json()
    assert (read["state"], read["check"], read["problem"]) == (None, None, None)
    missing = problem(client.get("/probe-sets/probes/check"), 404)
    assert "POST /probe-sets/probes@1/check" in missing["remedy"]
    problem(client.get("/probe-sets/probes/report"), 404)

    asked = client.post("/probe-sets/probes/check")
    assert (asked.status_code, asked.json()["state"]) == (202, "checking")
    work()
    assert client.get("/probe-sets/probes").json()["state"] == "ready"
    problem(client.post("/probe-sets/none/check"), 404)
