"""The same table in every format that people save it in gives the same rows; what cannot be meant is an error."""

import errno
import io
import json
import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import parquet

from service.errors import FileOutOfReach, InvalidManifest
from service.tables.cells import NotReadable, listed
from service.tables.columnar import parquet_table
from service.tables.read import ENDINGS, read_table
from service.tables.table import Complaints, Row

HEADER = ("image", "patient_id", "findings")
ROWS = [
    {"image": "a.png", "patient_id": "17", "findings": "mass|Ärztin"},
    {"image": "b.png", "patient_id": "18", "findings": ""},
    {"image": "c, d.png", "patient_id": "19", "findings": 'so-called "asymmetry"; new'},
]


def opened(path: Path, **options: Any) -> tuple[tuple[str, ...], list[tuple[int, Row]], tuple[str, ...]]:
    with read_table(path, field="findings_map", error=InvalidManifest, **options) as table:
        return table.header, list(table.rows), table.notes


def refused(path: Path, **options: Any) -> InvalidManifest:
    with pytest.raises(InvalidManifest) as caught:
        opened(path, **options)
    assert caught.value.remedy
    assert caught.value.field in ("findings_map", "header")
    return caught.value


def separated(character: str) -> str:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if character in text or '"' in text else text

    lines = [HEADER, *(tuple(row.values()) for row in ROWS)]
    return "".join(character.join(map(cell, line)) + "\r\n" for line in lines)


def workbook(path: Path, *sheets: list[list[Any]], hidden: int = 0) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"S{number}")
        sheet.sheet_state = "hidden" if number < hidden else "visible"
        for cells in rows:
            sheet.append(cells)
    book.save(path)
    return path


def as_workbook(path: Path) -> Path:
    numbered = [[row["image"], int(row["patient_id"]), row["findings"] or None] for row in ROWS]
    return workbook(path, [list(HEADER), *numbered])


def as_parquet(path: Path) -> Path:
    table = pa.table({name: [row[name] for row in ROWS] for name in HEADER})
    parquet.write_table(table.set_column(1, "patient_id", pa.array([17, 18, 19])), path)
    return path


def written(folder: Path, ending: str) -> Path:
    path = folder / f"t{ending}"
    if ending == ".xlsx":
        return as_workbook(path)
    if ending == ".parquet":
        return as_parquet(path)

    texts = {
        ".csv": separated(","),
        ".tsv": separated("\t"),
        ".txt": separated("|"),
        ".json": json.dumps(ROWS),
        ".jsonl": "\n".join(map(json.dumps, ROWS)),
    }
    path.write_bytes(texts[ending].encode())
    return path


@pytest.mark.proves("format", "{}")
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_rows(tmp_path: Path, ending: str) -> None:
    header, rows, _ = opened(written(tmp_path, ending))
    assert header == HEADER
    assert rows == list(enumerate(ROWS, start=1))


@pytest.mark.parametrize("character", ",;\t|")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt"])
def test_every_separator_in_every_encoding(tmp_path: Path, character: str, encoding: str, ending: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    (tmp_path / f"t{ending}").write_bytes((mark + separated(character)).encode(encoding))

    _, rows, notes = opened(tmp_path / f"t{ending}")
    assert [row for _, row in rows] == ROWS
    usual = "\t" if ending == ".tsv" else ","
    assert len(notes) == (character != usual) + (not encoding.startswith("utf-8"))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n,\n,\n", [{"a": "1", "b": "2"}]),
        ("\n,\na,b\n,\n\n1,2\n , \n3,4\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        ('a, b, c\n1, "x", "y|z"\n', [{"a": "1", "b": "x", "c": "y|z"}]),
        ("sep=;\na;b,c\n1;2\n", [{"a": "1", "b,c": "2"}]),
        ("a;b\n61,5;x\n70,25;y\n", [{"a": "61,5", "b": "x"}, {"a": "70,25", "b": "y"}]),
        ("a\tb (x, y)\n1\t2, 3\n", [{"a": "1", "b (x, y)": "2, 3"}]),
        ("a,b|c\n1,2|3\n", [{"a": "1", "b|c": "2|3"}]),
        ("a,b,,\n1,2,,\n", [{"a": "1", "b": "2"}]),
        ("a\nx;y\n", [{"a": "x;y"}]),
        ('a;b\n"1;2";"x\ny"\n', [{"a": "1;2", "b": "x\ny"}]),
    ],
)
def test_what_spreadsheets_and_people_write(tmp_path: Path, text: str, rows: list[Row]) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert opened(tmp_path / "t.csv", known=("a",))[1] == list(enumerate(rows, start=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a;b|c\n1;2|3\n", "can be read as separated by semicolons or by vertical bars"),
        ("a,b\n1,2\n3;4\n", "Row 2 is separated by semicolons, the header by commas"),
        ("a;b\n1;2\n3\n", "Row 2 has 1 cells where the header has 2"),
        ("a,b\n1,2\na,b\n3,4\n", "Row 2 repeats the header"),
        ("Our images,Our findings\nimage,findings\n", "Row 1 holds the names of the columns"),
        ("a,,c\n1,2,3\n", "without a name"),
        ("a,b,\n1,2,\n3,4,5\n", "without a name"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert message in refused(tmp_path / "t.csv", known=("image", "findings")).detail


def test_a_known_column_decides_between_two_separators(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image;b|c\n1;2|3\n")
    assert opened(tmp_path / "t.csv", known=("image",))[0] == ("image", "b|c")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Ä,b\nx,y\n".encode() + "ö,z\n".encode("latin-1"), "line 3"),
        ("a,b\n".encode("utf-16-le"), "byte order mark"),
        (b"a,b\n\x81,\xe4\n", "neither UTF-8 nor Windows-1252"),
        (b"a,b\n\xe4,\0\n", "NUL"),
        (b"\xff\xfea", "not text of the encoding"),
    ],
)
def test_text_of_no_encoding_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert message in refused(tmp_path / "t.csv").detail


SHEETS: dict[str, tuple[list[list[Any]], str]] = {
    "formula": ([["a", "b"], [1, "=A2"]], "formula without a stored value in cell B2"),
    "error value": ([["a", "b"], [1, 2], [1, "#N/A"]], "error value #N/A in cell B3"),
    "title": ([["Our table"], ["a", "b"], [1, 2]], "cell B2 stands in it"),
    "nameless": ([["a", None, "c"], [1, 2, 3]], "without a name"),
    "twice": ([["a", "a"], [1, 2]], "'a' twice"),
    "second header": ([["X", "Y"], ["image", "findings"], ["a.png", "mass"]], "holds the names of the columns"),
}


@pytest.mark.parametrize(("rows", "message"), SHEETS.values(), ids=SHEETS.keys())
def test_sheets_that_cannot_be_meant(tmp_path: Path, rows: list[list[Any]], message: str) -> None:
    problem = refused(workbook(tmp_path / "t.xlsx", rows), known=("image", "findings"))
    assert message in problem.detail


def test_merged_cells_are_refused(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["patient", None, "image"])
    sheet.append([1, 2, "a.png"])
    sheet.merge_cells("A1:B1")
    book.save(tmp_path / "t.xlsx")
    assert "A1:B1" in refused(tmp_path / "t.xlsx").detail


def test_the_first_visible_sheet_with_content_is_read_and_told_of(tmp_path: Path) -> None:
    table: list[list[Any]] = [["a"], [1], [None], [2.5], [True]]
    path = workbook(tmp_path / "t.xlsx", [["hidden"], ["x"]], [], table, [["legend"]], hidden=1)
    header, rows, notes = opened(path)
    assert header == ("a",)
    assert rows == [(1, {"a": "1"}), (2, {"a": "2.5"}), (3, {"a": "true"})]
    assert notes == ("Sheet 'S2' is read; not read: 'S0', 'S1', 'S3'.",)


def test_a_sheet_of_blanks_is_empty(tmp_path: Path) -> None:
    blanks: list[list[Any]] = [[" "], [None, "\t"]]
    assert opened(workbook(tmp_path / "blank.xlsx", blanks)) == ((), [], ())
    assert opened(workbook(tmp_path / "t.xlsx", blanks, [["a"], [1]]))[1] == [(1, {"a": "1"})]


def test_parquet_knows_numbers_dates_lists_and_nothing(tmp_path: Path) -> None:
    columns = {
        "n": pa.array([1, None], pa.int64()),
        "x": pa.array([61.5, float("nan")]),
        "day": pa.array([1_000, None], pa.date32()),
        "findings": pa.array([["mass", "asymmetry"], []]),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
        "regions": pa.array([[{"finding": "mass", "box": [1, 2, 30, 40]}], None]),
    }
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")

    _, rows, _ = opened(tmp_path / "t.parquet")
    regions = '[{"finding": "mass", "box": [1, 2, 30, 40]}]'
    first = {"n": "1", "x": "61.5", "day": "1972-09-27", "findings": "mass|asymmetry", "kind": "a", "regions": regions}
    assert rows == [(1, first), (2, {"findings": "", "kind": "b"})]


def test_infinity_in_a_parquet_file_is_named_for_what_it_is(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"age": [61.5, float("inf")]}), tmp_path / "t.parquet")
    problem = refused(tmp_path / "t.parquet")
    assert (problem.detail, problem.value) == ("Row 2 holds NaN or Infinity, which is not a number.", "row 2, 'age'")


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ms"), pa.date32()])
def test_a_date_that_python_has_not_is_named_for_what_it_is(tmp_path: Path, kind: pa.DataType) -> None:
    greatest = pa.array([(1 << kind.bit_width - 1) - 1], pa.int32() if kind.bit_width == 32 else pa.int64())
    parquet.write_table(pa.table({"day": greatest.cast(kind)}), tmp_path / "t.parquet")
    assert "has the column 'day', which holds a date or time out of range" in refused(tmp_path / "t.parquet").detail


@pytest.mark.parametrize("box", [[Decimal("1.5")], [b"x"], [date(2020, 1, 1)]])
def test_regions_of_other_types_than_jsons_are_refused_with_their_row(tmp_path: Path, box: list[object]) -> None:
    parquet.write_table(pa.table({"regions": [[{"finding": "mass", "box": box}]]}), tmp_path / "t.parquet")
    problem = refused(tmp_path / "t.parquet")
    assert problem.detail == "Row 1 has a list with something in it that JSON does not know."
    assert problem.value == "row 1, 'regions'"


@pytest.mark.parametrize("ending", [".xlsx", ".parquet"])
@pytest.mark.parametrize("cut", [0, 4, 100, 1_000])
def test_damaged_files_are_refused(tmp_path: Path, ending: str, cut: int) -> None:
    path = written(tmp_path, ending)
    content = path.read_bytes()
    path.write_bytes(content[: cut or None] if cut else b"")
    assert "findings map" in refused(path).detail


def test_a_text_in_the_middle_of_a_damaged_file_is_not_repeated(tmp_path: Path) -> None:
    path = written(tmp_path, ".parquet")
    path.write_bytes(path.read_bytes().replace(b"PAR1", b"XXXX"))
    assert "not a parquet file" in refused(path).detail


class FailingDisk(io.BytesIO):
    """A file that can be read so often, and then no more."""

    def __init__(self, content: bytes, reads: int) -> None:
        super().__init__(content)
        self.reads = reads

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads -= 1
        if self.reads < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


@pytest.mark.parametrize("reads", range(5))
def test_a_disk_that_fails_under_a_parquet_file_is_not_a_damaged_file(tmp_path: Path, reads: int) -> None:
    file = FailingDisk(written(tmp_path, ".parquet").read_bytes(), reads)
    complaints = Complaints("manifest", "manifest", InvalidManifest)
    with pytest.raises(FileOutOfReach), complaints.about_the_file():
        list(parquet_table(file, complaints).rows)


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("['Mass', 'Suspicious Calcification']", ("Mass", "Suspicious Calcification")),
        ('["Mass","Skin \\"fold\\""]', ("Mass", 'Skin "fold"')),
        ("['Mass' 'Calcification']", ("Mass", "Calcification")),
        ("['No Finding']", ("No Finding",)),
        ("['Mass',]", ("Mass",)),
        ("[]", ()),
        ("mass|[asymmetry]", None),
        ("[mass]", None),
        ("mass", None),
        ("", None),
    ],
)
def test_lists_in_cells(text: str, texts: tuple[str, ...] | None) -> None:
    assert listed(text) == texts


@pytest.mark.parametrize("text", ["['Mass', ", "['Mass'] 'x'", "['Mass', 3]", "['a" + "\\" * 5_000])
def test_what_begins_as_a_list_must_end_as_one(text: str) -> None:
    with pytest.raises(NotReadable):
        listed(text)


def test_a_table_that_is_not_read_is_closed(tmp_path: Path) -> None:
    path = written(tmp_path, ".csv")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with read_table(path, field="table", error=InvalidManifest) as table:
        assert table.header == HEADER
    assert len(list(Path("/proc/self/fd").iterdir())) == before
