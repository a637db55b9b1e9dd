"""Coverage, missing concepts and the watch-list, against counts made by hand."""

from dataclasses import replace
from math import sqrt

import pytest

from service.analysis.coverage import NOT_ASKED, CategoryCoverage, LayerCount, MissingConcept, cover
from service.analysis.watch_list import Response, watch
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import LayerNull, Qualification, QualificationStatus, Watched
from service.domain.neurons import LayerDissection
from tests.analysis.invented import (
    CALCIFICATIONS,
    CLIP,
    CONCEPTS,
    DOG,
    EVIDENCE,
    MASS,
    OVAL,
    SOMETHING,
    layer,
    near,
    unit,
)

MUST_HAVE = [
    ("round mass", MASS),
    ("oval mass", OVAL),
    ("clustered calcifications", CALCIFICATIONS),
    ("surgical clip", CLIP),
    ("dog", DOG),
    ("nipple retraction", None),
]


SHOWN = replace(
    CONCEPTS,
    concepts=tuple(replace(concept, mammographic=concept.mammographic or None) for concept in CONCEPTS.concepts),
)
"""The same set, of which a mammogram may show everything."""

OFTEN_BOTH = [MASS] * 6 + [CLIP] * 2 + [DOG] * 2
SELDOM_DOG = [CLIP] * 9 + [DOG]


def null(**shares: float) -> LayerNull:
    texts = {"mass": MASS, "dog": DOG, "something": SOMETHING}
    return LayerNull(100, 0.0, 1.0, (), tuple((texts[name], share) for name, share in shares.items()))


# Two layers: 4 and 2 tested units, of which 2 and 1 are significant; one dead unit.
LAYERS = [
    LayerDissection(
        "a",
        (
            unit(0, MASS),
            unit(1, SOMETHING),
            unit(2, OVAL, significant=False),
            unit(3, DOG, significant=False),
            unit(4, None),
        ),
        null(mass=0.25, dog=0.75),
    ),
    LayerDissection("b", (unit(0, MASS), unit(1, CLIP, significant=False)), null(mass=0.5, something=0.5)),
]


def test_observed_neurons_stand_beside_those_that_chance_would_give() -> None:
    found = cover(LAYERS, CONCEPTS, EVIDENCE, ())
    assert (found.refused, found.units, found.tested, found.significant, found.uncategorised) == (None, 7, 6, 3, 1)
    by_text = {concept.text: concept for concept in found.concepts}
    # 4 units x 0.01 x 0.25 = 0.01, and 2 x 0.01 x 0.5 = 0.01.
    assert by_text["round mass"].layers == (
        LayerCount("a", 1, near(0.01)),
        LayerCount("b", 1, near(0.01)),
    )
    assert (by_text["round mass"].neurons, by_text["round mass"].expected) == (2, near(0.02))
    assert (by_text["dog"].neurons, by_text["dog"].expected) == (0, near(0.03))
    assert (by_text["oval mass"].neurons, by_text["oval mass"].expected, by_text["oval mass"].layers) == (0, 0, ())
    assert found.categories[0] == CategoryCoverage(
        name="mass",
        concepts=2,
        represented=1,
        share=0.5,
        neurons=2,
        expected=near(0.02),
        layers=by_text["round mass"].layers,
    )
    assert [(one.name, one.share) for one in found.broad_categories] == [
        ("findings", near(1 / 3)),
        ("technique", 0.0),
        ("everyday", 0.0),
    ]


def test_nothing_is_expected_where_nothing_is_significant() -> None:
    found = cover(LAYERS[1:], CONCEPTS, replace(EVIDENCE, largest_p=None), ())
    assert all(concept.expected == 0.0 for concept in found.concepts)


def qualification(concept: int, verdict: QualificationStatus) -> Qualification:
    return Qualification(concept, CONCEPTS.concepts[concept].text, "a finding", verdict, 10, 10)


def test_a_missing_concept_comes_with_its_reason() -> None:
    known = replace(
        EVIDENCE,
        findings=("a finding",),
        qualifications=(
            qualification(MASS, "untestable"),
            qualification(OVAL, "qualified"),
            qualification(CALCIFICATIONS, "untestable"),
            qualification(CLIP, "absent"),
        ),
    )
    found = cover(LAYERS, CONCEPTS, known, MUST_HAVE)
    assert found.must_have == 6
    assert found.missing == (
        MissingConcept("oval mass", OVAL, "not represented", "mass", 2),
        MissingConcept("clustered calcifications", CALCIFICATIONS, "untestable", "calcification", 0),
        MissingConcept("surgical clip", CLIP, "absent from the probe set", "devices", 0),
        MissingConcept("dog", DOG, "absent from the probe set", "animals", 0),
        MissingConcept("nipple retraction", None, "not in the concept set", None, 0),
    )


@pytest.mark.parametrize(
    ("unmatched", "perhaps"),
    [
        ((), set()),
        (("metal clip",), {"surgical clip"}),
        (("malignant mass",), set()),
        (("Befund",), {"surgical clip"}),
        (("Befund", "dogs"), {"surgical clip", "dog"}),
    ],
)
def test_nothing_is_called_absent_that_an_unmatched_finding_may_mean(
    unmatched: tuple[str, ...], perhaps: set[str]
) -> None:
    known = replace(
        EVIDENCE,
        findings=("a finding", "rubbish", *unmatched),
        no_concept=("rubbish",),
        qualifications=(
            qualification(MASS, "untestable"),
            qualification(OVAL, "qualified"),
            qualification(CALCIFICATIONS, "untestable"),
            qualification(CLIP, "absent"),
        ),
    )
    assert known.unmatched == unmatched
    found = {missing.text: missing for missing in cover(LAYERS, CONCEPTS, known, MUST_HAVE).missing}
    for text in ("surgical clip", "dog"):
        if text in perhaps:
            assert found[text].reason == "unmatched findings may mean it"
            assert set(found[text].findings) <= set(unmatched)
            assert found[text].findings
        else:
            assert (found[text].reason, found[text].findings) == ("absent from the probe set", ())
    assert found["oval mass"].reason == "not represented"
    assert found["clustered calcifications"].reason == "untestable"


def test_of_very_many_unmatched_findings_any_concept_may_be_meant() -> None:
    many = tuple(f"malignant mass {number}" for number in range(6_000))
    found = cover(LAYERS, CONCEPTS, replace(EVIDENCE, findings=many), [("surgical clip", CLIP)])
    assert found.missing == (MissingConcept("surgical clip", CLIP, "unmatched findings may mean it", "devices", 0),)


def test_evidence_of_earlier_releases_names_what_it_left_unmatched() -> None:
    joined = replace(qualification(MASS, "qualified"), finding="mass | masses")
    known = replace(EVIDENCE, findings=("clip", "mass", "masses"), qualifications=(joined,))
    assert known.unmatched == ("clip",)
    assert replace(known, findings=None).unmatched == ()


def test_without_findings_nobody_knows_why_a_concept_is_missing() -> None:
    found = cover(LAYERS, CONCEPTS, EVIDENCE, MUST_HAVE)
    assert [one.reason for one in found.missing] == ["not known"] * 4 + ["not in the concept set"]


def test_nothing_is_called_missing_where_nothing_was_inferred() -> None:
    bare = [layer("a", MASS, significant=None)]
    for evidence, why in ((None, NOT_ASKED), (replace(EVIDENCE, refused="Only 7 exams."), "Only 7 exams.")):
        found = cover(bare, CONCEPTS, evidence, MUST_HAVE)
        assert (found.refused, found.units, found.tested, found.missing, found.concepts) == (why, 1, 0, (), ())
        listed = watch(bare, CONCEPTS, evidence)
        assert (listed.refused, listed.live, listed.share, listed.neurons) == (why, 1, None, ())


def test_dead_layers_and_concepts_without_categories() -> None:
    plain = ConceptSet("plain", tuple(Concept(text) for text in CONCEPTS.texts))
    found = cover([layer("a", None, None)], plain, EVIDENCE, [("round mass", MASS)])
    assert (found.units, found.tested, found.significant, found.categories, found.uncategorised) == (2, 0, 0, (), 6)
    assert found.missing == (MissingConcept("round mass", MASS, "not known", None, 0),)
    listed = watch([layer("a", None, None)], plain, EVIDENCE)
    assert (listed.watched, listed.live, listed.share, listed.neurons, listed.concepts) == (0, 0, None, (), ())


def response(concept: int, z: float, q: float | None) -> Watched:
    return Watched(concept, CONCEPTS.concepts[concept].text, 0.001, z, q)


def test_the_watch_list_ranks_neurons_by_z_in_all_and_for_each_concept() -> None:
    layers = [
        LayerDissection(
            "a",
            (
                unit(0, MASS, watched=[response(DOG, 3.0, 0.05), response(CLIP, 5.0, 0.01)], resampled=OFTEN_BOTH),
                unit(1, CLIP, watched=[response(CLIP, 5.0, 0.01), response(DOG, 5.0, 0.01)], resampled=SELDOM_DOG),
                unit(2, MASS, watched=[response(CLIP, 9.0, 0.06), response(DOG, 9.0, None)]),
                unit(3, None),
            ),
        ),
        LayerDissection("b", (unit(0, DOG, significant=False, watched=[response(DOG, 7.0, 0.02)]),)),
    ]
    found = watch(layers, SHOWN, EVIDENCE)
    assert (found.refused, found.watched, found.live, found.share) == (None, 2, 4, 0.75)
    assert [(one.layer, one.unit, one.label) for one in found.neurons] == [
        ("b", 0, "no concept"),
        ("a", 0, "round mass"),
        ("a", 1, "surgical clip"),
    ]
    assert [one.concept for one in found.neurons[1].responses] == [CLIP, DOG]
    dog, clip = found.concepts
    assert (dog.text, dog.category, dog.share) == ("dog", "animals", 0.5)
    assert dog.neurons == (Response("b", 0, 0.001, 7.0, 0.02), Response("a", 0, 0.001, 3.0, 0.05))
    assert (clip.share, [one.unit for one in clip.neurons]) == (0.5, [0, 1])


def test_other_exams_would_have_given_so_many_neurons() -> None:
    """Two units of layer a change places between mass and dog; one of layer b is a mass in half of the resamples."""
    first = unit(0, MASS, resampled=[MASS, MASS, DOG, DOG])
    second = unit(1, DOG, resampled=[DOG, DOG, MASS, MASS])
    third = unit(0, MASS, resampled=[MASS, DOG, MASS, DOG])
    unlabelled = unit(1, MASS, significant=False, resampled=[MASS, CLIP, MASS, CLIP])
    layers = [
        LayerDissection("a", (first, second)),
        LayerDissection("b", (third, unlabelled, unit(2, None))),
        LayerDissection("dead", (unit(0, None),)),
    ]
    found = cover(layers, CONCEPTS, EVIDENCE, ())
    mass, dog = found.concepts[MASS], found.concepts[DOG]
    # Masses: 2, 1, 2, 1, with a standard deviation of sqrt(1 / 3), and dogs 1, 2, 1, 2.
    noise = 1.959964 * sqrt(1 / 3)
    assert (mass.neurons, mass.low, mass.high) == (2, near(2 - noise), near(2 + noise))
    assert (dog.neurons, dog.low, dog.high) == (1, 0.0, near(1 + noise))
    assert (found.concepts[CLIP].low, found.concepts[CLIP].high) == (0.0, 0.0)
    findings = next(category for category in found.broad_categories if category.name == "findings")
    assert (findings.neurons, findings.low, findings.high) == (2, near(2 - noise), near(2 + noise))


def test_without_resamples_or_with_uneven_ones_there_is_no_interval() -> None:
    (mass, *_) = cover(LAYERS, CONCEPTS, EVIDENCE, ()).concepts
    assert (mass.low, mass.high) == (None, None)
    uneven = [*LAYERS, LayerDissection("c", (unit(0, MASS, resampled=[MASS] * 4),))]
    (mass, *_) = cover(uneven, CONCEPTS, EVIDENCE, ()).concepts
    assert (mass.low, mass.high) == (None, None)
