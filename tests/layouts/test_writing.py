"""Pseudonyms, and the manifests that are written and read again."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from cli.manifest import LAYOUTS
from service.domain.probes import Box, FindingRegion
from service.errors import InvalidInput
from service.files import ANYWHERE
from service.layouts import catalogue
from service.layouts.notes import Notes
from service.layouts.pseudonyms import Pseudonyms, read_pseudonyms
from service.layouts.writing import write_manifest
from service.probes.manifest import read_manifest
from tests.layouts.data_sets import write_images, write_table
from tests.layouts.test_dicom_folder import write

Command = Callable[..., int]


@pytest.fixture
def manifest(monkeypatch: pytest.MonkeyPatch) -> Command:
    """`mammodissect manifest` in this process: its exit status."""

    def run(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["mammodissect", "manifest", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    write_images(tmp_path, "images/a.png", "images/b.png", "masks/a.png")
    box, mask = {"finding": "mass", "box": [1, 2, 3, 4]}, {"finding": "mass", "mask": "../masks/a.png"}
    rows = [
        {"image": "a.png", "image_id": "a", "findings": "mass|skin, thick", "regions": json.dumps([box, mask])},
        {"image": "b.png", "image_id": "b", "findings": "", "density": "B", "site": "x"},
    ]

    write_manifest(tmp_path / f"m{suffix}", rows, tmp_path / "images")
    first, second = read_manifest(tmp_path / f"m{suffix}", name="probes").items

    assert (first.path, first.findings) == (tmp_path / "images/a.png", frozenset({"mass", "skin, thick"}))
    assert first.regions[0] == FindingRegion("mass", box=Box(1, 2, 3, 4))
    assert first.regions[1].mask is not None
    assert first.regions[1].mask.samefile(tmp_path / "masks/a.png")
    assert (second.findings, dict(second.strata)) == (frozenset(), {"density": "B", "site": "x"})
    assert str(tmp_path) not in (tmp_path / f"m{suffix}").read_text().replace(f"{tmp_path}/images/../masks", "")


def test_a_csv_cannot_leave_findings_unknown_in_some_rows(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png")
    rows = [{"image": "a.png", "findings": ""}, {"image": "b.png"}]

    with pytest.raises(InvalidInput, match="Findings are known of 1 of 2 images") as error:
        write_manifest(tmp_path / "m.csv", rows, tmp_path)
    assert ".jsonl" in str(error.value.remedy)
    assert not (tmp_path / "m.csv").exists()

    write_manifest(tmp_path / "m.jsonl", rows, tmp_path)
    assert [item.findings for item in read_manifest(tmp_path / "m.jsonl", name="p").items] == [frozenset(), None]


def test_columns_that_tell_who_somebody_is_are_left_out_with_pseudonyms() -> None:
    notes = Notes()
    row = {
        "image": "a.png",
        "patient_id": "7",
        "exam_id": "7",
        "Patient Name": "Doe",
        "Birth_Date": "1960",
        "site": "x",
    }

    (replaced,) = Pseudonyms(b"a key of the tests").replaced([row], notes)

    assert set(replaced) == {"image", "patient_id", "exam_id", "site", "image_id"}
    assert len({replaced["patient_id"], replaced["exam_id"], replaced["image_id"], "7"}) == 4
    assert any("Birth_Date, Patient Name" in note for note in notes.all())


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("PatientID", "patient_id"),
        ("Patient_ID", "patient_id"),
        ("subject", "patient_id"),
        ("Accession Number", "exam_id"),
        ("StudyInstanceUID", "exam_id"),
        ("Image-ID", "image_id"),
    ],
)
def test_columns_with_other_names_for_ids_have_pseudonyms_too(column: str, kind: str) -> None:
    notes = Notes()
    pseudonyms = Pseudonyms(b"a key of the tests")

    (replaced,) = pseudonyms.replaced([{"image": "a.png", column: "4711"}], notes)

    assert replaced[column] == pseudonyms.of(kind, "4711")
    assert f"So have the columns {column}, because their names are those of ids." in notes.all()


@pytest.mark.parametrize("content", [b"", b"short", b" \n" * 40])
def test_a_key_that_is_none_is_refused_and_never_repeated(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)

    with pytest.raises(InvalidInput, match="fewer than 16 bytes") as error:
        read_pseudonyms(tmp_path / "key", ANYWHERE, field="key_file")
    assert "short" not in str(error.value)

    with pytest.raises(InvalidInput, match="cannot be read"):
        read_pseudonyms(tmp_path, ANYWHERE, field="key_file")


def test_a_dicom_folder_gets_pseudonyms_and_a_key_beside_the_manifest(
    tmp_path: Path, manifest: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "films/1.dcm")
    out = tmp_path / "m.csv"

    assert manifest(tmp_path / "films", "--from", "dicom-folder", "-o", out) == 0
    written, key = out.read_text(), tmp_path / "m.csv.key"
    assert manifest(tmp_path / "films", "--from", "dicom-folder", "-o", out) == 0

    assert out.read_text() == written
    assert "D-1" not in written
    assert "films/1.dcm" in written
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().strip() not in "".join(capsys.readouterr())

    assert manifest(tmp_path / "films", "--from", "dicom-folder", "--no-pseudonymise", "-o", out) == 0
    assert "D-1" in out.read_text()


def test_options_of_the_command(tmp_path: Path, manifest: Command, capsys: pytest.CaptureFixture[str]) -> None:
    header = ["site_id", "patient_id", "image_id", "laterality", "view", "machine_id"]
    table = write_table(
        tmp_path / "tables/train.csv", [header, ["2", "8", "1", "L", "CC", "29"], ["2", "9", "1", "L", "CC", "29"]]
    )
    write_images(tmp_path / "data", "train_images/8/1.dcm")
    (tmp_path / "key").write_text("a key of sixteen bytes")
    named = ("--from", "rsna", "--table", table, "-o", tmp_path / "m.jsonl")

    assert manifest(tmp_path / "data", *named) == 2
    assert "The images of 1 row(s) are not there: row(s) 2 of train.csv" in capsys.readouterr().err
    assert not (tmp_path / "m.jsonl").exists()

    with_key = ("--pseudonymise", "--key-file", tmp_path / "key")
    assert manifest(tmp_path, *named, "--root", tmp_path / "data", "--skip-missing", *with_key) == 0
    row = json.loads((tmp_path / "m.jsonl").read_text())
    assert row["image"] == "data/train_images/8/1.dcm"
    assert row["patient_id"] == Pseudonyms(b"a key of sixteen bytes").of("patient_id", "8")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--from", "ddsm", "-o", "m.csv"), "no layout 'ddsm'"),
        (("--from", "rsna", "-o", "m.xlsx"), "cannot be written as a '.xlsx' file"),
        (("--from", "rsna", "-o", "m.csv", "--key-file", "k"), "no identifiers are to be replaced"),
        (("--from", "rsna", "-o", "m.csv", "--root", "nowhere"), "root is not a folder"),
        (("--from", "rsna"), "Missing option '--output'"),
    ],
)
def test_wrong_options_are_one_line_with_a_remedy(
    tmp_path: Path, manifest: Command, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], what: str
) -> None:
    assert manifest(tmp_path, *arguments) == 2

    said = capsys.readouterr().err.strip()
    assert what in said
    assert said.count("\n") == 0


def test_the_help_names_every_layout() -> None:
    assert LAYOUTS.split(", ") == list(catalogue.LAYOUTS)


def test_a_folder_that_is_not_there_is_refused(
    tmp_path: Path, manifest: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manifest(tmp_path / "nothing", "--from", "rsna", "-o", tmp_path / "m.csv") == 2
    assert "no such folder or table" in capsys.readouterr().err
