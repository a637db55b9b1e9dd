"""Which concepts an unmatched finding may mean."""

import pytest

from service.concepts.builtin import builtin_concept_set
from service.domain.related_words import RelatedConcepts

CONCEPTS = builtin_concept_set("bi-rads")
RELATED = RelatedConcepts(CONCEPTS.concepts)


def may_mean(finding: str) -> set[str]:
    return {CONCEPTS.texts[place] for place in RELATED.may_be_meant(finding)}


@pytest.mark.parametrize(
    ("finding", "may", "may_not"),
    [
        ("malignant mass", {"mass", "spiculated mass", "breast cancer"}, {"architectural distortion", "nipple"}),
        ("Suspicious Lymph Node", {"lymph node", "axillary adenopathy"}, {"mass", "implant"}),
        ("SPIC", {"spiculated mass", "mass"}, {"circumscribed mass", "calcifications"}),
        ("ARCH", {"architectural distortion"}, {"mass"}),
        ("microcalcs", {"microcalcifications"}, {"nipple"}),
        ("calcified lesion", {"calcifications"}, {"architectural distortion"}),
        ("stellate", {"spiculated mass"}, {"implant"}),
        ("oedema of the skin", {"skin edema", "skin thickening"}, {"implant"}),
        ("surgical metal", {"surgical clip"}, {"mass"}),
    ],
)
def test_words_in_common(finding: str, may: set[str], may_not: set[str]) -> None:
    meant = may_mean(finding)
    assert may <= meant
    assert not may_not & meant


@pytest.mark.parametrize("finding", ["nodule", "lesion", "cancer", "BENIGN", "MISC", "Befund", "Mikrokalk", "x", "---"])
def test_what_tells_nothing_may_mean_every_concept_but_everyday_things(finding: str) -> None:
    meant = may_mean(finding)
    assert {concept.text for concept in CONCEPTS.concepts if concept.mammographic is not False} <= meant
    assert "dog" not in meant


def test_an_everyday_thing_may_be_meant_by_its_own_word() -> None:
    assert "dog" in may_mean("dog bite")
