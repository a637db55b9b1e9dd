from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import concepts_of_findings, name_findings
from service.domain.concepts import Concept, ConceptSet
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


def test_the_text_comes_before_the_synonyms_and_these_in_their_order() -> None:
    findings = ["clustered calcifications", "cluster of calcifications", "breast mass", "mass"]
    assert name_findings(CONCEPTS, findings) == {1: "cluster of calcifications", 3: "breast mass", 4: "mass"}


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
