"""INbreast."""

import plistlib
from pathlib import Path

import pytest

from tests.layouts.data_sets import read, refused, write_images, write_table

HEADER = ["Patient ID", "Patient age", "Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads"]
DICOM = "AllDICOMs/22678622_61b13c59bcba149e_MG_R_CC_ANON.dcm"


def write(folder: Path, *rows: list[str]) -> None:
    write_table(folder / "INbreast.csv", [HEADER, *rows], separator=";")


def row(name: str = "22678622", acr: str = " 3 ", birads: str = "2", side: str = "R", view: str = "CC") -> list[str]:
    return ["removed", "removed", side, view, "200801", name, acr, birads]


def write_regions(folder: Path, name: str, *regions: tuple[str, list[str]]) -> None:
    listed = [{"Name": finding, "Point_px": points, "NumberOfPoints": len(points)} for finding, points in regions]
    (folder / "AllXML").mkdir(exist_ok=True)
    content = plistlib.dumps({"Images": [{"ImageIndex": 0, "NumberOfROIs": len(listed), "ROIs": listed}]})
    (folder / "AllXML" / f"{name}.xml").write_bytes(content)


def test_files_are_found_by_the_beginning_of_their_names(tmp_path: Path) -> None:
    other = "AllDICOMs/22678623_aaaaaaaaaaaaaaaa_MG_R_ML_ANON.dcm"
    write_images(tmp_path, DICOM, other)
    write(tmp_path, row(), row("22678623", "    ", "4a", view="MLO"))

    read_rows = read("inbreast", tmp_path)

    assert read_rows.rows == [
        {
            "image": DICOM,
            "image_id": "22678622",
            "patient_id": "61b13c59bcba149e",
            "exam_id": "61b13c59bcba149e-200801",
            "view": "CC",
            "laterality": "R",
            "density": "C",
            "birads": "2",
        },
        {
            "image": other,
            "image_id": "22678623",
            "patient_id": "aaaaaaaaaaaaaaaa",
            "exam_id": "aaaaaaaaaaaaaaaa-200801",
            "view": "MLO",
            "laterality": "R",
            "birads": "4",
            "Bi-Rads": "4a",
        },
    ]


def test_regions_and_their_names_are_the_findings(tmp_path: Path) -> None:
    other = "AllDICOMs/22678623_aaaaaaaaaaaaaaaa_MG_R_ML_ANON.dcm"
    write_images(tmp_path, DICOM, other)
    write(tmp_path, row(), row("22678623", view="MLO"))
    outline = ["(10.5, 20.25)", "(30.0, 25.0)", "(12.0, 60.5)"]
    write_regions(tmp_path, "22678622", ("Mass", outline), ("Calcification", ["(7.0, 9.0)"]))

    with_regions, without = read("inbreast", tmp_path).rows

    assert with_regions["findings"] == "Mass|Calcification"
    assert with_regions["regions"] == (
        '[{"finding": "Mass", "box": [10, 20, 20, 41]}, {"finding": "Calcification", "box": [7, 9, 1, 1]}]'
    )
    assert without["findings"] == ""


def test_marked_columns_of_the_full_table_are_findings(tmp_path: Path) -> None:
    write_images(tmp_path, DICOM)
    marks = ["Mass ", "Micros", "Distortion", "Asymmetry"]
    write_table(tmp_path / "INbreast.csv", [[*HEADER, *marks], [*row(), "X", "", "X", ""]], separator=";")

    assert read("inbreast", tmp_path).rows[0]["findings"] == "Mass|Distortion"


@pytest.mark.parametrize(
    "content",
    [
        b"<plist><dict/></plist>",
        b"no xml",
        b'<!DOCTYPE p [<!ENTITY a "aaaaaaaaaa">]><plist><string>&a;</string></plist>',
        plistlib.dumps({"Images": [{"ROIs": [{"Name": "Mass", "Point_px": ["(a, b)"]}]}]}),
        plistlib.dumps({"Images": [{"ROIs": [{"Name": "Mass", "Point_px": ["(1.2.3, 4)"]}]}]}),
        plistlib.dumps({"Images": [{"ROIs": [{"Name": "Mass", "Point_px": [f"({'9' * 400}, 4)"]}]}]}),
        plistlib.dumps({"Images": [{"ROIs": [{"Name": "Mass", "Point_px": []}]}]}),
    ],
)
def test_a_damaged_annotation_is_refused_with_its_row(tmp_path: Path, content: bytes) -> None:
    write_images(tmp_path, DICOM)
    write(tmp_path, row())
    (tmp_path / "AllXML").mkdir()
    (tmp_path / "AllXML/22678622.xml").write_bytes(content)

    error = refused("inbreast", tmp_path)

    assert (error.field, error.value) == ("AllXML", "row 1")


def test_of_two_files_of_an_image_one_is_passed_over_and_noted(tmp_path: Path) -> None:
    write_images(tmp_path, DICOM, DICOM.replace(".dcm", ".png"))
    write(tmp_path, row())

    read_rows = read("inbreast", tmp_path)

    assert [read_row["image"] for read_row in read_rows.rows] == [DICOM]
    assert any(note.startswith("1 image file(s) were passed over") for note in read_rows.notes)


def test_what_was_removed_is_neither_known_nor_noted(tmp_path: Path) -> None:
    write_images(tmp_path, DICOM)
    write(tmp_path, row())

    assert not any("age_band" in note for note in read("inbreast", tmp_path).notes)


def test_a_side_that_the_file_name_contradicts_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, DICOM)
    write(tmp_path, row(side="L"))

    assert refused("inbreast", tmp_path).field == "Laterality"
