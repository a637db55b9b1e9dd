"""What a parquet file says that its pages become, and how it could hide one of them."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from service.errors import InvalidManifest
from service.tables.parquet_pages import pages_of_groups
from service.tables.read import read_table
from tests.tables.thrift_bytes import varint


def page(*, kind: int, size: int, compressed: int, described: bytes) -> bytes:
    """The header of a page with that description, and what the page holds."""
    header = b"\x15" + varint(kind) + b"\x15" + varint(size) + b"\x15" + varint(compressed) + described + b"\0"
    return header + b"x" * (compressed % (1 << 32))


def file_of(pages: bytes, values: int = 10) -> bytes:
    """A parquet file of one column with so many values, as far as its pages are looked at."""
    column = b"\x56" + varint(values) + b"\x26" + varint(len(pages)) + b"\x26" + varint(0) + b"\0"
    footer = b"\x49\x1c\x19\x1c\x3c" + column + b"\0" * 3
    return pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def pages_in(content: bytes) -> list[tuple[int, int]]:
    """Bytes and largest page of each row group of a file."""
    return [(group.bytes, group.largest) for group in pages_of_groups(io.BytesIO(content))]


OF_VALUES = b"\x2c\x15" + varint(5) + b"\x15" + varint(0) + b"\0"
"""A data page of five values, behind the sizes of its page."""

PLAIN = page(kind=0, size=100, compressed=3, described=OF_VALUES)
LARGE = page(kind=0, size=1 << 30, compressed=3, described=OF_VALUES)


def test_pages_are_read_until_all_values_are_there() -> None:
    assert pages_in(file_of(PLAIN + LARGE)) == [(100 + (1 << 30), 1 << 30)]
    assert pages_in(file_of(PLAIN + LARGE, values=5)) == [(100, 100)]


def test_a_page_that_holds_no_values_does_not_hide_the_next_one() -> None:
    dictionary = page(kind=2, size=100, compressed=3, described=b"\x2c\x15" + varint(10) + b"\0")
    assert pages_in(file_of(dictionary + LARGE)) == [(100 + (1 << 30), 1 << 30)]


def test_a_description_of_another_kind_of_page_does_not_hide_the_next_one() -> None:
    both = page(kind=3, size=100, compressed=3, described=b"\x2c\x15" + varint(10) + b"\0\x3c\x15" + varint(1) + b"\0")
    assert pages_in(file_of(both + LARGE)) == [(100 + (1 << 30), 1 << 30)]


@pytest.mark.parametrize(
    "hiding",
    [
        page(kind=0, size=100, compressed=(1 << 32) + 3, described=OF_VALUES),
        page(kind=0, size=100, compressed=3, described=b"\x2c\x15" + varint((1 << 32) + 1) + b"\0"),
    ],
)
def test_numbers_of_more_bits_than_arrow_reads_do_not_hide_the_next_page(hiding: bytes) -> None:
    with pytest.raises(ValueError, match="a number is too long"):
        pages_in(file_of(hiding + LARGE))


def test_whatever_footer_and_headers_say_they_are_read_or_refused() -> None:
    content = file_of(PLAIN + PLAIN)
    for place in range(len(content)):
        for byte in range(256):
            changed = bytearray(content)
            changed[place] = byte
            try:
                groups = pages_in(bytes(changed))
            except ValueError:
                continue
            assert all(0 <= largest <= size for size, largest in groups)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zstd", "use_dictionary": False},
        {"data_page_version": "2.0"},
        {"write_page_checksum": True, "write_page_index": True, "row_group_size": 7},
        {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY", "b": "DELTA_BINARY_PACKED"}},
    ],
)
def test_pages_of_every_kind_are_what_the_footer_says(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "t.parquet"
    rows = pa.table(
        {"a": [f"image {number}" * 9 for number in range(3_000)], "b": range(3_000), "c": [["x", ""]] * 3_000}
    )
    parquet.write_table(rows, path, **options)

    with path.open("rb") as file:
        metadata = parquet.ParquetFile(file).metadata
        pages = pages_of_groups(file)
    stated = [metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)]
    assert len(pages) == len(stated)
    # What the footer states has the pages' headers in it.
    assert all(
        0.9 * size < group.bytes + 100 * 3 and group.bytes <= size for group, size in zip(pages, stated, strict=True)
    )
    with read_table(path, field="manifest", error=InvalidManifest) as opened:
        assert sum(1 for _ in opened.rows) == 3_000
