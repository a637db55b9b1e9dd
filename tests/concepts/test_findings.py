from pathlib import Path

import pytest

from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import check_map, concepts_of_findings, match_findings, name_findings
from service.concepts.findings_map import builtin_map
from service.domain.concepts import Concept, ConceptSet
from service.domain.findings import LISTED, MatchedFinding, UnmatchedFinding, count_findings, findings_entry, parted
from service.domain.findings_map import FindingsMap
from service.domain.probes import Box, ProbeItem
from service.errors import InvalidFindingsMap
from service.probes.phantoms.plan import FINDINGS

CONCEPTS = ConceptSet(
    "small",
    (
        Concept("spiculated mass"),
        Concept("grouped calcifications", synonyms=("cluster of calcifications", "clustered calcifications")),
        Concept("dog", synonyms=("puppy",)),
        Concept("breast mass", synonyms=("Mass",)),
        Concept("large mass", synonyms=("mass",)),
    ),
)


def test_a_concept_names_a_finding_by_text_or_synonym_whatever_case_and_blanks() -> None:
    findings = ["Spiculated  Mass", "clustered calcifications", "mass", "nipple retraction"]
    assert name_findings(CONCEPTS, findings) == {
        0: "Spiculated  Mass",
        1: "clustered calcifications",
        3: "mass",
        4: "mass",
    }


def test_all_findings_that_are_names_of_a_concept_mean_it_its_text_first() -> None:
    findings = ["clustered calcifications", "cluster of calcifications", "breast mass", "mass"]
    assert name_findings(CONCEPTS, findings) == {
        1: "cluster of calcifications | clustered calcifications",
        3: "breast mass | mass",
        4: "mass",
    }


def test_findings_that_differ_in_case_only_are_one_whatever_their_order() -> None:
    for findings in (["dog", "Dog", "DOG"], ["DOG", "Dog", "dog"]):
        assert name_findings(CONCEPTS, findings) == {2: "DOG"}


def test_no_finding_names_nothing() -> None:
    assert name_findings(CONCEPTS, []) == {}


def test_the_built_in_concepts_name_every_finding_of_the_phantoms() -> None:
    named = name_findings(builtin_concept_set("bi-rads"), FINDINGS)
    assert sorted(named.values()) == sorted(FINDINGS)


def test_findings_become_concepts_with_the_categories_of_those_that_name_them() -> None:
    vocabulary = ConceptSet("v", (Concept("grouped calcifications", "calcification", synonyms=("cluster",)),))
    found = concepts_of_findings(["Cluster", "cluster", "oedema"], vocabulary)
    assert found.concepts == (Concept("Cluster", "calcification"), Concept("oedema"))


def own_map(**entries: str) -> FindingsMap:
    """Of one's own; a finding's blanks are written as underscores, several concepts are parted by `|`."""
    return FindingsMap(
        "/maps/own.csv",
        tuple(
            (finding.replace("_", " "), tuple(part for part in concepts.split("|") if part))
            for finding, concepts in entries.items()
        ),
    )


def test_the_strictest_way_decides_and_is_said() -> None:
    counts = {"mass - spiculated": 2, "SPICULATED MASS": 5, "dogs": 1, "malignant mass": 17}
    matches = match_findings(CONCEPTS, counts)
    assert matches.matched == (
        MatchedFinding("SPICULATED MASS", 5, (0,), "same"),
        MatchedFinding("mass - spiculated", 2, (0,), "word order"),
        MatchedFinding("dogs", 1, (2,), "plural"),
    )
    assert matches.unmatched == (UnmatchedFinding("malignant mass", 17, "names no concept"),)
    assert matches.of_concept == {0: "SPICULATED MASS | mass - spiculated", 2: "dogs"}
    assert not matches.is_plain


def test_an_exact_name_wins_over_one_that_is_only_alike() -> None:
    twins = ConceptSet("twins", (Concept("dilated duct"), Concept("dilated ducts"), Concept("dilated-duct")))
    for finding, concept in (("Dilated duct", 0), ("Dilated Ducts", 1), ("dilated-duct", 2), ("dilated\u2011duct", 2)):
        assert match_findings(twins, {finding: 1}).matched[0].concepts == (concept,)

    unmatched = match_findings(twins, {"duct, dilated": 3}).unmatched
    three = ("dilated duct", "dilated ducts", "dilated-duct")
    assert unmatched == (UnmatchedFinding("duct, dilated", 3, "could be several concepts", three),)


def test_names_that_are_the_concepts_own_are_plain() -> None:
    assert match_findings(CONCEPTS, {"Spiculated Mass": 1, "mass": 1, "unheard of": 1}).is_plain
    assert not match_findings(CONCEPTS, {"mass": 1, "breast mass": 1}).is_plain
    assert not match_findings(CONCEPTS, {"dog": 1}, own_map(dog="dog")).is_plain


def test_a_map_says_what_findings_mean_before_their_names_do() -> None:
    counts = {"lesion": 4, "dog": 3, "mass": 2, "Artefact": 1}
    matches = match_findings(CONCEPTS, counts, own_map(lesion="Spiculated masses|puppy", mass="", artefact="moon"))
    assert matches.matched == (
        MatchedFinding("lesion", 4, (0, 2), "map"),
        MatchedFinding("dog", 3, (2,), "same"),
    )
    assert matches.of_concept == {0: "lesion", 2: "dog | lesion"}
    assert matches.no_concept == (("mass", 2),)
    assert matches.unmatched == (UnmatchedFinding("Artefact", 1, "mapped to no concept of the set", ("moon",)),)
    assert matches.not_in_set == (("artefact", "moon"),)


def test_an_entry_of_the_map_is_found_by_another_spelling_but_after_an_exact_name() -> None:
    findings_map = own_map(round_shadow="dog", dogs="spiculated mass")
    matches = match_findings(CONCEPTS, {"Shadows, round": 2, "dog": 1}, findings_map)
    assert [(match.concepts, match.matched_by) for match in matches.matched] == [((2,), "map"), ((2,), "same")]

    contrary = FindingsMap("/maps/own.csv", (("round dim shadow", ("dog",)), ("dim, round shadow", ())))
    unmatched = match_findings(CONCEPTS, {"Shadow (dim, round)": 1}, contrary).unmatched
    assert unmatched == (UnmatchedFinding("Shadow (dim, round)", 1, "could be several concepts", ("dog",)),)


def test_entries_with_a_star_add_to_each_other() -> None:
    entries = (("*spicul*", ("spiculated mass",)), ("*cluster*", ("cluster",)), ("two*", ()), ("dog*", ("dog",)))
    counts = {"Mass with spiculae and CLUSTERS": 4, "two things": 3, "hot dog": 2, "dog-like": 1}
    matches = match_findings(
        ConceptSet("v", (*CONCEPTS.concepts, Concept("cluster"))), counts, FindingsMap("/maps/own.csv", entries)
    )
    assert [(match.finding, match.concepts) for match in matches.matched] == [
        ("Mass with spiculae and CLUSTERS", (0, 5)),
        ("dog-like", (2,)),
    ]
    assert (matches.no_concept, matches.unmatched[0].finding) == ((("two things", 3),), "hot dog")


def test_a_built_in_map_may_name_concepts_that_a_set_has_not() -> None:
    vindr = builtin_map("builtin:vindr")
    small = ConceptSet("small", (Concept("mass"), Concept("suspicious lymph node")))
    matches = match_findings(small, {"Suspicious Lymph Node": 3, "Skin Thickening": 2, "No Finding": 1}, vindr)
    assert matches.matched == (MatchedFinding("Suspicious Lymph Node", 3, (1,), "map"),)
    assert matches.unmatched == (UnmatchedFinding("Skin Thickening", 2, "names no concept"),)
    assert matches.no_concept == (("No Finding", 1),)
    assert ("Skin Thickening", "skin thickening") in matches.not_in_set
    check_map(small, vindr)


def test_one_s_own_map_has_to_name_concepts_of_the_set() -> None:
    check_map(CONCEPTS, own_map(lesion="masses, spiculated"))
    with pytest.raises(InvalidFindingsMap) as error:
        check_map(CONCEPTS, own_map(lesion="spiculate mas"))
    assert (error.value.field, error.value.value) == ("findings_map", "spiculate mas")
    assert "'lesion' means 'spiculate mas'" in str(error.value)
    assert "Near matches: spiculated mass" in str(error.value)


def item(row: int, findings: frozenset[str] | None, box: Box | None = None) -> ProbeItem:
    return ProbeItem(str(row), Path("image.png"), row, findings=findings, box=box)


def test_findings_are_counted_by_image_not_by_patch() -> None:
    mass, both = frozenset({"mass"}), frozenset({"mass", "clip"})
    patches = [item(1, both, Box(left, 0, 8, 8)) for left in (0, 8)]
    assert count_findings([*patches, item(2, mass), item(3, frozenset()), item(4, None)]) == {"mass": 2, "clip": 1}
    assert count_findings([item(1, None)]) is None
    assert count_findings([item(1, frozenset())]) == {}


def test_a_manifest_names_the_commonest_and_counts_all() -> None:
    counts = {f"thing {number}": number for number in range(1, LISTED + 51)}
    entry = findings_entry(match_findings(CONCEPTS, counts), CONCEPTS.texts)
    assert (entry["names"], entry["unmatched_names"], len(entry["unmatched"])) == (LISTED + 50, LISTED + 50, LISTED)
    assert entry["unmatched"][0] == {
        "finding": f"thing {LISTED + 50}",
        "images": LISTED + 50,
        "why": "names no concept",
        "concepts": [],
    }


def test_joined_findings_part_again() -> None:
    assert parted("mass | masses") == ("mass", "masses")
    assert parted("mass") == ("mass",)
