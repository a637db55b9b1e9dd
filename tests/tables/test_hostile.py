"""Workbooks and parquet files that become larger than they look are refused before they are read."""

import os
import subprocess
import sys
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
from tests.tables.thrift_bytes import varint

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


READ_WITHIN = """
import resource, sys
from pathlib import Path
import pyarrow.parquet
from service.errors import InvalidManifest
from service.tables.read import read_table
from tests.tables.thrift_bytes import varint

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), used + int(sys.argv[2])))
try:
    with read_table(Path(sys.argv[1]), field="manifest", error=InvalidManifest) as opened:
        print(sum(1 for _ in opened.rows), "rows")
except InvalidManifest as error:
    print(error.detail)
"""


def read_within(path: Path, most: int) -> str:
    """What comes of reading a table in a process that may take so many bytes more than it has."""
    command = [sys.executable, "-c", READ_WITHIN, str(path), str(most)]
    # Arrow's own pool reserves a gibibyte of addresses, whatever it uses.
    variables = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_page_of(path: Path, size: int) -> Path:
    """A parquet file whose only page claims to become so large, and whose footer does not tell."""
    parquet.write_table(pa.table({"a": ["x" * 100] * 1_000}), path, use_dictionary=False, compression="gzip")
    content = path.read_bytes()
    header = bytearray(b"\x15\x00\x15")  # the page's type, then its size when it is unpacked
    assert content[4 : 4 + len(header)] == header
    end = 4 + len(header)
    while content[end] & 128:
        end += 1

    path.write_bytes(content[:4] + header + varint(size) + content[end + 1 :])
    return path


def test_a_page_that_claims_to_become_two_gibibytes_is_not_unpacked(tmp_path: Path) -> None:
    path = with_page_of(tmp_path / "t.parquet", (1 << 31) - 1)
    assert "a page that becomes larger than 128 MiB" in read_within(path, 256 << 20)


def test_texts_that_repeat_the_one_before_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    texts = ["short", *["x" * (1 << 20)] * 2_000]
    with parquet.ParquetWriter(
        path, pa.schema({"a": pa.string()}), use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"}
    ) as writer:
        writer.write_table(pa.table({"a": texts}))
    assert path.stat().st_size < 4 << 20

    assert read_within(path, 512 << 20) == "2001 rows\n"


def test_a_footer_that_contradicts_itself_does_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"list": [["a", "b"]] * 20}), path)
    optional, required = b"\x35\x02\x18\x04list", b"\x35\x00\x18\x04list"
    assert optional in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(optional, required))
    assert "damaged" in read_within(path, 512 << 20)


@pytest.mark.parametrize("kept", [5, 6, 7, 8, 12])
def test_a_header_of_a_page_that_is_damaged(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"a": ["x" * 100] * 1_000}), path, use_dictionary=False)
    content = path.read_bytes()
    path.write_bytes(content[:kept] + b"\xff" * 16 + content[kept + 16 :])
    assert "damaged" in refused(path).detail
