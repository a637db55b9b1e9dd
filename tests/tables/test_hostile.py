"""Workbooks and parquet files that become larger than they look are refused before they are read."""

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import parquet

from service.errors import InvalidManifest
from service.tables import columnar, sheet_scan, table
from service.tables.read import read_table

Parts = dict[str, bytes]
_SHEET = "xl/worksheets/sheet1.xml"
_MAIN = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    book = openpyxl.Workbook()
    book.worksheets[0].append(["image"])
    book.save(tmp_path / "plain.xlsx")
    with zipfile.ZipFile(tmp_path / "plain.xlsx") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, parts: Parts) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def refused(path: Path) -> InvalidManifest:
    with pytest.raises(InvalidManifest) as caught, read_table(path, field="manifest", error=InvalidManifest) as opened:
        list(opened.rows)
    assert caught.value.remedy
    return caught.value


def sheet(rows: bytes) -> bytes:
    return b"<worksheet " + _MAIN + b"><sheetData>" + rows + b"</sheetData></worksheet>"


def header_and(row: bytes) -> bytes:
    return sheet(b'<row r="1"><c r="A1" t="inlineStr"><is><t>image</t></is></c></row>' + row)


CHANGES: dict[str, tuple[Callable[[Parts], Parts], str]] = {
    "much from little": (lambda parts: {"xl/media/a.bin": bytes(5 << 20)}, "MiB when it is unpacked"),
    "a large part": (lambda parts: {"xl/styles.xml": bytes(3 << 20)}, "part 'xl/styles.xml' of more"),
    "many parts": (lambda parts: {f"xl/p{number}": b"" for number in range(2_000)}, "2,000 are the limit"),
    "entities": (lambda parts: {_SHEET: b'<!DOCTYPE x [<!ENTITY a "b">]>' + sheet(b"")}, "declares entities"),
    "far row": (lambda parts: {_SHEET: header_and(b'<row r="1048577"/>')}, "row beyond 1,048,576"),
    "endless row number": (lambda parts: {_SHEET: header_and(b'<row r="%s"/>' % (b"9" * 5_000))}, "row beyond"),
    "no row number": (lambda parts: {_SHEET: header_and(b'<row r="-3"/>')}, "row beyond"),
    "cells in a row": (lambda parts: {_SHEET: header_and(b"<row>" + b"<c/>" * 100_001 + b"</row>")}, "too many cells"),
    "no XML": (lambda parts: {_SHEET: b"<worksheet"}, "damaged"),
    "no such text": (lambda parts: {_SHEET: sheet(b'<row><c t="s"><v>99</v></c></row>')}, "damaged"),
    "no sheet": (lambda parts: {_SHEET: b""}, "damaged"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_hostile_workbooks(
    tmp_path: Path, parts: Parts, change: Callable[[Parts], Parts], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet_scan, "MAX_RATIO", 50)
    monkeypatch.setattr(sheet_scan, "FREE_BYTES", 4 << 20)
    monkeypatch.setattr(sheet_scan, "MAX_OTHER_BYTES", 2 << 20)
    assert message in refused(packed(tmp_path / "t.xlsx", parts | change(parts))).detail


def test_a_list_of_parts_too_long_to_be_read(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_scan, "_MAX_DIRECTORY_BYTES", 100)
    assert "too many parts" in refused(packed(tmp_path / "t.xlsx", parts)).detail


@pytest.mark.parametrize("around", [header_and, sheet])
def test_rows_far_apart_with_wide_cells_take_no_more_than_the_limit(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch, around: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr("service.tables.workbook.MAX_CELLS", 50_000)
    wide = b'<row><c r="XFD%d"/></row>'
    rows = around(b"".join(wide % number for number in range(2, 20)))
    assert "50,000 cells" in refused(packed(tmp_path / "t.xlsx", parts | {_SHEET: rows})).detail


def test_an_old_workbook_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert "old .xls file, or protected" in refused(tmp_path / "t.xlsx").detail


@pytest.mark.parametrize("nested", [False, True])
def test_a_long_text_that_a_parquet_file_repeats_is_not_multiplied(tmp_path: Path, nested: bool) -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 1_024, pa.int32()), pa.array(["x" * 400_000]))
    texts = long.cast(pa.string())
    column = pa.ListArray.from_arrays(pa.array(range(1_025), pa.int32()), texts) if nested else texts
    parquet.write_table(pa.table({"a": column}), tmp_path / "t.parquet")
    del long, texts, column

    arrow_before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        with read_table(tmp_path / "t.parquet", field="manifest", error=InvalidManifest) as opened:
            sizes = [(len(row["a"]), pa.total_allocated_bytes() - arrow_before) for _, row in opened.rows]
        assert [characters for characters, _ in sizes] == [400_000] * 1_024
        assert max(held for _, held in sizes) < 80 << 20
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()


KINDS = [pa.string(), pa.large_string(), pa.string_view(), pa.json_(), pa.list_(pa.large_string())]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_long_texts_after_a_short_one_become_pythons_a_few_at_a_time(
    tmp_path: Path, kind: pa.DataType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "_MAX_PYTHON_BYTES", 2 << 20)
    texts = ["x", *(f"{number}" + "x" * 100_000 for number in range(200))]
    column = pa.array([[text] for text in texts], kind) if pa.types.is_list(kind) else pa.array(texts).cast(kind)
    parquet.write_table(pa.table({"a": column}), tmp_path / "t.parquet", use_dictionary=False)

    tracemalloc.start()
    try:
        with read_table(tmp_path / "t.parquet", field="manifest", error=InvalidManifest) as opened:
            assert [len(row["a"]) for _, row in opened.rows] == list(map(len, texts))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_values_of_a_type_whose_length_is_not_known_are_refused(tmp_path: Path) -> None:
    maps = pa.array([[("a", "x")]], pa.map_(pa.string(), pa.string()))
    parquet.write_table(pa.table({"a": ["x"], "b": maps}), tmp_path / "t.parquet")
    assert "has the column 'b', whose values are of the type map" in refused(tmp_path / "t.parquet").detail


def test_a_parquet_file_beyond_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(pa.table({"a": ["x", "y", "z"]}), tmp_path / "t.parquet")
    monkeypatch.setattr(table, "MAX_ROWS", 2)
    assert "has 3 rows" in refused(tmp_path / "t.parquet").detail
    monkeypatch.setattr(table, "MAX_BYTES", 10)
    assert "larger than" in refused(tmp_path / "t.parquet").detail
