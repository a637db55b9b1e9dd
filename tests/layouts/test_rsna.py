"""RSNA Screening Mammography."""

from pathlib import Path

import pytest

from tests.layouts.data_sets import columns, read, refused, write_images, write_table

HEADER = columns(
    "site_id patient_id image_id laterality view age cancer biopsy invasive BIRADS implant density machine_id "
    "difficult_negative_case"
)
NEEDED = columns("patient_id image_id laterality view machine_id")


def test_the_patient_is_known_and_no_exam(tmp_path: Path) -> None:
    write_images(tmp_path, "train_images/106/621.dcm", "train_images/107/622.dcm")
    write_table(
        tmp_path / "train.csv",
        [
            HEADER,
            ["2", "106", "621", "L", "CC", "61.0", "0", "0", "0", "1", "0", "", "29", "False"],
            ["2", "107", "622", "R", "MLO", "", "1", "1", "0", "", "0", "B", "29", "False"],
        ],
    )

    assert read("rsna", tmp_path).rows == [
        {
            "image": "train_images/106/621.dcm",
            "image_id": "621",
            "patient_id": "106",
            "view": "CC",
            "laterality": "L",
            "findings": "",
            "birads": "1",
            "age_band": "60-69",
            "device": "29",
            "site_id": "2",
            "biopsy": "0",
            "invasive": "0",
            "implant": "0",
            "difficult_negative_case": "False",
        },
        {
            "image": "train_images/107/622.dcm",
            "image_id": "622",
            "patient_id": "107",
            "view": "MLO",
            "laterality": "R",
            "findings": "cancer",
            "density": "B",
            "device": "29",
            "site_id": "2",
            "biopsy": "1",
            "invasive": "0",
            "implant": "0",
            "difficult_negative_case": "False",
        },
    ]


def test_without_the_column_cancer_nothing_is_known_of_findings(tmp_path: Path) -> None:
    write_images(tmp_path, "test_images/8/1.png")
    write_table(
        tmp_path / "test.csv",
        [
            [
                "site_id",
                "patient_id",
                "image_id",
                "laterality",
                "view",
                "age",
                "implant",
                "machine_id",
                "prediction_id",
            ],
            ["2", "8", "1", "L", "MLO", "90", "0", "29", "8_L"],
        ],
    )

    (row,) = read("rsna", tmp_path).rows

    assert "findings" not in row
    assert row["age_band"] == "90+"
    assert row["prediction_id"] == "8_L"


@pytest.mark.parametrize(("written", "findings"), [("True", "cancer"), ("1.0", "cancer"), ("False", ""), ("", None)])
def test_cancer_is_read_as_data_frames_write_it(tmp_path: Path, written: str, findings: str | None) -> None:
    write_images(tmp_path, "train_images/8/1.dcm")
    write_table(tmp_path / "train.csv", [[*NEEDED, "cancer"], ["8", "1", "L", "CC", "29", written]])

    assert read("rsna", tmp_path).rows[0].get("findings") == findings


def test_cancer_that_is_neither_is_refused_with_its_row(tmp_path: Path) -> None:
    write_images(tmp_path, "train_images/8/1.dcm")
    write_table(tmp_path / "train.csv", [[*NEEDED, "cancer"], ["8", "1", "L", "CC", "29", "malignant"]])

    error = refused("rsna", tmp_path)

    assert error.detail == "Row 1 of train.csv says neither 1 nor 0 in 'cancer'."
    assert (error.field, error.value) == ("cancer", "row 1")


@pytest.mark.parametrize("patient", ["..", "../../outside", "/outside", "x" * 5_000])
def test_no_cell_leads_out_of_the_folder(tmp_path: Path, patient: str) -> None:
    folder = tmp_path / "data"
    write_images(tmp_path, "1.dcm", "outside/1.dcm")
    write_images(folder, "train_images/8/1.dcm")
    write_table(
        folder / "train.csv",
        [NEEDED, [patient, "1", "L", "CC", "29"]],
    )

    assert "not there: row(s) 1 of train.csv" in refused("rsna", folder).detail
