"""Tables of activations: every kind of file gives the same numbers, and what is wrong with one is said."""

import io
import json
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from service.domain.digests import digest_of_file
from service.engine.networks.recorded import arrays, reading, text_tables
from service.engine.networks.recorded.reading import read_recorded
from service.engine.networks.recorded.table import RecordedTable
from service.errors import DigestMismatch, FileOutOfReach, InvalidCheckpoint
from service.files import ANYWHERE, DataRoots
from tests.engine.networks.recorded.files import WRITERS, write_npy

NAMES = [f"images/{index}.png" for index in range(5)]
NUMBERS = np.random.default_rng(5).standard_normal((5, 12)).astype(np.float32)


def read(path: Path) -> RecordedTable:
    return read_recorded(path, roots=ANYWHERE).table


def text(folder: Path, content: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(content)
    return path


@pytest.mark.proves("table", "{}")
@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_has_the_same_numbers(tmp_path: Path, kind: str) -> None:
    ending, write = WRITERS[kind]
    path = write(tmp_path / f"table{ending}", NAMES, NUMBERS)
    file = read_recorded(path, sha256=digest_of_file(path), roots=ANYWHERE)

    rows = torch.arange(len(NAMES))
    assert list(file.table.layers) == ["table"]
    assert torch.equal(file.table.rows_of("table", rows), torch.from_numpy(NUMBERS))
    assert list(file.table.names[0].values) == NAMES
    assert file.table.notes["rows"] == 5
    assert (file.ids_digest is None) == (ending != ".npy")


@pytest.mark.parametrize("kind", WRITERS)
def test_a_fetched_file_has_no_ending(tmp_path: Path, kind: str) -> None:
    ending, write = WRITERS[kind]
    path = write(tmp_path / f"table{ending}", NAMES, NUMBERS)
    fetched = path.rename(tmp_path / "5f2b")
    if ending == ".npy":
        with pytest.raises(InvalidCheckpoint, match="no file beside it names its rows") as caught:
            read(fetched)
        assert "np.savez" in str(caught.value.remedy)
    else:
        assert torch.equal(read(fetched).values, read(write(tmp_path / f"again{ending}", NAMES, NUMBERS)).values)


def test_the_remedy_for_an_array_without_names_works(tmp_path: Path) -> None:
    np.savez(tmp_path / "table.npz", image=np.array(NAMES, dtype=str), layer=NUMBERS)
    assert torch.equal(read(tmp_path / "table.npz").values, torch.from_numpy(NUMBERS))


def test_columns_name_layers_and_units(tmp_path: Path) -> None:
    path = text(
        tmp_path,
        "image,blocks/3/1,blocks/3/0,head/malignant,head/benign,score,patient_id\na.png,1,2,3,4,5,77\nb.png,6,7,8,9,10,78\n",
    )
    table = read(path)
    rows = torch.tensor([1])
    assert {layer: table.rows_of(layer, rows)[0].tolist() for layer in table.layers} == {
        "blocks.3": [7, 6],
        "head": [8, 9],
        "table": [10],
    }
    assert table.notes["columns"] == {"head": ["malignant", "benign"], "table": ["score"]}
    assert table.notes["left_out"] == ["patient_id"]


def test_an_index_of_numbers_is_no_unit(tmp_path: Path) -> None:
    table = read(text(tmp_path, ",image,score\n0,a.png,1\n1,b.png,2\n"))
    assert (table.notes["named_by"], table.notes["left_out"]) == (["image"], ["index"])
    assert table.values.tolist() == [[1], [2]]


def test_an_archive_has_a_layer_for_each_array(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "t.npz",
        image_id=np.array(["a", "b"]),
        layer3=np.eye(2),
        score=np.array([0.5, 1]),
        view=np.array(["CC", "CC"]),
    )
    table = read(tmp_path / "t.npz")
    assert {layer: len(places) for layer, places in table.layers.items()} == {"layer3": 2, "score": 1}
    assert table.names[0].column.kind == "image_id"
    assert table.notes["left_out"] == ["view"]


def test_numeric_ids_are_names_and_no_unit(tmp_path: Path) -> None:
    table = read(text(tmp_path, "image_id,score\n20586908,1\n20586934,2\n"))
    assert table.names[0].values == ("20586908", "20586934")
    assert table.values.tolist() == [[1], [2]]


def test_the_only_column_of_texts_names_the_image(tmp_path: Path) -> None:
    table = read(text(tmp_path, "what,score\na.png,1\nb.png,2\n"))
    assert table.notes["named_by"] == ["what"]


HEAD = "image,a,b\n"
WRONG = {
    "NaN": (HEAD + "x.png,1,2\ny.png,1,nan\n", "Row 2 .* has nan in the column 'b'", "row 2, column 'b'"),
    "infinite": (HEAD + "x.png,1,-inf\n", "Row 1 .* has -inf in the column 'b'", "row 1, column 'b'"),
    "beyond 32 bits": (HEAD + "x.png,1e39,1\n", r"Row 1 .* has 1e\+39 in the column 'a'", "row 1, column 'a'"),
    "a text": (
        HEAD + "x.png,1,2\ny.png,high,2\n",
        "Row 2 .* has the text 'high' in the column 'a'",
        "row 2, column 'a'",
    ),
    "nothing": (HEAD + "x.png,,2\n", "Row 1 .* has nothing in the column 'a'", "row 1, column 'a'"),
    "a decimal comma": ("image;a\nx.png;0,5\n", "has the text '0,5' in the column 'a'", "row 1, column 'a'"),
    "an underscore": (HEAD + "x.png,1_000,2\n", "has the text '1_000'", "row 1, column 'a'"),
    "an image twice": (
        HEAD + "x.png,1,2\ny.png,1,2\nx.png,1,2\n",
        "Rows 1 and 3 .* with the same numbers",
        "rows 1 and 3, column 'image'",
    ),
    "an image twice, as another path": (
        HEAD + "./x.png,1,2\nx.png,1,2\n",
        "Rows 1 and 2 .* same image",
        "rows 1 and 2, column 'image'",
    ),
    "a contradiction": (
        HEAD + "x.png,1,2\nx.png,1,3\n",
        "Rows 1 and 2 .* contradict each other in 'b'",
        "rows 1 and 2, column 'b'",
    ),
    "a row without a name": (HEAD + "x.png,1,2\n,1,2\n", "Row 2 of the table names no image", "row 2, column 'image'"),
    "no name": ("a,b\n1,2\n", "No column of the table is known to name the image", None),
    "two columns of texts": ("a,b,c\nx,y,1\n", "several have texts: a, b", None),
    "no unit": ("image,patient_id\nx.png,1\n", "no column of numbers", None),
    "no row": ("image,a\n", "has no rows", None),
    "a layer that cannot be named": ("image,P(a/b)\nx.png,1\n", "layer 'P\\(a'", "column 'P(a/b)'"),
    "a layer called all": ("image,all/0\nx.png,1\n", "which is not a layer's name", "column 'all/0'"),
    "lists of two lengths": (
        'image,e\nx.png,"[1, 2]"\ny.png,"[1]"\n',
        "has a list of 1 numbers, not 2",
        "row 2, column 'e'",
    ),
    "an empty list": ('image,e\nx.png,"[]"\n', "Row 1 .* has an empty list", "row 1, column 'e'"),
    "a unit twice": ('image,e,e/1\nx.png,"[1, 2]",3\n', "has the unit 'e/1' twice", "column 'e/1'"),
    "a text in a list": ('image,e\nx.png,"[1, 2]"\ny.png,"[1, ...]"\n', "has the text '...'", "row 2, column 'e'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_row_and_column(tmp_path: Path, case: str) -> None:
    content, detail, value = WRONG[case]
    with pytest.raises(InvalidCheckpoint, match=detail) as caught:
        read(text(tmp_path, content))
    assert caught.value.field == "checkpoint"
    assert caught.value.remedy
    if value is not None:
        assert caught.value.value == value


def test_rows_of_json_with_other_fields(tmp_path: Path) -> None:
    lines = [{"image": "x", "a": 1}, {"image": "y", "a": 1, "b": 2}]
    path = text(tmp_path, "\n".join(map(json.dumps, lines)), "t.jsonl")
    with pytest.raises(InvalidCheckpoint, match=r"Row 2 .* has a value that the first row lacks in the column 'b'"):
        read(path)


@pytest.mark.parametrize(
    ("column", "detail"),
    [
        (pa.array([1.0, None]), "Row 2 of the table has nothing in the column 'a'"),
        (pa.array([1.0, float("nan")]), "Row 2 of the table has nan in the column 'a'"),
        (pa.array(["x", "y"]), "The column 'a' of the table has the type string"),
        (pa.array([[1.0, 2.0], [1.0]]), "Row 2 of the table has a list of 1 numbers, not 2"),
        (pa.array([[1.0, 2.0], [1.0, None]]), "Row 2 of the table has nothing in a list"),
        (pa.array([[1.0], [float("inf")]]), "Row 2 of the table has inf in the column 'a/0'"),
        (pa.array([[], []], pa.list_(pa.float32())), "Row 1 of the table has an empty list"),
        (pa.array([b"x", b"y"]), "the type binary, not numbers"),
    ],
)
def test_what_is_wrong_in_a_parquet_file(tmp_path: Path, column: pa.Array, detail: str) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"image": ["x.png", "y.png"], "a": column}), path)
    with pytest.raises(InvalidCheckpoint, match=detail):
        read(path)


@pytest.mark.parametrize(
    ("array", "detail"),
    [
        (np.zeros((2, 3, 4, 4), np.float32), r"has the shape \[2, 3, 4, 4\]"),
        (np.zeros((2, 3), np.complex64), "is of the type complex64"),
        (np.zeros((2, 0), np.float32), "is empty"),
        (np.array([[1, np.nan], [1, 1]]), "Row 1 of the table has nan in the column '1'"),
        (np.zeros((3, 1), np.float32), "names 2 images, but the array has 3 rows"),
    ],
)
def test_what_is_wrong_with_an_array(tmp_path: Path, array: np.ndarray, detail: str) -> None:
    np.save(tmp_path / "t.npy", array)
    (tmp_path / "t.ids.txt").write_text("x.png\ny.png\n")
    with pytest.raises(InvalidCheckpoint, match=detail):
        read(tmp_path / "t.npy")


def test_nothing_pickled_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.array([[1, "x"]], dtype=object), allow_pickle=True)
    (tmp_path / "t.ids.txt").write_text("x.png")
    np.savez(tmp_path / "t.npz", image=np.array(["a"], dtype=object), layer=np.ones((1, 2)))
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(["x"]))
    for name in ("t.npy", "t.npz"):
        with pytest.raises(InvalidCheckpoint, match="Python objects, which NumPy pickles"):
            read(tmp_path / name)
    with pytest.raises(InvalidCheckpoint, match="is a Python pickle"):
        read(tmp_path / "t.pkl")


def test_arrays_that_claim_more_than_they_hold_take_no_memory(tmp_path: Path) -> None:
    whole = io.BytesIO()
    np.lib.format.write_array_header_1_0(whole, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**3)})
    (tmp_path / "t.npy").write_bytes(whole.getvalue())
    (tmp_path / "t.ids.txt").write_text("x.png")
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("image.npy", whole.getvalue())
    for name, detail in {"t.npy": "rows", "t.npz": "damaged"}.items():
        with pytest.raises(InvalidCheckpoint, match=detail):
            read(tmp_path / name)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_is_cut_is_damaged(tmp_path: Path, kind: str) -> None:
    ending, write = WRITERS[kind]
    path = write(tmp_path / f"table{ending}", NAMES, NUMBERS)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 - 3])
    with pytest.raises(InvalidCheckpoint):
        read(path)


def test_names_in_a_parquet_file_that_does_not_say_that_they_are_texts(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"image": [b"a.png", b"b.png"], "a": [1, 2]}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").names[0].values == ("a.png", "b.png")


@pytest.mark.parametrize("names", [[["a.png"], ["b.png"]], [{"path": "a.png"}, {"path": "b.png"}]])
def test_names_in_a_parquet_file_that_are_not_texts(tmp_path: Path, names: list[object]) -> None:
    parquet.write_table(pa.table({"image": names, "a": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(InvalidCheckpoint, match=r"'image' of the table has the type .*; it cannot name images"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", ["npz", "npz, compressed", "parquet", "parquet with a list"])
def test_a_file_with_other_bytes_inside_is_damaged_or_has_other_numbers(tmp_path: Path, kind: str) -> None:
    ending, write = WRITERS[kind]
    path = write(tmp_path / f"table{ending}", NAMES, NUMBERS)
    content = path.read_bytes()
    refusals = set()
    for place in range(4, len(content), 7):
        changed = bytearray(content)
        changed[place : place + 4] = b"\xff\x00\xff\x00"
        path.write_bytes(changed)
        try:
            read(path)
        except InvalidCheckpoint as error:
            refusals.add(error.detail)
    assert any("damaged" in detail for detail in refusals)
    assert not any("None" in detail or "not a path" in detail for detail in refusals)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_numpy_does_not_write_is_refused(tmp_path: Path, method: int) -> None:
    np.savez(tmp_path / "a.npz", image=np.array(NAMES), table=NUMBERS)
    with zipfile.ZipFile(tmp_path / "a.npz") as source, zipfile.ZipFile(tmp_path / "t.npz", "w", method) as packed:
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    with pytest.raises(InvalidCheckpoint, match="is not one that NumPy wrote"):
        read(tmp_path / "t.npz")


def test_names_that_take_more_than_any_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "t.npz", image=np.array(NAMES), table=NUMBERS)
    monkeypatch.setattr(arrays, "_MOST_BYTES_OF_NAMES", 100)
    with pytest.raises(InvalidCheckpoint, match="'image' is larger than names are"):
        read(tmp_path / "t.npz")


def test_a_file_of_names_that_is_longer_than_any_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_npy(tmp_path / "t.npy", NAMES, NUMBERS)
    monkeypatch.setattr(text_tables, "_MOST_BYTES_OF_NAMES", 1 << 20)
    (tmp_path / "t.ids.txt").write_text("x.png\n" * (1 << 18))
    with pytest.raises(InvalidCheckpoint, match="larger than 1 MiB"):
        read(path)


def test_names_that_change_while_they_are_read_are_those_of_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_npy(tmp_path / "t.npy", NAMES, NUMBERS)
    names = tmp_path / "t.ids.txt"
    read_names = text_tables.read_names

    def written_to(file: BinaryIO, ending: str) -> object:
        names.write_text("\n".join(reversed(NAMES)) + "\n")
        return read_names(file, ending)

    monkeypatch.setattr(reading, "read_names", written_to)
    with pytest.raises(FileOutOfReach, match="changed while it was being read"):
        read(path)


def test_a_header_is_not_read_where_it_claims_to_be_longer_than_any(tmp_path: Path) -> None:
    length = 64 << 20
    with (tmp_path / "t.npy").open("wb") as file:
        file.write(b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little"))
        file.truncate(length + 12)
    (tmp_path / "t.ids.txt").write_text("x.png")
    tracemalloc.start()
    try:
        with pytest.raises(InvalidCheckpoint, match="is damaged"):
            read(tmp_path / "t.npy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < length // 4


def test_digests_are_checked(tmp_path: Path) -> None:
    path = write_npy(tmp_path / "t.npy", NAMES, NUMBERS)
    digest = read_recorded(path, roots=ANYWHERE).ids_digest
    with pytest.raises(DigestMismatch, match="The table has the SHA-256"):
        read_recorded(path, sha256="0" * 64, roots=ANYWHERE)
    (tmp_path / "t.ids.txt").write_text("\n".join(reversed(NAMES)))
    with pytest.raises(DigestMismatch, match="names of the table's rows has the SHA-256"):
        read_recorded(path, ids_digest=digest, roots=ANYWHERE)
    np.savez(tmp_path / "t.npz", image=np.array(NAMES), table=NUMBERS)
    with pytest.raises(DigestMismatch, match="names of the table's rows is not there"):
        read_recorded(tmp_path / "t.npz", ids_digest=digest, roots=ANYWHERE)


def test_nothing_outside_the_roots_is_read(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = write_npy(inside / "t.npy", NAMES, NUMBERS)
    ids = (inside / "t.ids.txt").rename(tmp_path / "t.ids.txt")
    (inside / "t.ids.txt").symlink_to(ids)
    with pytest.raises(InvalidCheckpoint, match="outside the folders"):
        read_recorded(path, roots=DataRoots.of([inside]))
    with pytest.raises(InvalidCheckpoint, match="does not exist"):
        read(tmp_path / "absent.csv")
