import csv
import io
import json
import pickle
import string
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.domain.probes import PatchGrid
from service.errors import InvalidManifest
from service.probes.manifest import digest_images, read_manifest, with_digests

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0|"), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)
NAMED = ("exam_id", "patient_id", "view", "laterality", "text")


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows as a manifest's .json would hold them, all with the same fields."""
    images = draw(st.permutations(["a.png", "b/c.png", "b/a.png"]))
    count = draw(st.integers(1, len(images)))
    named = draw(st.lists(st.sampled_from(NAMED), unique=True))
    strata = draw(st.lists(st.text(string.ascii_lowercase, min_size=1).map("s_".__add__), unique=True, max_size=3))
    ids = draw(st.lists(WORDS, min_size=count, max_size=count, unique=True))
    findings = draw(st.booleans())
    rows = [
        {"image": image, "image_id": image_id}
        | {name: draw(WORDS) for name in [*named, *strata]}
        | ({"findings": draw(st.lists(WORDS, unique=True, max_size=3))} if findings else {})
        for image, image_id in zip(images, ids, strict=False)
    ]
    patients = {(row.get("exam_id"), row.get("patient_id")) for row in rows}
    assume("exam_id" not in named or len(patients) == len({exam for exam, _ in patients}))
    return rows


def as_csv(rows: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    table = csv.DictWriter(file, list(rows[0]))
    table.writeheader()
    table.writerows(
        {name: "|".join(cell) if isinstance(cell, list) else cell for name, cell in row.items()} for row in rows
    )
    return file.getvalue()


def as_jsonl(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


FORMATS: dict[str, Callable[[list[dict[str, Any]]], str]] = {"csv": as_csv, "json": json.dumps, "jsonl": as_jsonl}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_images(tmp_path)
    return tmp_path


def make_images(folder: Path) -> None:
    (folder / "b").mkdir()
    for name in ("a.png", "b/c.png", "b/a.png"):
        (folder / name).write_bytes(b"any image")


def write(folder: Path, content: str, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8", newline="")
    return path


@given(rows=tables())
def test_all_formats_read_back_what_was_written(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder)
        sets = [read_manifest(write(folder, form(rows), f"m.{ext}"), name="p") for ext, form in FORMATS.items()]
    assert all(probe_set == sets[0] for probe_set in sets)
    for number, (row, item) in enumerate(zip(rows, sets[0].items, strict=True), start=1):
        assert (item.row, item.image_id, item.path) == (number, row["image_id"], folder / row["image"])
        assert [getattr(item, field) for field in NAMED] == [row.get(field) for field in NAMED]
        assert item.findings == (frozenset(row["findings"]) if "findings" in row else None)
        assert item.strata == {field: value for field, value in row.items() if field.startswith("s_")}
        assert item.box is None


def test_findings_unknown_none_and_some(folder: Path) -> None:
    probe = read_manifest(write(folder, "image,findings\na.png,\nb/c.png, mass | | clip \n"), name="p")
    assert [item.findings for item in probe.items] == [frozenset(), frozenset({"mass", "clip"})]
    probe = read_manifest(write(folder, "image\na.png\n"), name="p")
    assert probe.items[0].findings is None
    rows = [{"image": "a.png", "findings": None}, {"image": "b/c.png", "findings": []}, {"image": "b/a.png"}]
    probe = read_manifest(write(folder, json.dumps(rows), "m.json"), name="p")
    assert [item.findings for item in probe.items] == [None, frozenset(), None]


def test_findings_that_differ_in_case_and_blanks_only_are_one(folder: Path) -> None:
    content = "image,findings\na.png,mass|Skin  Fold\nb/c.png,Mass\nb/a.png,skin fold|clip\n"
    probe = read_manifest(write(folder, content), name="p")
    expected = [{"Mass", "Skin  Fold"}, {"Mass"}, {"Skin  Fold", "clip"}]
    assert [set(item.findings or ()) for item in probe.items] == expected
    assert probe.findings == {"Mass", "Skin  Fold", "clip"}
    assert probe.digest != read_manifest(write(folder, content.replace("Mass", "mass")), name="p").digest


def test_an_empty_cell_is_nothing_known(folder: Path) -> None:
    item = read_manifest(write(folder, "image,view,text,density,site\na.png,, ,,north\n"), name="p").items[0]
    assert (item.view, item.text, item.strata) == (None, None, {"site": "north"})


def test_byte_order_mark_and_blank_lines_do_not_count(folder: Path) -> None:
    probe = read_manifest(write(folder, "\ufeffimage,view\r\n\r\na.png,CC\r\n\r\nb/c.png,MLO\r\n"), name="p")
    assert [(item.row, item.view) for item in probe.items] == [(1, "CC"), (2, "MLO")]


def test_json_numbers_and_truth_values_become_text(folder: Path) -> None:
    rows = [{"image": "a.png", "patient_id": 17, "age": 61.5, "implant": True, "site": None}]
    item = read_manifest(write(folder, json.dumps(rows), "m.json"), name="p").items[0]
    assert (item.patient_id, item.strata) == ("17", {"age": "61.5", "implant": "true"})


def test_ids_are_stems_where_they_differ_and_row_numbers_where_not(folder: Path) -> None:
    differ = read_manifest(write(folder, "image\na.png\nb/c.png\n"), name="p")
    assert [item.image_id for item in differ.items] == ["a", "c"]
    alike = read_manifest(write(folder, "image\na.png\nb/c.png\nb/a.png\n"), name="p")
    assert [item.image_id for item in alike.items] == ["row-1", "row-2", "row-3"]


def test_absolute_paths_are_taken_as_they_are(folder: Path) -> None:
    elsewhere = folder / "manifests"
    elsewhere.mkdir()
    assert read_manifest(write(elsewhere, f"image\n{folder}/a.png\n"), name="p").items[0].path == folder / "a.png"


def test_digest_is_of_the_content(folder: Path) -> None:
    def digest(text: str, **options: Any) -> str:
        return read_manifest(write(folder, text), **({"name": "p"} | options)).digest

    base = digest("image,view\na.png,CC\nb/c.png,CC\n")
    assert digest("view,image\r\nCC,a.png\r\nCC,b/c.png\r\n", name="other", on_unreadable="skip") == base
    others = [
        digest("image,view\na.png,CC\nb/c.png,MLO\n"),
        digest("image,view\nb/c.png,CC\na.png,CC\n"),
        digest("image,view\na.png,CC\n"),
        digest("image,view,findings\na.png,CC,\nb/c.png,CC,\n"),
        digest("image,view,site\na.png,CC,x\nb/c.png,CC,x\n"),
    ]
    (folder / "a.png").write_bytes(b"an image of another size")
    others.append(digest("image,view\na.png,CC\nb/c.png,CC\n"))
    assert len({base, *others}) == 7


def test_digest_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_images(tmp_path / name)
        digests.add(read_manifest(write(tmp_path / name, "image\na.png\n"), name="p").digest)
    assert len(digests) == 1


def test_digest_of_images_follows_their_bytes(folder: Path) -> None:
    probe = read_manifest(write(folder, "image\na.png\nb/c.png\n"), name="p")
    before = with_digests(probe.items)
    assert digest_images(with_digests(probe.items)) == digest_images(before)
    (folder / "a.png").write_bytes(b"ANY IMAGE")
    after = with_digests(probe.items)
    assert digest_images(after) != digest_images(before)
    assert [one.sha256 != other.sha256 for one, other in zip(before, after, strict=True)] == [True, False]
    (folder / "a.png").unlink()
    assert [item.sha256 is None for item in with_digests(probe.items)] == [True, False]
    assert with_digests(before) == before, "what is known is not read again"


def test_a_probe_set_can_be_sent_to_another_process(folder: Path) -> None:
    probe = read_manifest(write(folder, "image,site\na.png,x\nb/c.png,\n"), name="p")
    assert pickle.loads(pickle.dumps(probe)) == probe  # noqa: S301 - our own bytes


BAD_CSV = {
    "empty": ("", "manifest", "no images"),
    "header only": ("image\n", "manifest", "no images"),
    "no image column": ("file\na.png\n", "image", "Row 1 names no image"),
    "two separators": ("image,view\na.png;CC\n", "manifest", "Row 1 is separated by semicolons, the header by commas"),
    "empty image cell": ("image,view\na.png,CC\n,CC\n", "image", "Row 2 names no image"),
    "missing file": ("image\na.png\nDoe-Jane.png\n", "image", "The image of row 2 does not exist"),
    "folder": ("image\nb\n", "image", "The image of row 1 is not a regular file"),
    "endless name": (f"image\n{'x' * 5000}\n", "image", "The image of row 1 does not exist"),
    "duplicate id": (
        "image,image_id\na.png,Doe\nb/c.png,y\nb/a.png,Doe\n",
        "image_id",
        "Row 3 has the same image_id as row 1",
    ),
    "id missing": ("image,image_id\na.png,Doe\nb/c.png,\n", "image_id", "Row 2 has"),
    "few cells": ("image,view\na.png,CC\na.png\n", "manifest", "Row 2 has 1 cells where the header has 2"),
    "many cells": ("image,view\na.png,CC,Doe\n", "manifest", "Row 1 has 3 cells where the header has 2"),
    "column twice": ("image,view,view\na.png,CC,CC\n", "header", "'view' twice"),
    "nameless column": ("image,\na.png,CC\n", "header", "without a name"),
    "open quote": ('image,text\na.png,ok\nb/c.png,"never closed', "manifest", "Row 2 is not valid CSV"),
    "NUL": ("image,text\na.png,a\0b\n", "manifest", "Row 1 holds a NUL"),
}


def refused(path: Path, **options: Any) -> InvalidManifest:
    with pytest.raises(InvalidManifest) as caught:
        read_manifest(path, name="p", **options)
    assert caught.value.remedy
    assert "Doe" not in f"{caught.value} {caught.value.as_problem()}"
    return caught.value


@pytest.mark.parametrize(("content", "field", "detail"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_bad_csv(folder: Path, content: str, field: str, detail: str) -> None:
    problem = refused(write(folder, content))
    assert problem.field == field
    assert detail in problem.detail


BAD_JSON = {
    "no json": ("m.json", "[{", "not JSON (line 1)"),
    "too deep": ("m.json", "[" * 100_000, "not JSON"),
    "no list": ("m.json", '{"image": "a.png"}', "not a JSON list"),
    "empty list": ("m.json", "[]", "no images"),
    "no object": ("m.json", '["a.png"]', "Row 1 is not a JSON object"),
    "nested": ("m.json", '[{"image": "a.png", "tags": {"x": 1}}]', "neither text nor number"),
    "same name twice": ("m.json", '[{"image": "a.png", "x": 1, " x": 2}]', "without a name or twice"),
    "key twice": ("m.json", '[{"image": "a.png", "findings": "mass", "findings": ""}]', "without a name or twice"),
    "key twice in a line": ("m.jsonl", '{"image": "a.png", "view": null, "view": "CC"}', "without a name or twice"),
    "nameless": ("m.json", '[{"image": "a.png", "": 1}]', "without a name or twice"),
    "half a pair": ("m.json", '[{"image": "a.png", "text": "\\ud800"}]', "surrogate"),
    "line": ("m.jsonl", '{"image": "a.png"}\n\n{"image"\n', "Row 2 is not JSON"),
    "NaN": ("m.json", '[{"image": "a.png"}, {"image": "b.png", "exam_id": NaN}]', "Row 2 holds NaN"),
    "a deep line": ("m.jsonl", '{"image": ' + "[" * 100_000, "Row 1 is not JSON"),
    "lists in a line": (
        "m.jsonl",
        '{"image": ' + "[" * 500 + "]" * 500 + "}",
        "Row 1 has lists nested more than two deep",
    ),
    "a long number in a line": ("m.jsonl", '{"image": ' + "9" * 5_000 + "}", "Row 1 is not JSON"),
    "a long number": ("m.json", '[{"image": ' + "9" * 5_000 + "}]", "not JSON"),
    "lists": ("m.json", '[{"image": ' + "[" * 500 + "]" * 500 + "}]", "Row 1 has lists nested more than two deep"),
    "NaN in a line": ("m.jsonl", '{"image": "a.png", "text": NaN}\n', "Row 1 holds NaN"),
    "infinity in a list": (
        "m.jsonl",
        '{"image": "a.png", "findings": ["mass", -Infinity]}\n',
        "Row 1 holds NaN or Infinity",
    ),
    "suffix": ("m.ods", "x", "cannot be a '.ods' file"),
}


@pytest.mark.parametrize(("name", "content", "detail"), BAD_JSON.values(), ids=BAD_JSON.keys())
def test_bad_json(folder: Path, name: str, content: str, detail: str) -> None:
    problem = refused(write(folder, content, name))
    assert problem.field == "manifest"
    assert detail in problem.detail


def test_what_is_no_text_is_refused(folder: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be", "cp037"):
        (folder / "m.csv").write_bytes("image,text\na.png,Ärztin\n".encode(encoding))
        assert "UTF-8" in refused(folder / "m.csv").detail


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_read_and_told_of(folder: Path, encoding: str) -> None:
    plain = read_manifest(write(folder, "image,text\na.png,Ärztin\n"), name="p")
    (folder / "m.csv").write_bytes("image,text\na.png,Ärztin\n".encode(encoding))

    probe = read_manifest(folder / "m.csv", name="p")
    assert (probe.items, probe.digest) == (plain.items, plain.digest)
    assert [note[:16] for note in probe.table_notes] == ["Its text is read"]


def test_a_manifest_that_is_not_there(folder: Path) -> None:
    assert "No such file" in refused(folder / "none.csv").detail


@pytest.mark.parametrize("grid", [PatchGrid(0, 1), PatchGrid(8, 0), PatchGrid(8, 9), PatchGrid(8, -8)])
def test_impossible_patches(folder: Path, grid: PatchGrid) -> None:
    assert refused(write(folder, "image\na.png\n"), patches=grid).field == "patches"
