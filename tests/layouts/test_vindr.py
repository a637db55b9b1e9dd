"""VinDr-Mammo."""

from pathlib import Path

import pytest

from tests.layouts.data_sets import columns, read, refused, write_images, write_table

HEADER = columns("study_id series_id image_id laterality view_position height width breast_birads breast_density")
FINDING_HEADER = [*HEADER, "finding_categories", "finding_birads", "xmin", "ymin", "xmax", "ymax", "split"]
NORMAL = ["s1", "r1", "i1", "L", "CC", "1170", "644", "BI-RADS 1", "DENSITY C"]
LESION = ["s1", "r1", "i2", "L", "MLO", "1170", "644", "BI-RADS 4", "DENSITY C"]
NO_BOX = ["", "", "", ""]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path, "images/s1/i1.dicom", "images/s1/i2.dicom")
    write_table(
        tmp_path / "breast-level_annotations.csv",
        [[*HEADER, "split"], [*NORMAL, "training"], [*LESION, "training"]],
    )
    write_findings(
        tmp_path,
        [*NORMAL, "['No Finding']", "", *NO_BOX, "training"],
        [*LESION, "['No Finding']", "", *NO_BOX, "training"],
        [*LESION, "['Suspicious Calcification', 'Mass']", "BI-RADS 4", "10.5", "20.5", "100", "120", "training"],
        [*LESION, "['Skin Thickening']", "BI-RADS 3", "0", "0", "644.2", "5", "training"],
    )
    return tmp_path


def write_findings(folder: Path, *rows: list[str]) -> None:
    write_table(folder / "finding_annotations.csv", [FINDING_HEADER, *rows])


def test_rows_of_an_image_become_one_with_all_findings_and_boxes(folder: Path) -> None:
    shared = {"series_id": "r1", "height": "1170", "width": "644"}

    assert read("vindr", folder).rows == [
        {
            "image": "images/s1/i1.dicom",
            "image_id": "i1",
            "exam_id": "s1",
            "view": "CC",
            "laterality": "L",
            "findings": "",
            "density": "C",
            "birads": "1",
            "split": "training",
            **shared,
        },
        {
            "image": "images/s1/i2.dicom",
            "image_id": "i2",
            "exam_id": "s1",
            "view": "MLO",
            "laterality": "L",
            "findings": "Suspicious Calcification|Mass|Skin Thickening",
            "regions": '[{"finding": "Suspicious Calcification", "box": [10, 20, 90, 100]}, '
            '{"finding": "Mass", "box": [10, 20, 90, 100]}, {"finding": "Skin Thickening", "box": [0, 0, 644, 5]}]',
            "density": "C",
            "birads": "4",
            "split": "training",
            "finding_birads": "BI-RADS 4; BI-RADS 3",
            **shared,
        },
    ]


@pytest.mark.parametrize(
    "box",
    [
        ["10", "20", "700", "120"],
        ["10", "20", "100", "1300"],
        ["-5", "20", "100", "120"],
        ["100", "20", "10", "120"],
        ["10", "20", "100", ""],
        ["10", "20", "100", "much"],
    ],
)
def test_a_box_outside_the_image_is_refused_with_its_row(folder: Path, box: list[str]) -> None:
    write_findings(folder, [*LESION, "['Mass']", "BI-RADS 4", *box, "training"])

    error = refused("vindr", folder)

    assert "Row 1 of finding_annotations.csv has a box" in error.detail
    assert (error.field, error.value) == ("xmin", "row 1")


def test_findings_that_are_no_list_are_refused(folder: Path) -> None:
    write_findings(folder, [*LESION, "['Mass", "BI-RADS 4", *NO_BOX, "training"])

    assert refused("vindr", folder).field == "finding_categories"


def test_rows_that_contradict_each_other_are_refused(folder: Path) -> None:
    write_findings(folder, [*LESION[:3], "R", *LESION[4:], "['Mass']", "BI-RADS 4", *NO_BOX, "training"])

    error = refused("vindr", folder)

    assert "Row 1 of finding_annotations.csv and row 2 of breast-level_annotations.csv" in error.detail
    assert error.field == "laterality"


def test_a_stratum_that_rows_contradict_is_left_out_and_noted(folder: Path) -> None:
    write_findings(folder, [*LESION[:-1], "DENSITY B", "['Mass']", "BI-RADS 4", *NO_BOX, "training"])

    read_rows = read("vindr", folder)

    assert "density" not in read_rows.rows[1]
    assert any("1 image(s) have no 'density'" in note for note in read_rows.notes)


def test_a_density_that_is_not_understood_is_left_out_and_noted(folder: Path) -> None:
    unknown = [*LESION[:-1], "DENSITY C or D", "['Mass']", "BI-RADS 4", *NO_BOX, "training"]
    (folder / "breast-level_annotations.csv").unlink()
    write_findings(folder, unknown)

    read_rows = read("vindr", folder)

    assert "density" not in read_rows.rows[0]
    assert "1 image(s) have no 'density', because what their rows say of it is not understood." in read_rows.notes


def test_the_images_may_lie_elsewhere_and_be_converted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    write_images(root, "s1/i1.png", "s1/i2.png")

    read_rows = read("vindr", folder / "finding_annotations.csv", root=root)

    assert [row["image"] for row in read_rows.rows] == ["s1/i1.png", "s1/i2.png"]
    assert read_rows.folder == root
    assert "2 image(s) end in .png where the data set has .dicom." in read_rows.notes
