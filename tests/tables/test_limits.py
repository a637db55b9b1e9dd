"""Tables of any size take a bounded time and memory; what is too large is refused by its row."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidManifest
from service.tables import json_list, table
from service.tables.json_list import NotAList, TooLong, list_entries
from service.tables.read import read_table
from service.tables.table import Row


def rows_of(path: Path) -> list[Row]:
    with read_table(path, field="manifest", error=InvalidManifest) as opened:
        return [row for _, row in opened.rows]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_ROWS", 3)
    monkeypatch.setattr(table, "MAX_BYTES", 4_000)
    monkeypatch.setattr(table, "MAX_ROW_CHARACTERS", 200)
    monkeypatch.setattr(table, "MAX_COLUMNS", 5)


def written(folder: Path, ending: str, table: list[dict[str, Any]]) -> Path:
    path = folder / f"m.{ending}"
    lines = [json.dumps(row) for row in table]
    texts = {
        "csv": "\n".join([",".join(table[0]), *(",".join(map(str, row.values())) for row in table)]),
        "json": "[" + ", ".join(lines) + "]",
        "jsonl": "\n".join(lines),
    }
    path.write_text(texts[ending])
    return path


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([{"image": "a.png"}] * 4, "Row 4 is beyond the limit of 3 rows"),
        ([{"image": "a.png"}, {"image": "x" * 300}], "Row 2 is longer than 200 characters"),
        ([{"image": "a.png", **dict.fromkeys("bcdef", 1)}], "has 6 (columns|fields)"),
    ],
)
def test_more_than_the_limits_is_refused(tmp_path: Path, ending: str, table: list[Any], message: str) -> None:
    with pytest.raises(InvalidManifest, match=message) as refused:
        rows_of(written(tmp_path, ending, table))
    assert refused.value.remedy


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("endless", ["\n", '"a\n",', "{", "[", "\0", '"', " "])
def test_what_has_no_end_is_not_read_to_its_end(tmp_path: Path, ending: str, endless: str) -> None:
    (tmp_path / f"m.{ending}").write_text("image\na.png\n" * (ending == "csv") + endless * 5_000)
    with pytest.raises(InvalidManifest):
        rows_of(tmp_path / f"m.{ending}")


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_as_much_as_the_limits_allow_is_read(tmp_path: Path, ending: str) -> None:
    table = [{"image": "a.png", "b": "x" * 100, "c": 1, "d": 2, "e": 3}] * 3
    assert len(rows_of(written(tmp_path, ending, table))) == 3


@pytest.mark.parametrize("ending", ["json", "jsonl"])
@pytest.mark.parametrize("value", ["9" * 5_000, "[" * 100_000, "NaN", "01", '"\\ud800"'])
def test_what_python_cannot_take_names_its_row(tmp_path: Path, ending: str, value: str) -> None:
    good, bad = '{"image": "a.png"}', f'{{"image": {value}}}'
    (tmp_path / f"m.{ending}").write_text(f"[{good}, {bad}]" if ending == "json" else f"{good}\n{bad}\n")
    with pytest.raises(InvalidManifest, match=r"Row 2|\(line 1\)"):
        rows_of(tmp_path / f"m.{ending}")


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 0, 2]), st.integers(1, 9))
def test_a_list_is_read_piece_by_piece_as_it_is_read_whole(values: list[Any], indent: int | None, piece: int) -> None:
    text = json.dumps(values, indent=indent)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_list, "_PIECE", piece)
        assert list(list_entries(io.StringIO(f" {text}\n"), longest=1_000)) == values


@pytest.mark.parametrize("text", ["", "{}", "1", '"["', "null"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(NotAList):
        list(list_entries(io.StringIO(text), longest=10))


@pytest.mark.parametrize(
    ("text", "line"), [("[1,\n2\n3]", 3), ("[1]\n\nx", 3), ("[\n1,]", 2), ("[1,\n\n", 3), ("[", 1)]
)
@pytest.mark.parametrize("piece", [1, 3, 100])
def test_an_error_names_its_line(text: str, line: int, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_list, "_PIECE", piece)
    with pytest.raises(json.JSONDecodeError) as wrong:
        list(list_entries(io.StringIO(text), longest=10))
    assert wrong.value.lineno == line


@pytest.mark.parametrize("entry", ['"' + "x" * 50 + '"', "[" + "1," * 40 + "1]", "1" * 50, "nul" + "l" * 50])
def test_an_entry_that_is_too_long(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_list, "_PIECE", 7)
    with pytest.raises((TooLong, json.JSONDecodeError)):
        list(list_entries(io.StringIO(f"[1, {entry}, 2]"), longest=20))
