import pytest

from service.concepts.categories import CategoryRow, fit_of
from service.concepts.lint import Remark, Weakness, lint, of_cut_texts, of_near_embeddings, of_several_places
from service.concepts.parse import concept_set_from_entries
from service.concepts.places import Entry

PLACES = (CategoryRow("dog", "b", "a"), CategoryRow("dog", "d", "c"))


def remarks(*entries: Entry) -> list[Remark]:
    return list(lint(concept_set_from_entries("mine", entries)))


@pytest.mark.parametrize(
    ("text", "weakness", "words"),
    [
        ("no mass", "negation", ("no",)),
        ("No suspicious calcifications", "negation", ("no",)),
        ("mass without calcification", "negation", ("without",)),
        ("absence of distortion", "negation", ("absence",)),
        ("negative mammogram", "negation", ("negative",)),
        ("nipple isn\u2019t in profile", "negation", ("isn't",)),
        ("left breast", "laterality", ("left",)),
        ("Right-sided implant", "laterality", ("right-sided",)),
        ("bilateral masses", "laterality", ("bilateral",)),
        ("LMLO view", "laterality", ("lmlo",)),
        ("unchanged mass", "time", ("unchanged",)),
        ("new calcifications", "time", ("new",)),
        ("mass, stable since prior", "time", ("stable", "since", "prior")),
        ("history of surgery", "time", ("history of",)),
        ("possible mass", "uncertainty", ("possible",)),
        ("probably benign", "uncertainty", ("probably",)),
        ("malignancy cannot be excluded", "uncertainty", ("cannot be excluded",)),
        ("mass suspicious for cancer", "uncertainty", ("suspicious for",)),
    ],
)
def test_words_that_an_image_does_not_show(text: str, weakness: Weakness, words: tuple[str, ...]) -> None:
    of_kind = [remark for remark in remarks("dog", text) if remark.weakness == weakness]
    assert [(remark.concepts, remark.because) for remark in of_kind] == [((text,), words)]
    assert f"'{text}'" in of_kind[0].detail


@pytest.mark.parametrize(
    "text",
    ["nodule", "knot", "notch", "upright", "cleft", "newborn", "renewal", "maypole", "nonmass", "mass", "unknown"],
)
def test_words_are_whole_words(text: str) -> None:
    assert remarks(text) == []


def test_things_that_no_mammogram_shows_may_say_anything() -> None:
    assert remarks({"text": "old sheepdog", "mammographic": False}) == []


@pytest.mark.parametrize(
    ("texts", "way"),
    [
        (("fibro-adenoma", "fibroadenoma"), "punctuation"),
        (("fibro\u2013adenoma", "fibro-adenoma"), "look-alike characters"),
        (("calcification", "calcifications"), "plural"),
        (("skin mass", "mass of the skin"), "word order"),
        (("Cooper's ligament", "cooper ligament"), "punctuation"),
    ],
)
def test_near_duplicates_by_spelling(texts: tuple[str, ...], way: str) -> None:
    near = [remark for remark in remarks(*texts, "dog") if remark.weakness == "near duplicate"]
    assert [(remark.concepts, remark.because) for remark in near] == [(texts, (way,))]


def test_a_synonym_that_is_another_concept() -> None:
    found = remarks("nodule", {"text": "mass", "synonyms": ["lump", "Nodule"]}, {"text": "knot", "synonyms": ["lump"]})
    assert [(remark.concepts, remark.because) for remark in found] == [
        (("nodule", "mass"), ("Nodule",)),
        (("mass", "knot"), ("lump",)),
    ]


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("m\u0430ss", ("U+0430",)),
        ("fibro\u2011adenoma", ("U+2011",)),
        ("Cooper\u2019s ligament", ("U+2019",)),
        ("masse \u00e0 contours", ()),
        ("\u043c\u0430\u0441\u0441\u0430", ()),
        ("Verkalkung \u00fcber 5 mm", ()),
    ],
)
def test_characters_that_look_like_others(text: str, characters: tuple[str, ...]) -> None:
    odd = [remark.because for remark in remarks(text) if remark.weakness == "look-alike characters"]
    assert odd == ([characters] if characters else [])


def test_a_category_in_two_broad_categories() -> None:
    found = remarks(
        {"text": "dog", "category": "animals", "broad_category": "everyday"},
        {"text": "cat", "category": "animals"},
        {"text": "mass", "category": "shape", "broad_category": "findings"},
    )
    assert [remark.concepts for remark in found] == [("dog", "cat")]
    assert found[0].detail == "The category 'animals' is in 'everyday' and in no broad category, as of 'dog' and 'cat'."


def test_what_tables_and_dissectors_tell() -> None:
    (several,) = of_several_places(fit_of(concept_set_from_entries("mine", ["dog"]), PLACES))
    assert (several.weakness, several.detail) == (
        "two categories",
        "'dog' stands in 2 places of the table of categories; 'c / d' counts.",
    )
    (cut,) = of_cut_texts([("a long text", 90, 77)])
    assert (cut.weakness, cut.detail) == ("cut text", "Of 'a long text' the dissector reads 77 of 90 tokens.")
    (near,) = of_near_embeddings([("dog", "hound", 0.9912)])
    assert (near.weakness, near.concepts, near.because) == ("near duplicate", ("dog", "hound"), ("0.991",))
