"""CBIS-DDSM, in the folders of its tables and as it is downloaded."""

import json
from pathlib import Path

import pytest

from tests.layouts.data_sets import columns, read, refused, write_images, write_table

MASS = columns(
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
    "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
)
CALC = columns(
    "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,calc type,"
    "calc distribution,assessment,pathology,subtlety,image file path,cropped image file path,"
    "ROI mask file path"
)
CASE = "Mass-Training_P_00001_LEFT_MLO"


def path(series: str, name: str = "000000.dcm", case: str = CASE) -> str:
    return f"{case}/1.2.1/1.2.{series}/{name}"


def mass(number: str, *, assessment: str = "4", crop: str | None = None, mask: str | None = None) -> list[str]:
    crop = path(f"9{number}") if crop is None else crop
    mask = path(f"9{number}", "000001\n.dcm") if mask is None else mask
    described = ["IRREGULAR-ARCHITECTURAL_DISTORTION", "SPICULATED", assessment, "MALIGNANT", number]
    return ["P_00001", "3", "LEFT", "MLO", number, "mass", *described, path("5"), crop, mask]


def write_mass(folder: Path, *rows: list[str]) -> None:
    write_table(folder / "mass_case_description_train_set.csv", [MASS, *rows])


MASS_FINDINGS = "mass|IRREGULAR mass|ARCHITECTURAL_DISTORTION mass|SPICULATED mass|MALIGNANT mass"


def test_abnormalities_of_an_image_are_findings_with_their_masks(tmp_path: Path) -> None:
    write_mass(tmp_path, mass("1"), mass("2", assessment="5"))
    write_images(tmp_path, path("5"), path("91"), path("92"))
    write_images(tmp_path, path("91", "000001.dcm"), path("92", "000001.dcm"), content=b"a larger mask")

    (row,) = read("cbis-ddsm", tmp_path).rows

    regions = json.loads(row.pop("regions"))
    assert row == {
        "image": path("5"),
        "image_id": CASE,
        "patient_id": "P_00001",
        "view": "MLO",
        "laterality": "L",
        "findings": MASS_FINDINGS,
        "density": "C",
        "birads": "5",
        "split": "training",
        "subtlety": "1; 2",
    }
    assert {region["finding"] for region in regions} == set(MASS_FINDINGS.split("|"))
    assert {region["mask"] for region in regions} == {path("91", "000001.dcm"), path("92", "000001.dcm")}


def test_the_larger_file_is_the_mask_where_the_columns_are_exchanged(tmp_path: Path) -> None:
    crop, mask = path("91", "000001.dcm"), path("91")
    write_mass(tmp_path, mass("1", crop=mask, mask=crop))
    write_images(tmp_path, path("5"), crop)
    write_images(tmp_path, mask, content=b"a larger mask")

    read_rows = read("cbis-ddsm", tmp_path)

    assert {region["mask"] for region in json.loads(read_rows.rows[0]["regions"])} == {mask}
    assert "1 mask(s) are where the table has the crop, which is the smaller file." in read_rows.notes


def test_calcifications_are_spelled_with_their_type(tmp_path: Path) -> None:
    case = "Calc-Test_P_00038_RIGHT_CC"
    described = ["PUNCTATE-PLEOMORPHIC", "CLUSTERED", "4", "BENIGN_WITHOUT_CALLBACK", "2"]
    files = [path("5", case=case), path("91", case=case), path("91", "000001.dcm", case)]
    write_table(
        tmp_path / "calc_case_description_test_set.csv",
        [CALC, ["P_00038", "2", "RIGHT", "CC", "1", "calcification", *described, *files]],
    )
    write_images(tmp_path / "CBIS-DDSM", files[0])

    read_rows = read("cbis-ddsm", tmp_path)

    assert read_rows.rows == [
        {
            "image": f"CBIS-DDSM/{files[0]}",
            "image_id": case,
            "patient_id": "P_00038",
            "view": "CC",
            "laterality": "R",
            "findings": "calcification|PUNCTATE calcification|PLEOMORPHIC calcification|CLUSTERED calcification|"
            "BENIGN_WITHOUT_CALLBACK calcification",
            "density": "B",
            "birads": "4",
            "split": "test",
            "subtlety": "2",
        }
    ]
    assert any(note.startswith("1 mask(s) of abnormalities are not there") for note in read_rows.notes)


def test_folders_as_the_archive_names_them(tmp_path: Path) -> None:
    write_mass(tmp_path, mass("1"))
    image = f"CBIS-DDSM/{CASE}/07-20-2016-DDSM-NA-1/1.000000-full mammogram images-2/1-1.dcm"
    crop = f"CBIS-DDSM/{CASE}_1/07-20-2016-DDSM-NA-3/1.000000-ROI mask images-4/1-1.dcm"
    mask = f"CBIS-DDSM/{CASE}_1/07-20-2016-DDSM-NA-3/1.000000-ROI mask images-4/1-2.dcm"
    table = [cell.replace(CASE, f"{CASE}_1") if "9" in cell and "/" in cell else cell for cell in mass("1")]
    write_mass(tmp_path, table)
    write_images(tmp_path, image, crop)
    write_images(tmp_path, mask, content=b"a larger mask")

    (row,) = read("cbis-ddsm", tmp_path).rows

    assert row["image"] == image
    assert {region["mask"] for region in json.loads(row["regions"])} == {mask}


def test_a_copy_converted_to_jpeg(tmp_path: Path) -> None:
    write_mass(tmp_path / "csv", mass("1"))
    write_images(tmp_path, "jpeg/1.2.5/1-261.jpg")

    read_rows = read("cbis-ddsm", tmp_path)

    (row,) = read_rows.rows
    assert row["image"] == "jpeg/1.2.5/1-261.jpg"
    assert "regions" not in row
    assert any(note.startswith("1 row(s) have the only image in the folder") for note in read_rows.notes)


def test_a_folder_of_many_files_is_not_searched_for_the_image(tmp_path: Path) -> None:
    write_mass(tmp_path, mass("1"))
    write_images(tmp_path, f"{CASE}/1.dcm", *(f"{CASE}/{number}.txt" for number in range(100)))

    assert "are not there" in refused("cbis-ddsm", tmp_path).detail


def test_a_stale_path_is_found_below_the_root(tmp_path: Path) -> None:
    other = "Mass-Training_P_00001_RIGHT_MLO"
    left = [cell.replace(CASE, f"/home/somebody/data/{CASE}") if "/" in cell else cell for cell in mass("1")]
    right = [cell.replace(CASE, other) for cell in left]
    right[2] = "RIGHT"
    write_mass(tmp_path, left, right)
    write_images(tmp_path, path("5"), path("5", case=other))

    rows = read("cbis-ddsm", tmp_path).rows

    assert [row["image"] for row in rows] == [path("5"), path("5", case=other)]
    assert [row["image_id"] for row in rows] == [CASE, other]


def test_images_that_are_not_there_are_named_by_row(tmp_path: Path) -> None:
    write_mass(tmp_path, mass("1"), mass("2"))

    error = refused("cbis-ddsm", tmp_path)

    assert "The images of 2 row(s) are not there: row(s) 1, 2 of mass_case_description_train_set.csv." in error.detail
    assert "--skip-missing" in str(error.remedy)


def test_a_row_without_a_path_is_refused(tmp_path: Path) -> None:
    row = mass("1")
    row[-3] = ""
    write_mass(tmp_path, row)

    error = refused("cbis-ddsm", tmp_path)

    assert (error.field, error.value) == ("image file path", "row 1")


@pytest.mark.parametrize("name", ["..\\..\\a.dcm", "../../a.dcm", "..", "/"])
def test_no_path_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data" / "set"
    write_images(tmp_path, "a.dcm")
    row = mass("1")
    row[-3] = name
    write_mass(folder, row)

    assert "are not there" in refused("cbis-ddsm", folder).detail
