"""Rows of one image: merged with all their findings, and refused where they contradict each other."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.domain.probes import Box, PatchGrid, ProbeSet
from service.errors import InvalidManifest
from service.probes.manifest import read_manifest
from service.probes.measuring import read_patches
from tests.probes.dicom_files import film, write_dicom


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    for name in ("a.png", "b/c.png", "d.png"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def read(folder: Path, content: str, name: str = "m.csv", **options: Any) -> ProbeSet:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read_manifest(path, name="p", **options)


def refused(folder: Path, content: str, name: str = "m.csv") -> InvalidManifest:
    with pytest.raises(InvalidManifest) as caught:
        read(folder, content, name)
    assert caught.value.remedy
    assert "Doe" not in f"{caught.value} {caught.value.as_problem()}"
    return caught.value


def test_one_row_per_finding_is_one_image_with_all_its_findings(folder: Path) -> None:
    probe = read(folder, "image,findings,view\na.png,mass,CC\nb/c.png,,MLO\na.png,clip|mass,CC\na.png,skin fold,CC\n")
    assert [(item.row, item.image_id, item.findings, item.view) for item in probe.items] == [
        (1, "a", {"mass", "clip", "skin fold"}, "CC"),
        (2, "c", frozenset(), "MLO"),
    ]
    assert probe.merged_rows == 2


def test_spellings_of_a_finding_in_several_rows_are_one(folder: Path) -> None:
    probe = read(folder, "image,findings\na.png,Mass\na.png,mass\nd.png,mass\n")
    assert [item.findings for item in probe.items] == [frozenset({"Mass"})] * 2


@pytest.mark.parametrize("other", ["./a.png", "b/../a.png", "b//../a.png", "link.png", "linked/a.png", "absolute"])
def test_a_path_written_otherwise_is_the_same_path(folder: Path, other: str) -> None:
    (folder / "link.png").symlink_to("a.png")
    (folder / "linked").symlink_to(folder, target_is_directory=True)
    other = str(folder / "a.png") if other == "absolute" else other
    probe = read(folder, f"image,findings\n{other},mass\nd.png,\na.png,clip\n")
    assert [(item.row, item.path, item.findings) for item in probe.items] == [
        (1, folder / other, {"mass", "clip"}),
        (2, folder / "d.png", frozenset()),
    ]


def test_copies_and_hard_links_are_files_of_their_own(folder: Path) -> None:
    shutil.copyfile(folder / "a.png", folder / "copy.png")
    (folder / "hard.png").hardlink_to(folder / "a.png")
    rows = "a.png,CC\nhard.png,MLO\ncopy.png,CC\nhard.png,MLO\n"
    probe = read(folder, f"image,view\n{rows}")
    assert [(item.row, item.view) for item in probe.items] == [(1, "CC"), (2, "MLO"), (3, "CC")]
    assert probe.merged_rows == 1


def test_what_one_row_leaves_empty_another_may_say(folder: Path) -> None:
    rows = [
        {"image": "a.png", "findings": None, "site": "north"},
        {"image": "a.png", "patient_id": "p", "findings": ["mass"], "image_id": "x"},
        {"image": "a.png", "text": "A mass.", "density": "c"},
    ]
    (item,) = read(folder, json.dumps(rows), "m.json").items
    assert (item.image_id, item.patient_id, item.text, item.findings) == ("x", "p", "A mass.", frozenset({"mass"}))
    assert item.strata == {"site": "north", "density": "c"}
    (item,) = read(folder, json.dumps([{"image": "a.png"}, {"image": "a.png", "findings": []}]), "m.json").items
    assert item.findings == frozenset()
    (item,) = read(folder, "image\na.png\na.png\n").items
    assert item.findings is None


@pytest.mark.parametrize("field", ["exam_id", "patient_id", "view", "laterality", "text", "density"])
def test_rows_of_an_image_that_contradict_each_other_are_refused(folder: Path, field: str) -> None:
    rows = ("a.png,mass,", "a.png,mass,Doe", "d.png,,Roe", "a.png,clip,Doe-2")
    problem = refused(folder, "\n".join([f"image,findings,{field}", *rows]))
    assert (problem.field, problem.value) == (field, "rows 2 and 4")
    assert "Rows 2 and 4" in problem.detail


def test_rows_of_an_image_have_one_image_id(folder: Path) -> None:
    rows = ("d.png,,x", "a.png,mass,y", "a.png,clip,y")
    probe = read(folder, "\n".join(["image,findings,image_id", *rows]))
    assert [item.image_id for item in probe.items] == ["x", "y"]
    problem = refused(folder, "\n".join(["image,findings,image_id", *rows, "a.png,clip,Doe"]))
    assert (problem.field, problem.value) == ("image_id", "rows 2 and 4")
    assert refused(folder, "\n".join(["image,findings,image_id", *rows, "b/c.png,clip,x"])).field == "image_id"


def test_no_findings_and_a_finding_contradict_each_other(folder: Path) -> None:
    problem = refused(folder, "image,findings\na.png,\nd.png,\na.png,mass\n")
    assert (problem.field, problem.value) == ("findings", "rows 3 and 1")


def test_an_exam_of_two_patients_is_refused_at_reading(folder: Path) -> None:
    content = "image,exam_id,patient_id\na.png,1,Doe\nb/c.png,1,\nd.png,1,Doe-2\n"
    problem = refused(folder, content)
    assert (problem.field, problem.value) == ("patient_id", "rows 1 and 3")
    probe = read(folder, content.replace("Doe-2", "Doe"))
    assert [item.patient_id for item in probe.items] == ["Doe"] * 3, "every image of an exam names its patient"


def test_the_digest_is_of_the_rows_and_of_what_was_merged(folder: Path) -> None:
    (folder / "link.png").symlink_to("a.png")
    content = "image,findings\na.png,mass\nlink.png,mass\n"
    linked = read(folder, content)
    assert read(folder, content).digest == linked.digest
    (folder / "link.png").unlink()
    shutil.copyfile(folder / "a.png", folder / "link.png")
    copied = read(folder, content)
    assert (len(linked.items), len(copied.items)) == (1, 2)
    assert linked.digest != copied.digest


def test_the_digest_of_a_manifest_without_repeated_images_is_that_of_earlier_releases(folder: Path) -> None:
    probe = read(folder, "image,exam_id,patient_id,findings\na.png,1,p,mass\nb/c.png,1,,\nd.png,2,,clip|mass\n")
    assert probe.digest == "a13221daf5b78e9bb573eb32a189229dc801fe4b624234e59002d0f7599f45e1"


def test_merged_images_are_cut_into_patches_once(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", film(12, 20, 30), bits=12)
    (tmp_path / "m.csv").write_text("image,findings\nx.dcm,mass\n./x.dcm,clip\n", encoding="utf-8")
    probe = read_patches(tmp_path / "m.csv", name="p", patches=PatchGrid(20, 20))
    assert [(item.box, item.findings) for item in probe.items] == [
        (Box(0, 0, 20, 20), frozenset({"mass", "clip"})),
        (Box(10, 0, 20, 20), frozenset({"mass", "clip"})),
    ]
