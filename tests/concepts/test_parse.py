import io
import json
from dataclasses import replace
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from service.concepts.parse import (
    FORMATS,
    MAX_CONCEPTS,
    Format,
    concept_set_from_entries,
    parse_concept_set,
    read_concept_set,
)
from service.concepts.places import Entry
from service.domain.concepts import Concept
from service.errors import InvalidConceptSet


def as_parquet(table: pa.Table) -> bytes:
    content = io.BytesIO()
    parquet.write_table(table, content)
    return content.getvalue()


def test_txt_takes_one_concept_a_line_and_passes_over_empty_lines() -> None:
    content = "\ufeffspiculated mass\r\n\r\n  skin thickening \n\t\nround mass".encode()
    assert parse_concept_set("mine", content, "txt").texts == ("spiculated mass", "skin thickening", "round mass")


def test_csv_takes_any_of_the_columns_in_any_order() -> None:
    content = (
        "synonyms,mammographic,text,broad_category,category\n"
        'ill defined mass| hazy mass ,TRUE,"mass, indistinct",findings,mass margin\n'
        ",,,,\n"
        ",false,dog,,animals\n"
        ",,skin,,\n"
    )
    assert parse_concept_set("mine", content, "csv").concepts == (
        Concept("mass, indistinct", "mass margin", "findings", True, ("ill defined mass", "hazy mass")),
        Concept("dog", "animals", None, False, watched=True),
        Concept("skin"),
    )


def test_a_set_that_says_what_is_watched_means_just_that() -> None:
    content = "text,mammographic,watched\nclip,true,True\ndog,false,\nskin,,false\n"
    watched = (Concept("clip", mammographic=True, watched=True), Concept("dog", mammographic=False), Concept("skin"))
    assert parse_concept_set("mine", content, "csv").concepts == watched
    entries: list[Entry] = [
        {"text": "clip", "mammographic": True, "watched": True},
        {"text": "dog", "mammographic": False, "watched": None},
        "skin",
    ]
    assert concept_set_from_entries("mine", entries).concepts == watched


def test_a_column_of_empty_cells_watches_nothing_and_no_column_watches_what_is_not_mammographic() -> None:
    says = parse_concept_set("mine", "text,mammographic,watched\ndog,false,\nclip,true,\n", "csv")
    assert [concept.watched for concept in says.concepts] == [False, False]
    nulls = pa.table({"text": ["dog"], "mammographic": [False], "watched": pa.array([None], pa.bool_())})
    assert not parse_concept_set("mine", as_parquet(nulls), "parquet").concepts[0].watched
    silent = parse_concept_set("mine", "text,mammographic\ndog,false\nclip,true\nskin,\n", "csv")
    assert [concept.watched for concept in silent.concepts] == [True, False, False]


def test_json_takes_texts_and_objects_in_one_list() -> None:
    entries: list[Entry] = [
        "round mass",
        {"text": "dog", "mammographic": False, "category": None, "synonyms": ["puppy", "puppy"]},
    ]
    concept_set = parse_concept_set("mine", json.dumps(entries), "json")
    assert concept_set.concepts == (
        Concept("round mass"),
        Concept("dog", mammographic=False, synonyms=("puppy",), watched=True),
    )
    assert concept_set == concept_set_from_entries("mine", entries)


def test_a_list_of_lines_has_the_digest_of_a_list_of_texts() -> None:
    assert parse_concept_set("a", "a b\nc", "txt").digest == concept_set_from_entries("b", ["a b", "c"]).digest


TABLE = [["text", "category", "mammographic", "synonyms", "code_radlex", "code_bi_rads", "name_de"]]
TABLE += [
    ["round mass", "mass shape", "true", "lump|nodule", "RID1", "", "runder Herd"],
    ["dog", "", "false", *[""] * 4],
]
OBJECTS: list[Entry] = [
    {
        "text": "round mass",
        "category": "mass shape",
        "mammographic": True,
        "synonyms": ["lump", "nodule"],
        "codes": {"radlex": "RID1"},
        "names": {"de": "runder Herd"},
    },
    {"text": "dog", "mammographic": False},
]


def test_every_format_of_the_same_concepts_gives_the_same_set() -> None:
    whole = concept_set_from_entries("mine", OBJECTS)
    assert whole.concepts[0].codes == (("radlex", "RID1"),)
    assert whole.concepts[0].names == (("de", "runder Herd"),)

    sheet = io.BytesIO()
    book = openpyxl.Workbook()
    for row in TABLE:
        book.worksheets[0].append(row)
    book.save(sheet)
    columns = pa.table(dict(zip(TABLE[0], zip(*TABLE[1:], strict=True), strict=True)))

    contents: dict[Format, str | bytes] = {
        "csv": "\n".join(map(";".join, TABLE)),
        "tsv": "\n".join(map("\t".join, TABLE)),
        "json": json.dumps(OBJECTS),
        "jsonl": "\n".join(map(json.dumps, OBJECTS)),
        "yaml": yaml.safe_dump(OBJECTS),
        "yml": json.dumps(OBJECTS),
        "xlsx": sheet.getvalue(),
        "parquet": as_parquet(columns),
    }
    assert set(contents) | {"txt"} == set(FORMATS)
    for form, content in contents.items():
        assert parse_concept_set("mine", content, form) == whole, form


def test_codes_and_names_count_only_where_there_are_any() -> None:
    bare = concept_set_from_entries("mine", ["round mass"])
    empty = concept_set_from_entries("mine", [{"text": "round mass", "codes": {}, "names": {"de": ""}}])
    coded = concept_set_from_entries("mine", [{"text": "round mass", "codes": {"radlex": "RID1"}}])
    assert bare.digest == empty.digest == "76cba8f419820499e5fba3734fba7ef111718bede7498ee360b5ea054d500103"
    assert coded.digest != bare.digest
    assert "codes" not in bare.concepts[0].as_dict()


def test_what_was_decided_is_noted() -> None:
    listed = parse_concept_set("mine", "fibroad\u00e9nome\nmass\n".encode("latin-1"), "txt")
    assert listed.texts == ("fibroad\u00e9nome", "mass")
    assert listed.notes == ("Its text is read as Windows-1252, because it is not UTF-8.",)
    assert parse_concept_set("mine", "text;category\nmass;shape\n", "csv").notes == (
        "Its cells are separated by semicolons.",
    )
    assert listed == replace(listed, notes=())


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"text": "mass", "codes": ["RID1"]}, "codes that are not an object of texts"),
        ({"text": "mass", "codes": {"RadLex": "RID1"}}, "vocabulary 'RadLex'"),
        ({"text": "mass", "codes": {"radlex": "34261"}}, "radlex code '34261'"),
        ({"text": "mass", "codes": {"snomed": 4}}, "codes that are not an object of texts"),
        ({"text": "mass", "codes": {f"v{n}": "1" for n in range(33)}}, "33 codes"),
        ({"text": "mass", "names": {"German": "Herd"}}, "language 'German'"),
        ({"text": "mass", "names": {"de": "Her\u0007d"}}, "U+0007 in its names"),
    ],
)
def test_bad_codes_and_names(entry: Entry, says: str) -> None:
    check_refused("json", json.dumps(["dog", entry]).encode(), "entry 2", says)


def test_a_file_is_named_after_itself_unless_it_gets_a_name(tmp_path: Path) -> None:
    path = tmp_path / "ward-7.TXT"
    path.write_text("mass\n")
    assert read_concept_set(path).name == "ward-7"
    assert read_concept_set(path, "ward").name == "ward"


@pytest.mark.parametrize(
    ("form", "content", "where", "says"),
    [
        ("txt", b"mass\nround mass\n\nmass\n", "line 4", "repeats 'mass' of line 1."),
        ("txt", b"round mass\nRound  Mass\n", "line 2", "of line 1 but for case or blanks"),
        ("txt", "mass\nround mass\nround\u00a0mass".encode(), "line 3", "of line 2 but for case"),
        ("txt", b"mass\nma\x00ss\n", "line 2", "control character U+0000"),
        ("txt", b"mass\nround\tmass\n", "line 2", "control character U+0009"),
        ("txt", "mass\nround\u2028mass\n".encode(), "line 2", "control character U+2028"),
        ("txt", "mass\nround \u202emass\n".encode(), "line 2", "control character U+202E"),
        ("txt", b"mass\n" + b"a" * 301, "line 2", "301 characters"),
        ("csv", b"text,colour\nmass,red\n", "header", "unknown column 'colour'"),
        ("csv", b"category\nshape\n", "header", "no column 'text'"),
        ("csv", b"text,code_bi_rads,code_bi-rads\nmass,4,5\n", "header", "2 columns that mean 'code-bi-rads'"),
        ("csv", b"text,category\nmass\n", "row 1", "1 cells where the header has 2"),
        ("csv", b"text,category\nmass,shape\n,margin\n", "row 2", "has no text"),
        ("csv", b"text,mammographic\nmass,yes\n", "row 1", "mammographic value 'yes'"),
        ("csv", b"text,watched\nmass,\ndog,1\n", "row 2", "watched value '1'"),
        ("csv", b'text\nmass\n"round mass\n', "row 2", "not valid CSV"),
        ("csv", b'text\nmass\n"round\nmass"\n', "row 2", "control character U+000A"),
        ("csv", b"text,synonyms\nmass,lump|ma\x07ss\n", "row 1", "U+0007 in its synonym"),
        ("csv", b"text,category\nmass," + b"a" * 301, "row 1", "category of 301"),
        ("json", b'["mass",\n "round mass"', "line 2", "not JSON"),
        ("json", b'["mass", 3]', "entry 2", "neither a text nor an object"),
        ("yaml", b"- mass\n- no\n", "entry 2", "neither a text nor an object"),
        ("json", b'["mass", ""]', "entry 2", "has no text"),
        ("json", '["mass", "\u3000"]'.encode(), "entry 2", "has no text"),
        ("json", b'[{"category": "shape"}]', "entry 1", "has no text"),
        ("json", b'[{"text": 3}]', "entry 1", "text that is not a text"),
        ("json", b'["mass", {"text": "dog", "colour": 1}]', "entry 2", "unknown key 'colour'"),
        ("json", b'[{"text": "dog", "mammographic": "false"}]', "entry 1", "neither true nor false"),
        ("json", b'[{"text": "dog", "mammographic": 0}]', "entry 1", "neither true nor false"),
        ("json", b'["mass", {"text": "dog", "watched": "yes"}]', "entry 2", "watched value that is neither"),
        ("json", b'[{"text": "dog", "synonyms": "puppy"}]', "entry 1", "not a list of texts"),
        ("json", b'["mass", "ma\\ud800ss"]', "entry 2", "control character U+D800"),
        ("json", b'[{"text": "dog", "\\ud800": 1}]', "entry 1", "unknown key '\\ud800'"),
        ("jsonl", b'"mass"\n{"text": "dog", "text": "cat"}\n', "line 2", "has the key 'text' twice"),
    ],
)
def test_a_bad_line_is_named(form: Format, content: bytes, where: str, says: str) -> None:
    check_refused(form, content, where, says)


def check_refused(form: Format, content: bytes, where: str, says: str) -> None:
    with pytest.raises(InvalidConceptSet) as caught:
        parse_concept_set("mine", content, form)
    assert caught.value.field == "concepts"
    assert caught.value.value == where
    assert says in caught.value.detail
    assert caught.value.detail.startswith(where.capitalize())
    assert caught.value.remedy
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("form", "content", "says"),
    [
        ("txt", b"", "empty"),
        ("txt", "\n  \n\u3000\n\u00a0".encode(), "empty"),
        ("csv", b"", "empty"),
        ("csv", b"text,category\n", "empty"),
        ("json", b"[]", "empty"),
        ("json", b'{"text": "mass"}', "not a JSON list"),
        ("json", b'[{"text": "dog", "text": "cat"}]', "has the key 'text' twice in one object"),
        ("json", b"[" * 100_000, "not a JSON list"),
        ("json", b"[" + b"1" * 5_000 + b"]", "not a JSON list"),
        ("yaml", b"text: mass", "not a YAML list"),
        ("yaml", b"a: [1", "not valid YAML"),
        ("yaml", b"- &a mass\n- *a\n", "refers to a part of itself"),
    ],
)
def test_content_that_is_not_a_list_of_concepts_is_refused(form: Format, content: bytes, says: str) -> None:
    with pytest.raises(InvalidConceptSet, match=says):
        parse_concept_set("mine", content, form)


def test_the_longest_concept_and_the_largest_set_are_taken_and_not_one_more() -> None:
    assert parse_concept_set("long", "é" * 300, "txt").texts == ("é" * 300,)
    lines = [f"concept {number}" for number in range(MAX_CONCEPTS)]
    assert len(parse_concept_set("large", "\n".join(lines), "txt").concepts) == 20_000
    with pytest.raises(InvalidConceptSet, match=r"Entry 20001 is beyond the limit of 20,000 concepts\."):
        concept_set_from_entries("larger", [*lines, "one more"])


def test_joiners_are_part_of_a_persian_spelling() -> None:
    masses = "\u062a\u0648\u062f\u0647\u200c\u0647\u0627"
    assert parse_concept_set("fa", masses, "txt").texts == (masses,)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConceptSet, match=r"cannot be a '\.docx' file"):
        read_concept_set(tmp_path / "concepts.docx")
    with pytest.raises(InvalidConceptSet, match="cannot be opened: No such file"):
        read_concept_set(tmp_path / "nothing.txt")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InvalidConceptSet, match="cannot be opened: it is not a regular file"):
        read_concept_set(tmp_path / "folder.csv")
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(InvalidConceptSet, match="larger than 64 MiB"):
        read_concept_set(large)


@settings(deadline=None)
@given(content=st.one_of(st.binary(), st.text()), form=st.sampled_from(FORMATS))
def test_any_content_is_read_or_refused(content: bytes | str, form: Format) -> None:
    try:
        concept_set = parse_concept_set("any", content, form)
    except InvalidConceptSet:
        return
    assert concept_set.concepts
    assert all(text and text == text.strip() for text in concept_set.texts)


@settings(deadline=None)
@given(
    st.lists(
        st.text("ab cé,\"'|", min_size=1).map(str.strip).filter(bool), min_size=1, unique_by=lambda t: t.split()[0]
    )
)
def test_json_gives_back_what_was_written(texts: list[str]) -> None:
    distinct = list({" ".join(text.casefold().split()): text for text in texts}.values())
    assert list(parse_concept_set("any", json.dumps(distinct), "json").texts) == distinct
