from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from service.concepts.builtin import BUILTIN, builtin_concept_set
from service.concepts.lint import Weakness, lint
from service.errors import NotFound
from service.probes.phantoms.plan import FINDINGS

UNCLEAN: set[Weakness] = {"look-alike characters", "near duplicate", "two categories"}
"""What no built-in set may have. Reports speak of sides and of what changed, and so does the vocabulary."""

BI_RADS = builtin_concept_set("bi-rads")
DOCUMENT = Path(__file__).parents[2] / "docs" / "concept-sets.md"


def test_every_built_in_set_is_clean() -> None:
    for name in BUILTIN:
        concept_set = builtin_concept_set(name)
        assert concept_set.name == name
        assert [remark for remark in lint(concept_set) if remark.weakness in UNCLEAN] == []
        for concept in concept_set.concepts:
            assert concept.text == concept.text.lower()
            assert None not in (concept.category, concept.broad_category, concept.mammographic), concept.text


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="Built in: bi-rads"):
        builtin_concept_set("birads")


def test_bi_rads_is_large_enough_and_has_a_control_group() -> None:
    everyday = [concept for concept in BI_RADS.concepts if concept.broad_category == "non-medical"]
    assert len(BI_RADS.concepts) >= 380
    assert len(everyday) >= 60
    for concept in BI_RADS.concepts:
        assert concept.mammographic is (concept.broad_category not in {"non-medical", "other medical images"})


def test_bi_rads_watches_what_should_not_drive_a_diagnosis() -> None:
    categories = {"view and laterality", "markers and labels", "image quality and artefacts", "implants"}
    for concept in BI_RADS.concepts:
        expected = concept.category in {*categories, "clips and devices"} or concept.mammographic is False
        assert concept.watched is (expected or concept.text == "axillary surgical clips"), concept.text


def test_concepts_of_a_category_stand_together() -> None:
    runs = [category for category, _ in groupby(concept.category for concept in BI_RADS.concepts)]
    assert len(runs) == len(set(runs))


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_of_the_phantoms_has_a_concept(finding: str) -> None:
    assert any(finding in {concept.text, *concept.synonyms} for concept in BI_RADS.concepts)


def test_the_lexicon_s_descriptors_are_all_there() -> None:
    names = {name for concept in BI_RADS.concepts for name in (concept.text, *concept.synonyms)}
    masses = "round oval irregular circumscribed obscured microlobulated indistinct spiculated"
    assert names >= {f"{word} mass" for word in [*masses.split(), "high density", "equal density", "low density"]}
    assert "fat containing mass" in names
    calcifications = [
        "amorphous",
        "coarse heterogeneous",
        "fine pleomorphic",
        "fine linear branching",
        "skin",
        "vascular",
    ]
    calcifications += [
        "popcorn",
        "large rod like",
        "round",
        "punctate",
        "rim",
        "dystrophic",
        "milk of calcium",
        "suture",
    ]
    calcifications += ["diffuse", "regional", "grouped", "linear", "segmental"]
    assert names >= {f"{word} calcifications" for word in calcifications}
    assert names >= {"asymmetry", "focal asymmetry", "global asymmetry", "developing asymmetry"}
    assert names >= {f"breast composition {letter}" for letter in "abcd"}
    assert names >= {f"bi-rads category {digit}" for digit in "023456"}
    assert names >= {"cc view", "mlo view", "left breast", "right breast", "biopsy clip", "skin marker"}


def test_the_document_counts_what_the_data_hold() -> None:
    counts = Counter((concept.broad_category, concept.category) for concept in BI_RADS.concepts)
    table = [f"| {broad} | {category} | {count} |" for (broad, category), count in counts.items()]
    table.append(f"| | total | {len(BI_RADS.concepts)} |")
    assert "\n".join(table) in DOCUMENT.read_text(encoding="utf-8")
