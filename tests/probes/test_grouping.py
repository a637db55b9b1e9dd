"""Columns that are taken for patient_id and exam_id, what may be chosen instead, and what a digest says of both."""

from pathlib import Path

import pytest

from service.domain.groups import group_images
from service.domain.probes import ProbeSet
from service.errors import InvalidInput, InvalidManifest
from service.probes.grouping import EXAM_COLUMNS, PATIENT_COLUMNS, grouped, with_grouping
from service.probes.manifest import read_manifest


def manifest(folder: Path, header: str, *rows: str) -> ProbeSet:
    """A probe set of images of one byte each, whose names are the rows' numbers."""
    lines = [f"image,{header}"]
    for number, row in enumerate(rows):
        (folder / f"{number}.png").write_bytes(bytes([number]))
        lines.append(f"{number}.png,{row}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return read_manifest(folder / "manifest.csv", name="set")


SPELLINGS = [
    *((name, "patient_id") for name in PATIENT_COLUMNS),
    *((name, "exam_id") for name in EXAM_COLUMNS),
    ("Study_ID", "exam_id"),
    ("StudyInstanceUID", "exam_id"),
    ("Accession Number", "exam_id"),
    ("accession-number", "exam_id"),
    ("empi_anon", "patient_id"),
    ("anon_patientid", "patient_id"),
    ("Subject ID", "patient_id"),
    ("Patient.ID", "patient_id"),
    ("EXAM_ID", "exam_id"),
]


@pytest.mark.parametrize(("column", "field"), SPELLINGS)
def test_a_column_of_that_name_is_taken_for_what_it_stands_for(tmp_path: Path, column: str, field: str) -> None:
    listed = manifest(tmp_path, f"{column},density", "x,A", "x,B", "y,A")
    probe_set = grouped(listed, None)
    assert dict(probe_set.grouping) == {field: column}
    assert [getattr(item, field) for item in probe_set.items] == ["x", "x", "y"]
    assert [dict(item.strata) for item in probe_set.items] == [{"density": "A"}, {"density": "B"}, {"density": "A"}]
    assert probe_set.table_notes == (f"Column '{column}' is taken for {field} and is not a stratum.",)
    assert group_images(probe_set.items).count == 2
    assert probe_set.digest != listed.digest


def test_a_manifest_with_nothing_to_recognise_stays_what_it_was(tmp_path: Path) -> None:
    listed = manifest(tmp_path, "patient_id,exam_id,study_id,density", "p,x,s,A", "p,y,s,B")
    assert grouped(listed, None) == listed


def test_both_may_be_recognised(tmp_path: Path) -> None:
    probe_set = grouped(manifest(tmp_path, "subject,study", "p,x", "p,y", "q,z"), None)
    assert dict(probe_set.grouping) == {"patient_id": "subject", "exam_id": "study"}
    assert group_images(probe_set.items).of_item == (0, 0, 1)


def test_earlier_registrations_are_read_as_before(tmp_path: Path) -> None:
    listed = manifest(tmp_path, "study_id", "x", "x", "y")
    assert with_grouping(listed, {}, None) is listed
    assert [item.exam_id for item in listed.items] == [None, None, None]


def test_what_was_recognised_is_read_again_from_what_was_stored(tmp_path: Path) -> None:
    listed = manifest(tmp_path, "study_id,site", "x,n", "x,s", "y,n")
    registered = grouped(listed, "site")
    assert with_grouping(listed, registered.grouping, registered.independent) == registered


def test_two_columns_that_could_be_it_are_an_error_with_both(tmp_path: Path) -> None:
    listed = manifest(tmp_path, "study,accession", "x,1", "y,2")
    with pytest.raises(InvalidManifest) as raised:
        grouped(listed, None)
    assert raised.value.field == "exam_id"
    assert "'accession' and 'study'" in raised.value.detail
    assert "exam_id" in str(raised.value.remedy)
    assert "independent" in str(raised.value.remedy)


@pytest.mark.parametrize(("independent", "unit"), [("study", "group"), ("accession", "group"), ("image", "image")])
def test_the_remedy_for_two_columns_works(tmp_path: Path, independent: str, unit: str) -> None:
    listed = manifest(tmp_path, "study,accession,exam", "x,1,a", "x,2,b", "y,3,c")
    probe_set = grouped(listed, independent)
    assert group_images(probe_set.items, probe_set.independent).unit == unit
    assert "could each be exam_id, so none is taken for it" in " ".join(probe_set.table_notes)


@pytest.mark.parametrize(
    ("header", "rows", "grouping", "left"),
    [
        ("patient_id,exam", ("p,screening", "q,screening", "q,follow-up"), {}, "exam"),
        ("subject,exam", ("p,screening", "q,screening", "q,follow-up"), {"patient_id": "subject"}, "exam"),
        ("exam_id,subject", ("x,healthy", "x,diseased", "y,healthy"), {}, "subject"),
    ],
)
def test_a_column_by_which_an_exam_has_several_patients_is_not_taken(
    tmp_path: Path, header: str, rows: tuple[str, ...], grouping: dict[str, str], left: str
) -> None:
    probe_set = grouped(manifest(tmp_path, header, *rows), None)
    assert probe_set.grouping == grouping
    assert set(probe_set.items[0].strata) == {left}
    assert f"Column '{left}' is not taken for" in probe_set.table_notes[0]
    assert group_images(probe_set.items).count == 2


@pytest.mark.parametrize(
    ("independent", "expected"),
    [
        ("patient", "patient"),
        ("patient_id", "patient"),
        ("exam", "exam"),
        ("exam_id", "exam"),
        ("image", "image"),
        ("site", "site"),
        ("laterality", "laterality"),
    ],
)
def test_what_was_chosen_is_part_of_the_digest(tmp_path: Path, independent: str, expected: str) -> None:
    listed = manifest(tmp_path, "patient_id,exam_id,site,laterality", "p,x,n,L", "p,y,n,R", "q,z,s,L")
    probe_set = grouped(listed, independent)
    assert probe_set.independent == expected
    digests = {grouped(listed, other).digest for other in (None, "patient", "exam", "image", "site")}
    assert len(digests) == 5
    assert (probe_set.digest in digests) == (expected != "laterality")


def test_a_recognised_column_may_be_chosen_by_its_own_name(tmp_path: Path) -> None:
    probe_set = grouped(manifest(tmp_path, "study_id", "x", "x", "y"), "study_id")
    assert not probe_set.grouping
    assert group_images(probe_set.items, "study_id").of_item == (0, 0, 1)


@pytest.mark.parametrize(
    ("independent", "said"),
    [("patient", "names a patient"), ("exam", "names an exam"), ("sites", "no column 'sites'"), ("empty", "'empty'")],
)
def test_what_is_not_in_the_manifest_cannot_be_chosen(tmp_path: Path, independent: str, said: str) -> None:
    listed = manifest(tmp_path, "site,empty", "n,", "s,")
    with pytest.raises(InvalidInput) as raised:
        grouped(listed, independent)
    assert (raised.value.field, raised.value.value) == ("independent", independent)
    assert said in raised.value.detail
    assert "'site'" in str(raised.value.remedy)
