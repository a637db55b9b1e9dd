import csv
import io

import pytest

from service.concepts.categories import CategoryRow, parse_category_sheet, parse_category_table, with_categories
from service.concepts.parse import parse_concept_set
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
    content = b"\xef\xbb\xbfcategory,text,broad_category\r\nshape,round mass, findings\r\n\r\nanimals,dog ,everyday\r\n"
    assert parse_category_table(content) == (
        CategoryRow("round mass", "shape", " findings"),
        CategoryRow("dog ", "animals", "everyday"),
    )


def test_a_sheet_is_read_column_after_column() -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["shape", "margin"], ["round", "sharp"], ["", "blurred"], ["oval, long", ""]])
    assert parse_category_sheet(text.getvalue(), " Findings") == (
        CategoryRow("round", "shape", " Findings"),
        CategoryRow("oval, long", "shape", " Findings"),
        CategoryRow("sharp", "margin", " Findings"),
        CategoryRow("blurred", "margin", " Findings"),
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Line 1 is not the header"),
        (b"text,category\nround,shape\n", "Line 1 is not the header"),
        (b"text,category,broad_category\nround,shape\n", "Line 2 has 2 cells"),
        (b"text,category,broad_category\nround,shape,find\x00ings\n", "Line 2 holds the control character"),
        (b"text,category,broad_category\nr\xf6und,shape,findings\n", "Line 2 is not UTF-8"),
    ],
)
def test_a_bad_table_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(InvalidConceptSet, match=says):
        parse_category_table(content)


def test_a_bad_sheet_is_refused() -> None:
    with pytest.raises(InvalidConceptSet, match="Line 1 holds no categories"):
        parse_category_sheet("", "findings")
    with pytest.raises(InvalidConceptSet, match="Line 3 has more cells"):
        parse_category_sheet("shape\nround\noval,long\n", "findings")
