"""A folder of DICOM files, and CMMD, whose images say in their headers alone what they show."""

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, Sequence, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from service.layouts import dicom_files
from service.layouts.dicom_headers import read_header
from service.layouts.pseudonyms import Pseudonyms
from service.layouts.reading import DataSetPlace, read_layout
from tests.layouts.data_sets import read, refused, write_images, write_table
from tests.probes.dicom_files import film, write_dicom

KEY = Pseudonyms(b"a key of the tests")


def write(path: Path, number: int = 1, **elements: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {
        "SOPInstanceUID": f"1.2.{number}",
        "StudyInstanceUID": "1.2.9",
        "PatientID": "D-1",
        "PatientAge": "057Y",
        "PatientBirthDate": "19600101",
        "ViewPosition": "MLO",
        "ImageLaterality": "L",
        "Manufacturer": "Maker",
        "ManufacturerModelName": "Model 3",
        "PresentationIntentType": "FOR PRESENTATION",
        "Modality": "MG",
    } | elements
    return write_dicom(path, film(12, 16, 12), bits=12, **known)


def code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = value, meaning
    return item


def test_all_is_known_from_the_header_but_who_it_is(tmp_path: Path) -> None:
    write(tmp_path / "b/1.dcm")
    write(tmp_path / "a/no suffix", 2, ImageLaterality=None, Laterality="R", PatientAge=None)

    assert read("dicom-folder", tmp_path).rows == [
        {
            "image": "a/no suffix",
            "image_id": "1.2.2",
            "patient_id": "D-1",
            "exam_id": "1.2.9",
            "view": "MLO",
            "laterality": "R",
            "manufacturer": "Maker",
            "device": "Model 3",
            "presentation": "FOR PRESENTATION",
            "modality": "MG",
        },
        {
            "image": "b/1.dcm",
            "image_id": "1.2.1",
            "patient_id": "D-1",
            "exam_id": "1.2.9",
            "view": "MLO",
            "laterality": "L",
            "age_band": "50-59",
            "manufacturer": "Maker",
            "device": "Model 3",
            "presentation": "FOR PRESENTATION",
            "modality": "MG",
        },
    ]


@pytest.mark.parametrize(
    ("value", "view"),
    [
        ("R-10226", "MLO"),
        ("399368009", "MLO"),
        ("R-10242", "CC"),
        ("399162004", "CC"),
        ("Y-X1770", "XCCL"),
        ("none", None),
    ],
)
def test_the_code_of_the_view_where_there_is_no_position(tmp_path: Path, value: str, view: str | None) -> None:
    views = Sequence([code(value, "a view")])
    views[0].ViewModifierCodeSequence = Sequence([code("R-102D6", "Magnification")])
    write(tmp_path / "1.dcm", ViewPosition=None, ViewCodeSequence=views)

    (row,) = read("dicom-folder", tmp_path).rows

    assert row.get("view") == view
    assert row["view_modifier"] == "Magnification"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_transfer_syntax_has_its_header_read(tmp_path: Path, syntax: Any) -> None:
    write(tmp_path / "1.dcm", syntax=syntax)

    assert read("dicom-folder", tmp_path).rows[0]["exam_id"] == "1.2.9"


def test_a_file_without_preamble_is_dicom_all_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "1.dcm")
    path.write_bytes(path.read_bytes()[132:])

    assert read("dicom-folder", tmp_path).rows[0]["exam_id"] == "1.2.9"


def test_a_compressed_file_has_its_header_read(tmp_path: Path) -> None:
    path = write(tmp_path / "1.dcm")
    (tmp_path / "2.dcm.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()

    assert read("dicom-folder", tmp_path).rows[0]["exam_id"] == "1.2.9"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_data_set_without_meta_information_has_its_header_read(tmp_path: Path, syntax: Any) -> None:
    path = write(tmp_path / "1.dcm", syntax=syntax)
    dataset = dcmread(path)
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    write_dataset(buffer, dataset)
    path.write_bytes(buffer.getvalue())

    assert read("dicom-folder", tmp_path).rows[0]["exam_id"] == "1.2.9"


def test_what_is_no_image_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "1.dcm")
    write_images(tmp_path, "a.txt", "b/c.png", "empty")
    (tmp_path / "empty").write_bytes(b"")
    report = write(tmp_path / "report.dcm", 3)
    whole = report.read_bytes()
    report.write_bytes(whole[: whole.index(b"Maker") + 2])
    (tmp_path / "packed.dcm.gz").write_bytes(b"\x1f\x8b and so on")
    (tmp_path / "loop").symlink_to(tmp_path)

    read_rows = read("dicom-folder", tmp_path)

    assert [row["image"] for row in read_rows.rows] == ["1.dcm"]
    assert "3 file(s) were passed over, because each is not a DICOM file." in read_rows.notes
    assert any("damaged gzip file" in note for note in read_rows.notes)
    assert any("report.dcm" in note or "without an image" in note for note in read_rows.notes)


def test_a_file_whose_name_is_not_utf_8_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "1.dcm")
    write(tmp_path / os.fsdecode(b"M\xfcller") / "2.dcm", 2)

    read_rows = read("dicom-folder", tmp_path)

    assert [row["image"] for row in read_rows.rows] == ["1.dcm"]
    assert "1 file(s) were passed over, because each has a name that is not UTF-8." in read_rows.notes


def test_frames_that_are_digits_but_not_a_number_are_not_known(tmp_path: Path) -> None:
    path = write(tmp_path / "1.dcm", NumberOfFrames="7")
    number, text = b"\x28\x00\x08\x00IS\x02\x007 ", b"\x28\x00\x08\x00LO\x02\x00\xb2 "
    assert number in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(number, text))

    (row,) = read("dicom-folder", tmp_path).rows

    assert row["image_id"] == "1.2.1"
    assert "frames" not in row


@pytest.mark.parametrize(("kind", "value"), [("LO", "CC"), ("LO", ["a", "b"]), ("OB", b"ab")])
def test_codes_that_are_none_leave_the_rest_of_the_header(tmp_path: Path, kind: str, value: object) -> None:
    dataset = dcmread(write(tmp_path / "1.dcm", ViewPosition=None))
    dataset.add_new("ViewCodeSequence", kind, value)
    dataset.save_as(tmp_path / "1.dcm")

    (row,) = read("dicom-folder", tmp_path).rows

    assert (row["patient_id"], row["laterality"], "view" in row) == ("D-1", "L", False)


def test_ten_thousand_other_files_are_only_looked_at(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number}.txt").touch()
    write(tmp_path / "z.dcm")

    read_rows = read("dicom-folder", tmp_path)

    assert len(read_rows.rows) == 1
    assert "10,000 file(s) were passed over, because each is not a DICOM file." in read_rows.notes


def test_more_files_than_are_taken_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_files, "MOST_FILES", 2)
    write_images(tmp_path, "a", "b", "c")

    assert "more than 2 files" in refused("dicom-folder", tmp_path).detail


def test_a_second_file_of_the_same_instance_is_left_out_and_named(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm")
    write(tmp_path / "b.dcm")

    read_rows = read("dicom-folder", tmp_path)

    assert [row["image"] for row in read_rows.rows] == ["a.dcm"]
    assert "1 file(s) were left out, because each has the SOPInstanceUID of an earlier file: b.dcm." in read_rows.notes


def test_an_element_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "1.dcm", ManufacturerModelName="M" * 64, syntax=ImplicitVRLittleEndian)
    content = path.read_bytes()
    place = content.index(b"M" * 64) - 4
    path.write_bytes(content[:place] + (0x7FFF_FFF0).to_bytes(4, "little") + content[place + 4 :])
    write(tmp_path / "2.dcm", 2)

    read_rows = read("dicom-folder", tmp_path)

    assert [row["image"] for row in read_rows.rows] == ["2.dcm"]
    assert any("1.dcm" in note or "without an image" in note for note in read_rows.notes)


def test_ids_are_replaced_by_keyed_hashes(tmp_path: Path) -> None:
    write(tmp_path / "1.dcm")
    place = DataSetPlace("dicom-folder", tmp_path)

    first = read_layout(place, read_header=read_header, pseudonyms=KEY)
    again = read_layout(place, read_header=read_header, pseudonyms=KEY)
    (other,) = read_layout(place, read_header=read_header, pseudonyms=Pseudonyms(b"another key of them")).rows

    (row,) = first.rows
    assert first == again
    for name, identifier in (("patient_id", "D-1"), ("exam_id", "1.2.9"), ("image_id", "1.2.1")):
        assert row[name] == KEY.of(name, identifier) != other[name]
        assert len(row[name]) == 32
    assert "D-1" not in str(first.rows)
    assert "Doe" not in str(first.rows)


def test_cmmd_joins_table_and_headers_by_patient_and_side(tmp_path: Path) -> None:
    write_table(
        tmp_path / "CMMD_clinicaldata_revision.csv",
        [
            ["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"],
            ["D1-0001", "R", "44", "2", "both", "Malignant", "Luminal A"],
            ["D1-0001", "R", "44", "2", "mass", "Benign", ""],
        ],
    )
    write(tmp_path / "CMMD/D1-0001/2010/s1/1-1.dcm", 1, PatientID="D1-0001", ImageLaterality="R", PatientAge=None)
    write(tmp_path / "CMMD/D1-0001/2010/s1/1-2.dcm", 2, PatientID="D1-0001", ImageLaterality="L", PatientAge=None)

    right, left = read("cmmd", tmp_path).rows

    assert right == {
        "image": "CMMD/D1-0001/2010/s1/1-1.dcm",
        "image_id": "1.2.1",
        "patient_id": "D1-0001",
        "exam_id": "1.2.9",
        "view": "MLO",
        "laterality": "R",
        "findings": "mass|calcification|Malignant mass|Malignant calcification|Benign mass",
        "age_band": "40-49",
        "manufacturer": "Maker",
        "device": "Model 3",
        "presentation": "FOR PRESENTATION",
        "modality": "MG",
        "number": "2",
        "subtype": "Luminal A",
    }
    assert "findings" not in left
    assert left["laterality"] == "L"


def test_a_file_of_cmmd_that_is_left_out_is_named_with_its_patient(tmp_path: Path) -> None:
    header = ["ID1", "LeftRight", "abnormality", "classification"]
    write_table(tmp_path / "CMMD_clinicaldata_revision.csv", [header, ["D1-0001", "R", "mass", "Benign"]])
    write(tmp_path / "CMMD/D1-0001/2010/s1/1-1.dcm", 1)
    write(tmp_path / "CMMD/D1-0001/2010/s1/1-2.dcm", 1)

    assert any(note.endswith(": CMMD/D1-0001/2010/s1/1-2.dcm.") for note in read("cmmd", tmp_path).notes)
