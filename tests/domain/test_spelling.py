"""The closed list of ways in which two spellings are alike."""

import pytest

from service.domain.spelling import WAYS, Way, singular, spelling_keys

ALIKE: list[tuple[str, str, Way]] = [
    ("Spiculated  Mass", "spiculated mass", "same"),
    ("SPICULATED\u00a0MASS", "spiculated mass", "same"),
    ("\ufb01ne linear calcifications", "fine linear calcifications", "same"),
    # Look-alike characters: dashes, apostrophes, letters of other scripts, characters that nobody sees.
    ("ill\u2011defined mass", "ill-defined mass", "look-alike characters"),
    ("ill\u2013defined mass", "ill-defined mass", "look-alike characters"),
    ("ill\u2014defined mass", "ill-defined mass", "look-alike characters"),
    ("ill\u2212defined mass", "ill-defined mass", "look-alike characters"),
    ("calci\u00adfications", "calcifications", "look-alike characters"),
    ("calci\u200bfications", "calcifications", "look-alike characters"),
    ("Cooper\u2019s ligaments", "Cooper's ligaments", "look-alike characters"),
    ("Cooper\u02bcs ligaments", "Cooper's ligaments", "look-alike characters"),
    ("\u041cass", "mass", "look-alike characters"),
    ("m\u0430ss", "mass", "look-alike characters"),
    ("\u039cass", "mass", "look-alike characters"),
    ("CALC\u0130F\u0130CAT\u0130ONS", "calcifications", "look-alike characters"),
    ("calc\u0131f\u0131cat\u0131ons", "calcifications", "look-alike characters"),
    # Dashes, blanks, apostrophes and other punctuation.
    ("ARCHITECTURAL_DISTORTION", "architectural distortion", "punctuation"),
    ("well-defined mass", "well defined mass", "punctuation"),
    ("well\u2010defined mass", "well defined mass", "punctuation"),
    ("micro-calcifications", "microcalcifications", "punctuation"),
    ("micro calcifications", "microcalcifications", "punctuation"),
    ("Paget\u2019s disease of the nipple", "paget disease of the nipple", "punctuation"),
    ("BIRADS 4A", "bi-rads 4a", "punctuation"),
    ("(mass)", "mass", "punctuation"),
    ("mass.", "mass", "punctuation"),
    ('"mass"', "mass", "punctuation"),
    # Singular and plural.
    ("masses", "mass", "plural"),
    ("calcification", "calcifications", "plural"),
    ("micro-calcification", "microcalcifications", "plural"),
    ("axillary adenopathies", "axillary adenopathy", "plural"),
    ("focal asymmetries", "focal asymmetry", "plural"),
    ("Lymph-Nodes", "lymph node", "plural"),
    ("nodal metastases", "nodal metastasis", "plural"),
    ("breast abscesses", "breast abscess", "plural"),
    ("axillae", "axilla", "plural"),
    # The order of words.
    ("mass, spiculated", "spiculated mass", "word order"),
    ("Mass (Spiculated)", "spiculated mass", "word order"),
    ("retraction of the nipple", "nipple retraction", "word order"),
    ("Calcification - vascular", "vascular calcifications", "word order"),
    ("lymph nodes, axillary, enlarged", "enlarged axillary lymph node", "word order"),
]

DIFFERENT = [
    ("mass without calcifications", "calcifications without mass"),
    ("mass with calcifications", "calcifications with mass"),
    ("calcifications within a mass", "mass within calcifications"),
    ("no mass", "mass"),
    ("grade 1-2", "grade 12"),
    ("HER2+", "HER2"),
    ("> 5 mm", "< 5 mm"),
    ("mass/calcification", "mass"),
    ("malignant mass", "mass"),
    ("fibrosis", "fibrosi"),
    ("oedema", "edema"),
]


@pytest.mark.parametrize(("one", "other", "way"), ALIKE)
def test_spellings_that_are_alike(one: str, other: str, way: Way) -> None:
    first = next(way for way in WAYS if set(spelling_keys(one, way)) & set(spelling_keys(other, way)))
    assert first == way, "the strictest way in which they are alike"


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_spellings_that_are_not(one: str, other: str) -> None:
    for way in WAYS:
        assert not set(spelling_keys(one, way)) & set(spelling_keys(other, way)), way


@pytest.mark.parametrize("word", ["mass", "fibrosis", "mastitis", "ductus", "gas", "cc", "necrosis", "abscess"])
def test_what_only_looks_like_a_plural_stays(word: str) -> None:
    assert singular(word) == word
