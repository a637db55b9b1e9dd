"""Tables of a data set: told apart by their columns, and refused with what was found and what is missing."""

from pathlib import Path

import pytest

from service.errors import InvalidInput
from service.layouts.catalogue import LAYOUTS, layout_named
from service.layouts.reading import DataSetPlace, read_layout
from tests.layouts.data_sets import read, refused, write_images, write_table

CSAW = ["anon_patientid", "x_case", "x_cancer_laterality", "imagelaterality", "viewposition", "anon_filename"]
RSNA = ["site_id", "patient_id", "image_id", "laterality", "view", "machine_id"]


def write_rsna(path: Path, separator: str = ",") -> None:
    write_table(path, [RSNA, ["2", "8", "1", "L", "CC", "29"]], separator)
    write_images(path.parent, "train_images/8/1.dcm")


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in {"rsna", "mias", "dicom-folder"}])
def test_the_table_of_another_data_set_names_both_columns_and_the_layout_that_fits(tmp_path: Path, layout: str) -> None:
    write_rsna(tmp_path / "train.csv")

    error = refused(layout, tmp_path / "train.csv")

    missing = layout_named(layout, field="layout").shapes[0].missing(RSNA)
    assert missing
    assert "train.csv is not the table" in error.detail
    assert all(column in error.detail for column in RSNA)
    assert any(", ".join(shape.missing(RSNA)) in error.detail for shape in LAYOUTS[layout].shapes)
    assert "use the layout rsna" in str(error.remedy)


def test_a_folder_with_another_table_is_refused_with_its_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "notes.csv", [["film", "remark"], ["1", "fine"]])

    error = refused("csaw-cc", tmp_path)

    assert "it lacks the column(s) anon_patientid, x_case" in error.detail
    assert "It has film, remark." in error.detail
    assert "as it was published" in str(error.remedy)


def test_an_empty_folder_says_which_table_is_looked_for(tmp_path: Path) -> None:
    error = refused("csaw-cc", tmp_path)

    assert "The folder has no table CSAW-CC_breast_cancer_screening_data of CSAW-CC." in error.detail
    assert "There is no table in it." in error.detail


@pytest.mark.parametrize(("name", "separator"), [("train.csv", ";"), ("train.tsv", "\t"), ("export/renamed.txt", "|")])
def test_any_separator_name_and_subfolder_of_a_table_will_do(tmp_path: Path, name: str, separator: str) -> None:
    write_rsna(tmp_path / name, separator)
    write_images(tmp_path, "train_images/8/1.dcm")

    read_rows = read("rsna", tmp_path)

    assert [row["image_id"] for row in read_rows.rows] == ["1"]
    assert f"Read {Path(name).name}." in read_rows.notes


def test_a_table_beside_the_folder_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "elsewhere" / "list.csv", [RSNA, ["2", "8", "1", "L", "CC", "29"]])
    write_images(tmp_path / "set", "train_images/8/1.dcm")

    (row,) = read("rsna", tmp_path / "set", tables=(tmp_path / "elsewhere" / "list.csv",)).rows

    assert row["patient_id"] == "8"


def test_columns_are_the_same_whatever_case_and_blanks(tmp_path: Path) -> None:
    header = ["Site ID", "Patient ID", "Image_Id", "Laterality", "VIEW", "machine id"]
    write_table(tmp_path / "train.csv", [header, ["2", "8", "1", "L", "CC", "29"]])
    write_images(tmp_path, "train_images/8/1.dcm")

    assert read("rsna", tmp_path).rows[0]["patient_id"] == "8"


def test_rows_without_an_image_are_skipped_where_that_is_asked_for(tmp_path: Path) -> None:
    write_table(
        tmp_path / "train.csv",
        [RSNA, ["2", "8", "1", "L", "CC", "29"], *[["2", "9", f"{n}", "L", "CC", "29"] for n in range(30)]],
    )
    write_images(tmp_path, "train_images/8/1.dcm")

    read_rows = read("rsna", tmp_path, skip_missing=True)

    assert len(read_rows.rows) == 1
    (note,) = (note for note in read_rows.notes if "left out" in note)
    assert note.startswith("30 row(s) were left out, because their images are not there: row(s) 2, 3, 4,")
    assert note.endswith("21 of train.csv, ….")


def test_where_no_image_is_there_nothing_is_read(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", [RSNA, ["2", "8", "1", "L", "CC", "29"]])

    assert "No image of RSNA" in refused("rsna", tmp_path, skip_missing=True).detail


def test_an_empty_cell_that_is_needed_is_refused_with_row_and_column(tmp_path: Path) -> None:
    write_table(tmp_path / "train.csv", [RSNA, ["2", "", "1", "L", "CC", "29"]])

    error = refused("rsna", tmp_path)

    assert error.detail == "Row 1 of train.csv has nothing in 'patient_id'."
    assert (error.field, error.value) == ("patient_id", "row 1")


def test_an_unknown_layout_names_those_that_there_are() -> None:
    with pytest.raises(InvalidInput, match="no layout 'ddsm'") as error:
        layout_named("ddsm", field="layout")

    assert all(name in str(error.value.remedy) for name in LAYOUTS)


@pytest.mark.parametrize("layout", ["cmmd", "dicom-folder"])
def test_a_layout_that_needs_headers_is_refused_without_a_reader_of_them(tmp_path: Path, layout: str) -> None:
    with pytest.raises(InvalidInput, match="needs the headers") as error:
        read_layout(DataSetPlace(layout, tmp_path))

    assert error.value.field == "layout"
    assert f"mammodissect manifest --from {layout}" in str(error.value.remedy)


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    write_rsna(tmp_path / "train.csv")

    with pytest.raises(InvalidInput, match="root is not a folder"):
        read("rsna", tmp_path, root=tmp_path / "train.csv")
