"""The rows of a data set that a worker has read, as they are stored."""

from pathlib import Path

import pytest

from service.layouts.listing import decode_listing, encode_listing


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x1c", "\x85", "\u2028", "\u2029"])
def test_rows_come_back_whatever_parts_lines_in_them(end: str) -> None:
    rows = [{"image": f"a{end}b.dcm", "device": "Model 3"}, {"image": "Müller/1.dcm", "findings": ""}]

    read = decode_listing(encode_listing(rows), Path("/data"), ("a note",))

    assert (list(read.rows), read.folder, read.notes) == (rows, Path("/data"), ("a note",))
