from service.concepts.diff import Change, Renaming, diff
from service.concepts.parse import concept_set_from_entries
from service.concepts.places import Entry
from service.domain.concepts import ConceptSet


def of(*entries: Entry) -> ConceptSet:
    return concept_set_from_entries("mine", entries)


def test_equal_sets_have_no_difference() -> None:
    found = diff(of("mass", "dog"), of("mass", "dog"))
    assert (found.added, found.removed, found.renamed, found.changed) == ((), (), (), ())
    assert (found.moved, found.same) == (0, 2)


def test_what_was_added_removed_moved_and_changed() -> None:
    before = of({"text": "mass", "category": "shape"}, "dog", "cat", {"text": "skin", "codes": {"radlex": "RID1"}})
    after = of("cat", {"text": "Mass", "category": "margin"}, "wolf", "skin")
    found = diff(before, after)
    assert (found.added, found.removed, found.renamed) == (("wolf",), ("dog",), ())
    assert found.changed == (
        Change("Mass", "text", "mass", "Mass"),
        Change("Mass", "category", "shape", "margin"),
        Change("skin", "codes", {"radlex": "RID1"}, None),
    )
    assert (found.moved, found.same) == (2, 1)


def test_what_may_have_been_renamed() -> None:
    before = of("calcification", "fibro-adenoma", "mass of skin", {"text": "lump", "synonyms": ["nodule"]}, "old")
    after = of("calcifications", "fibroadenoma", "skin mass", "nodule", "new")
    assert diff(before, after).renamed == (
        Renaming("fibro-adenoma", "fibroadenoma", "punctuation"),
        Renaming("calcification", "calcifications", "plural"),
        Renaming("mass of skin", "skin mass", "word order"),
        Renaming("lump", "nodule", "synonym"),
    )


def test_nothing_is_called_renamed_that_could_be_two_things() -> None:
    found = diff(of("skin mass", "dog"), of("mass skin", "mass of skin", "dog"))
    assert found.renamed == ()
    assert found.added == ("mass skin", "mass of skin")
