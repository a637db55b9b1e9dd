"""`mammodissect check`: a manifest's images before any job."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_inspect import command
from tests.reports.page import Page


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (120, 110), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_text("nothing")
    (tmp_path / "m.csv").write_text("image,findings\n0.png,mass\n1.png,\n2.png,mass|zorblax\n")
    return tmp_path / "m.csv"


def test_images_are_listed_by_row_and_reason(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = manifest.parent / "report.html"
    assert command(monkeypatch, "check", str(manifest), "--report", str(page)) == 1
    printed = capsys.readouterr().out
    assert "1 image cannot be read; a job on the set fails." in printed
    assert "row 3: it is not a DICOM, PNG, JPEG, PGM or TIFF file" in printed
    assert "1 finding of them names no concept of bi-rads for certain: zorblax (1)." in printed
    assert "What the images of m.csv are" in page.read_text()
    assert ["zorblax", "1", "names no concept"] in Page(page.read_text()).rows["findings"]

    assert command(monkeypatch, "check", str(manifest), "--on-unreadable", "skip", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["readable"]) == (3, 2)
    assert found["findings"]["named"]["values"] == [
        {"value": "mass", "images": 2},
        {"value": "zorblax", "images": 1},
    ]


def test_what_counts_as_independent_is_what_a_job_takes(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest.write_text("image,study_id\n0.png,s\n1.png,s\n")
    assert command(monkeypatch, "check", str(manifest), "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["independent"] == {"unit": "exam", "count": 1, "largest": 2}
    assert "Column 'study_id' is taken for exam_id" in " ".join(captured.err.split())


def test_a_manifest_that_is_none_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "check", str(tmp_path / "none.csv")) == 2
    assert capsys.readouterr().err.count("\n") == 1
