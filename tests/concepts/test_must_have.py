from pathlib import Path

import pytest

from service.concepts.builtin import builtin_concept_set
from service.concepts.must_have import match_concepts, read_must_have
from service.domain.concepts import Concept, ConceptSet
from service.errors import InvalidConceptSet


def test_the_list_that_comes_along_is_in_the_built_in_set() -> None:
    bi_rads = builtin_concept_set("bi-rads")
    matched = match_concepts(bi_rads, read_must_have())
    assert [text for text, index in matched if index is None] == []
    indices = {index for _, index in matched}
    assert len(indices) == len(matched) > 30
    assert not any(concept.watched for index, concept in enumerate(bi_rads.concepts) if index in indices)


def test_a_text_means_a_concept_by_its_text_or_else_by_the_first_such_synonym() -> None:
    concepts = ConceptSet(
        "small",
        (
            Concept("lump", synonyms=("breast mass", "mass")),
            Concept("tumour", synonyms=("breast mass",)),
            Concept("Mass"),
        ),
    )
    texts = ["MASS", "Breast  Mass", "tumour", "dog"]
    assert match_concepts(concepts, texts) == (("MASS", 2), ("Breast  Mass", 0), ("tumour", 1), ("dog", None))


def test_a_list_of_one_s_own(tmp_path: Path) -> None:
    own = tmp_path / "ward.csv"
    own.write_text("text,category\nspiculated mass,mass\nskin thickening,skin\n")
    assert read_must_have(own) == ("spiculated mass", "skin thickening")
    own.write_text("text,category\nspiculated mass,mass\nspiculated mass,skin\n")
    with pytest.raises(InvalidConceptSet, match="Row 2 repeats 'spiculated mass' of row 1"):
        read_must_have(own)
    with pytest.raises(InvalidConceptSet, match="cannot be opened"):
        read_must_have(tmp_path / "missing.txt")
