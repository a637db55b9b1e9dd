"""EMBED Open Data."""

from pathlib import Path

import pytest

from tests.layouts.data_sets import columns, read, refused, write_images, write_table

IMAGES = columns(
    "empi_anon acc_anon anon_dicom_path png_path study_date_anon StudyDescription FinalImageType "
    "ImageLateralityFinal ViewPosition spot_mag num_roi ROI_coords Rows Columns SomethingOfTheHeader"
)
FINDINGS = columns(
    "empi_anon acc_anon study_date_anon desc tissueden asses numfind side mass massshape massmargin calcfind"
)


def image(name: str, side: str = "L", view: str = "CC", exam: str = "9000", **more: str) -> list[str]:
    cells = {
        "empi_anon": "608",
        "acc_anon": exam,
        "anon_dicom_path": f"/mnt/NAS2/mammo/anon_dicom/cohort_1/608/acc0/ser/{name}.dcm",
        "study_date_anon": "2013-06-01",
        "StudyDescription": "MG Screening Bilateral",
        "FinalImageType": "2D",
        "ImageLateralityFinal": side,
        "ViewPosition": view,
        "num_roi": "0",
        "ROI_coords": "[]",
        "SomethingOfTheHeader": "x",
    } | more
    return [cells.get(column, "") for column in IMAGES]


def finding(side: str, asses: str = "B", exam: str = "9000", **more: str) -> list[str]:
    cells = {"empi_anon": "608", "acc_anon": exam, "tissueden": "3", "asses": asses, "side": side, "desc": "MG"} | more
    return [cells.get(column, "") for column in FINDINGS]


def write(folder: Path, images: list[list[str]], findings: list[list[str]]) -> None:
    write_table(folder / "tables/EMBED_OpenData_metadata.csv", [IMAGES, *images])
    write_table(folder / "tables/EMBED_OpenData_clinical.csv", [FINDINGS, *findings])


def test_findings_are_joined_by_exam_and_side(tmp_path: Path) -> None:
    roots = "images/cohort_1/608/acc0/ser"
    write_images(tmp_path, f"{roots}/0.dcm", f"{roots}/1.dcm")
    write(
        tmp_path,
        [
            image("0", num_roi="2", ROI_coords="((1, 2, 11, 22), (5, 6, 7, 8))"),
            image("1", side="R", view="MLO"),
        ],
        [
            finding("L", "A", mass="1", massshape="I", massmargin="S"),
            finding("B", "S", calcfind="V,A"),
            finding("R"),
        ],
    )

    read_rows = read("embed", tmp_path, root=tmp_path / "images")

    shared = {
        "patient_id": "608",
        "exam_id": "9000",
        "density": "C",
        "birads": "4",
        "study_date_anon": "2013-06-01",
        "StudyDescription": "MG Screening Bilateral",
        "FinalImageType": "2D",
        "desc": "MG",
    }
    assert read_rows.rows == [
        {
            "image": "cohort_1/608/acc0/ser/0.dcm",
            "image_id": "0",
            "view": "CC",
            "laterality": "L",
            "findings": "mass|massshape I|massmargin S|calcfind V|calcfind A",
            "regions": '[{"finding": "ROI", "box": [2, 1, 20, 10]}, {"finding": "ROI", "box": [6, 5, 2, 2]}]',
            "num_roi": "2",
            "asses": "A; S",
            **shared,
        },
        {
            "image": "cohort_1/608/acc0/ser/1.dcm",
            "image_id": "1",
            "view": "MLO",
            "laterality": "R",
            "findings": "calcfind V|calcfind A",
            "num_roi": "0",
            "asses": "S; B",
            **shared,
        },
    ]


def test_only_plain_views_are_taken_and_the_others_counted(tmp_path: Path) -> None:
    write_images(tmp_path, "0.dcm", "1.dcm", "2.dcm")
    write(
        tmp_path,
        [image("0"), image("1", FinalImageType="cview"), image("2", spot_mag="1")],
        [finding("", "N", exam="9000")],
    )

    read_rows = read("embed", tmp_path)

    assert [row["image"] for row in read_rows.rows] == ["0.dcm"]
    assert read_rows.rows[0]["findings"] == ""
    assert read_rows.rows[0]["birads"] == "1"
    assert any(note.startswith("2 image(s) were left out that are not plain views") for note in read_rows.notes)


def test_of_an_exam_without_findings_nothing_is_known(tmp_path: Path) -> None:
    write_images(tmp_path, "0.dcm")
    write(tmp_path, [image("0")], [finding("L", exam="9001")])

    (row,) = read("embed", tmp_path).rows

    assert "findings" not in row
    assert "density" not in row


@pytest.mark.parametrize(
    "regions",
    [
        *("[[1, 2, 1200, 22]]", "[[5, 6, 1, 2]]", "[[1, 2]]", "[1, 2, 3, true]", "[(", "7"),
        *("[[1, 2, Infinity, 22]]", "[[NaN, 2, 3, 22]]", pytest.param(f"[[1, 2, 1{'0' * 400}, 22]]", id="400 digits")),
    ],
)
def test_regions_that_are_no_boxes_in_the_image_are_refused(tmp_path: Path, regions: str) -> None:
    write_images(tmp_path, "0.dcm")
    write(tmp_path, [image("0", ROI_coords=regions, Rows="1000", Columns="800")], [finding("L")])

    error = refused("embed", tmp_path)

    assert (error.field, error.value) == ("ROI_coords", "row 1")


def test_without_the_table_of_findings_it_is_asked_for(tmp_path: Path) -> None:
    write_table(tmp_path / "EMBED_OpenData_metadata.csv", [IMAGES, image("0")])

    error = refused("embed", tmp_path)

    assert "no table EMBED_OpenData_clinical" in error.detail
    assert "--table" in str(error.remedy)
