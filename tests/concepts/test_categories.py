import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from service.concepts.categories import CategoryRow, categorised, parse_categories, with_categories
from service.concepts.parse import parse_concept_set, read_concept_set
from service.domain.concepts import Concept, ConceptSet
from service.errors import InvalidConceptSet

PLAIN = parse_concept_set("plain", "round mass\ndog\nskin\ncat", "txt")


def test_the_last_row_wins_and_texts_match_to_the_character() -> None:
    rows = [
        CategoryRow("dog", "shape", "findings"),
        CategoryRow("dog", "animals", "everyday"),
        CategoryRow("round mass", "shape", " findings"),
        CategoryRow("round mass", "margin", " findings"),
        CategoryRow("skin ", "organ", "anatomy"),
        CategoryRow("Skin", "organ", "anatomy"),
        CategoryRow("unknown", "organ", "anatomy"),
    ]
    assert with_categories(PLAIN, rows) == ConceptSet(
        "plain",
        (
            Concept("round mass", "margin", " findings"),
            Concept("dog", "animals", "everyday"),
            Concept("skin"),
            Concept("cat"),
        ),
    )


def test_control_categories_set_the_flag_of_the_concepts_that_rows_name() -> None:
    rows = [CategoryRow("dog", "animals", "everyday"), CategoryRow("skin", "organ", "anatomy")]
    joined = with_categories(PLAIN, rows, control={"everyday"})
    assert [concept.mammographic for concept in joined.concepts] == [None, False, True, None]
    assert [concept.watched for concept in joined.concepts] == [False, True, False, False]


def test_a_concept_that_no_row_names_keeps_its_own_categories_and_synonyms() -> None:
    own = ConceptSet(
        "own", (Concept("dog", "animals", "everyday", False, ("puppy",)), Concept("cat", synonyms=("kitten",)))
    )
    joined = with_categories(own, [CategoryRow("cat", "pets", "home")])
    assert joined.concepts == (own.concepts[0], Concept("cat", "pets", "home", None, ("kitten",)))


def test_a_table_is_read_as_it_is_written() -> None:
    content = "\ufeffcategory;text;broad_category\r\nshape;round mass; findings\r\n;;\r\nanimals;dog ;everyday\r\n"
    table = parse_categories(content.encode(), ".csv")
    assert table.rows == (
        CategoryRow("round mass", "shape", " findings"),
        CategoryRow("dog ", "animals", "everyday"),
    )
    assert table.notes == ("Its cells are separated by semicolons.",)


def workbook(**sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for cells in rows:
            sheet.append(cells)
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def test_a_workbook_is_walked_sheet_by_sheet_and_column_by_column() -> None:
    findings: list[list[Any]] = [
        ["shape", "margin "],
        ["round", "sharp"],
        [None, "blurred "],
        ["oval, long", None],
        [7, None],
    ]
    sheets: dict[str, list[list[Any]]] = {" Findings": findings, "Empty": [], "Animals": [["pets"], ["round"]]}
    table = parse_categories(workbook(**sheets), ".xlsx")
    assert table.rows == (
        CategoryRow("round", "shape", " Findings"),
        CategoryRow("oval, long", "shape", " Findings"),
        CategoryRow("7", "shape", " Findings"),
        CategoryRow("sharp", "margin ", " Findings"),
        CategoryRow("blurred ", "margin ", " Findings"),
        CategoryRow("round", "pets", "Animals"),
    )
    assert table.notes == ("The categories are those of the sheets ' Findings', 'Animals'.",)


def test_a_workbook_with_the_columns_of_a_table_is_one() -> None:
    rows = [["text", "category", "broad_category"], ["dog", "animals", "everyday"]]
    table = parse_categories(workbook(Sheet=rows, Notes=[["text"], ["of ours"]]), ".xlsx")
    assert table.rows == (CategoryRow("dog", "animals", "everyday"),)
    assert table.notes == ("Sheet 'Sheet' is read; not read: 'Notes'.",)


def test_a_list_and_its_workbook_give_the_set_and_say_how_they_fit(tmp_path: Path) -> None:
    (tmp_path / "concepts.txt").write_text("round mass\ndog\nskin\ncat\n")
    sheets = {
        "Findings": [["shape", "animal"], ["round mass", "dog"], ["round mass"]],
        "Everyday": [["animals"], ["dog"], ["wolf"]],
    }
    (tmp_path / "categories.xlsx").write_bytes(workbook(**sheets))

    plain = read_concept_set(tmp_path / "concepts.txt")
    joined, fit = categorised(plain, tmp_path / "categories.xlsx", control=["Everyday"])
    assert joined.concepts[:2] == (
        Concept("round mass", "shape", "Findings", True),
        Concept("dog", "animals", "Everyday", False, watched=True),
    )
    assert joined.notes == ("The categories are those of the sheets 'Findings', 'Everyday'.",)
    assert fit == {
        "several": [{"text": "dog", "places": ["Findings / animal", "Everyday / animals"]}],
        "several_concepts": 1,
        "without": ["skin", "cat"],
        "without_concepts": 2,
        "unused": ["wolf"],
        "unused_texts": 1,
    }

    with pytest.raises(InvalidConceptSet, match="no broad category 'everyday'") as caught:
        categorised(plain, tmp_path / "categories.xlsx", control=["everyday"])
    assert "'Everyday'" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("content", "ending", "says"),
    [
        (b"", ".csv", "its columns are none"),
        (b"text,category\ndog,animals\n", ".csv", "its columns are text, category"),
        (b"text,category,broad_category\ndog,animals\n", ".csv", "Row 1 has 2 cells"),
        (b"text,category,broad_category\ndo\x07g,a,b\n", ".csv", "U+0007"),
        (workbook(F=[["shape"], ["round", "sharp"]]), ".xlsx", "Cell B2 of sheet 'F' has no category above it"),
        (workbook(F=[["shape", None, "x"], ["round", "sharp"]]), ".xlsx", "Cell B2 of sheet 'F'"),
        (workbook(F=[["shape"], ["=A1"]]), ".xlsx", "cell A2 of sheet 'F'"),
        (workbook(F=[["shape"], ["a" * 301]]), ".xlsx", "301 characters"),
        (b"no workbook", ".xlsx", "not an .xlsx file"),
    ],
)
def test_a_bad_table_is_refused(content: bytes, ending: str, says: str) -> None:
    with pytest.raises(InvalidConceptSet) as caught:
        parse_categories(content, ending)
    assert says in caught.value.detail
    assert caught.value.remedy


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "categories.docx").write_bytes(b"")
    with pytest.raises(InvalidConceptSet, match=r"cannot be a '\.docx' file"):
        categorised(PLAIN, tmp_path / "categories.docx")
