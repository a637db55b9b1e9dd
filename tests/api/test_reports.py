"""GET /jobs/{id}/report and /jobs/{id}/export, from a result in the database and images on disk."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from pyarrow import parquet
from sqlalchemy import text

from service.db.pictures import add_pictures, find_pictures
from service.db.resources import find_resource
from service.db.session import Sessions, transaction
from service.domain.neurons import LayerDissection
from service.domain.preprocessing import MAMMO_CLIP
from service.domain.resources import ResourceKind
from service.probes.manifest import read_manifest
from service.probes.phantoms import write_phantoms
from service.reports.pictures import pictured_images
from service.reports.thumbnails import Thumbnails
from tests.api.test_problems import DECODERS, NETWORKS, problem
from tests.reports.examples import CONCEPTS, EVIDENCE, LAYERS, example_layers
from tests.reports.page import Page
from tests.usecases.factories import dissected_job, queued_job

IMAGES = 8


@pytest.fixture
def layers() -> list[LayerDissection]:
    return example_layers(units=12, images=IMAGES)


@pytest.fixture
def probes(data_root: Path) -> Path:
    return write_phantoms(data_root, IMAGES, 2024, (128, 80))


@pytest.fixture
def job(client: TestClient, sessions: Sessions, probes: Path, layers: list[LayerDissection]) -> UUID:
    """A succeeded job on eight phantoms."""
    assert client.post("/probe-sets", json={"name": "phantoms", "manifest": str(probes)}).status_code == 201
    with transaction(sessions) as session:
        probe_set = find_resource(session, ResourceKind.PROBE_SET, "phantoms", None)
        job_id = dissected_job(
            session,
            layers,
            evidence=EVIDENCE,
            manifest={"images_used": IMAGES, "rows_skipped": []},
            probe_set=probe_set,
            concept_set=CONCEPTS,
        )
        drawn = Thumbnails(read_manifest(probes, name="phantoms"), MAMMO_CLIP)
        places = pictured_images(layers, CONCEPTS, EVIDENCE)
        add_pictures(session, job_id, {place: drawn(place) for place in places})
        return job_id


def test_a_report_is_one_page_with_pictures(client: TestClient, job: UUID, layers: list[LayerDissection]) -> None:
    response = client.get(f"/jobs/{job}/report")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert response.headers["content-disposition"] == f'inline; filename="report-{job}.html"'
    page = Page(response.text)
    assert "screening@1" in page.text
    assert "30 of 36 neurons in 3 layers are alive" in page.text
    assert [row[1] for row in page.rows["layers"][1:]] == list(LAYERS)
    assert page.attributes("src"), "the images could be read"
    assert "image not available here" not in page.text
    assert "phantom-2024" not in response.text, "no image is named"
    assert "evidence.qualifications" not in page.text
    assert "untestable" in page.text, "the job's evidence comes from its manifest"


def test_the_twin_is_chosen_by_format_or_accept(client: TestClient, job: UUID) -> None:
    twin = client.get(f"/jobs/{job}/report", params={"format": "json"})
    assert twin.headers["content-type"] == "application/json"
    assert twin.json()["facts"]["job"] == str(job)
    assert len(twin.json()["layers"]) == 3
    assert client.get(f"/jobs/{job}/report", headers={"Accept": "application/json"}).json() == twin.json()
    browser = {"Accept": "text/html,application/xhtml+xml,application/json;q=0.5"}
    assert client.get(f"/jobs/{job}/report", headers=browser).text.startswith("<!DOCTYPE html>")
    assert (
        client.get(f"/jobs/{job}/report", params={"format": "html"}, headers={"Accept": "application/json"}).text[0]
        == "<"
    )
    assert problem(client.get(f"/jobs/{job}/report", params={"format": "docx"}), 422)["field"] == "format"


def test_a_report_is_to_be_had_as_pdf(client: TestClient, job: UUID) -> None:
    drawn = client.get(f"/jobs/{job}/report", params={"format": "pdf"})
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "application/pdf")
    assert drawn.headers["content-disposition"] == f'inline; filename="report-{job}.pdf"'
    assert drawn.content.startswith(b"%PDF-")
    assert client.get(f"/jobs/{job}/report", headers={"Accept": "application/pdf"}).content.startswith(b"%PDF-")


def test_pictures_come_from_the_database_alone(client: TestClient, job: UUID, probes: Path) -> None:
    """An image that would end whoever decodes it is not even looked at."""
    before = client.get(f"/jobs/{job}/report").text
    probes.unlink()
    for image in (probes.parent / "images").iterdir():
        image.unlink()
    assert client.get(f"/jobs/{job}/report").text == before


def test_an_image_that_could_not_be_read_has_no_picture(client: TestClient, sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE report_pictures SET jpeg = NULL"))
    page = Page(client.get(f"/jobs/{job}/report").text)
    assert page.attributes("src") == []
    assert "image not available here" in page.text
    assert f"POST /jobs/{job}/replay" not in page.text


def test_a_result_of_an_earlier_release_says_how_to_get_pictures(
    client: TestClient, sessions: Sessions, job: UUID
) -> None:
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM report_pictures"))
    page = Page(client.get(f"/jobs/{job}/report").text)
    assert page.attributes("src") == []
    assert f"POST /jobs/{job}/replay" in page.text


def test_pictures_go_with_the_result(sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        session.execute(text("DELETE FROM jobs"))
        assert find_pictures(session, job) == {}


SERVED_WITHOUT_DECODER = """
import sys
from fastapi.testclient import TestClient
from pydantic import SecretStr
from api.app import create_app
from service.config import Settings
from tests.usecases.factories import RecordingQueue

database_url, data_root, job, manifest, *forbidden = sys.argv[1:]
app = create_app(Settings(
    database_url=SecretStr(database_url), broker_url=SecretStr("redis://localhost:1"), api_key=SecretStr("k"),
    data_roots=data_root,
))
app.state.queue = RecordingQueue()
with TestClient(app, headers={"Authorization": "Bearer k"}) as client:
    probe_set = {"name": "cut", "manifest": manifest, "patches": {"size": 32, "stride": 32}}
    answers = [client.get(f"/jobs/{job}/report"), client.get(f"/jobs/{job}/export"), client.post("/probe-sets", json=probe_set)]
print([answer.status_code for answer in answers], sorted(set(sys.modules) & set(forbidden)))
"""  # noqa: E501


def test_reports_and_patches_are_served_without_a_decoder(
    job: UUID, probes: Path, database_url: str, data_root: Path
) -> None:
    arguments = [database_url, str(data_root), str(job), str(probes), *NETWORKS, *DECODERS]
    done = subprocess.run(
        [sys.executable, "-c", SERVED_WITHOUT_DECODER, *arguments], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[200, 200, 201] []"


@pytest.mark.parametrize("kind", ["report", "export"])
def test_only_a_succeeded_job_has_them(client: TestClient, sessions: Sessions, kind: str) -> None:
    assert problem(client.get(f"/jobs/{uuid4()}/{kind}"), 404)["field"] == "job"
    with transaction(sessions) as session:
        waiting = queued_job(session).id
    assert "queued" in problem(client.get(f"/jobs/{waiting}/{kind}"), 409)["detail"]


@pytest.mark.parametrize(
    ("form", "suffix", "kind"),
    [
        ("csv", "csv", "text/csv; charset=utf-8"),
        ("published", "csv", "text/csv; charset=utf-8"),
        ("parquet", "parquet", "application/vnd.apache.parquet"),
        ("json", "json", "application/json"),
    ],
)
def test_export(
    client: TestClient, job: UUID, layers: list[LayerDissection], form: str, suffix: str, kind: str
) -> None:
    response = client.get(f"/jobs/{job}/export", params={"format": form})
    assert (response.status_code, response.headers["content-type"]) == (200, kind)
    assert response.headers["content-disposition"] == f'attachment; filename="dissection-{job}.{suffix}"'
    assert int(response.headers["content-length"]) == len(response.content)
    units = {(layer.layer, neuron.unit) for layer in layers for neuron in layer.neurons}
    assert units_in(form, response.content) == units


def units_in(form: str, content: bytes) -> set[tuple[str, int]]:
    rows: list[dict[str, Any]]
    if form == "parquet":
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    elif form == "json":
        written = json.loads(content)
        assert written["evidence"]["tests"] == EVIDENCE.tests
        assert written["images_used"] == IMAGES
        rows = [{"layer": one["layer"], "unit": unit["unit"]} for one in written["layers"] for unit in one["neurons"]]
    else:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
    return {(row["layer"].replace("[", ".").replace("]", ""), int(row["unit"])) for row in rows}


def test_an_unknown_export_format_is_refused(client: TestClient, job: UUID) -> None:
    assert problem(client.get(f"/jobs/{job}/export", params={"format": "xlsx"}), 422)["field"] == "format"


def test_a_comparison_has_a_report(client: TestClient, sessions: Sessions, layers: list[LayerDissection]) -> None:
    with transaction(sessions) as session:
        jobs = [dissected_job(session, layers, model=name, concept_set=CONCEPTS) for name in ("screening", "copy")]
    comparison = client.post("/comparisons", json={"jobs": [str(one) for one in jobs]}).json()["id"]
    response = client.get(f"/comparisons/{comparison}/report")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "copy@1 against screening@1: no category gains or loses a single neuron." in Page(response.text).text
    twin = client.get(f"/comparisons/{comparison}/report", params={"format": "json"}).json()
    assert [facts["job"] for facts in twin["networks"]] == [str(one) for one in jobs]
    assert problem(client.get(f"/comparisons/{uuid4()}/report"), 404)["field"] == "comparison"
