"""Prompts: what is refused, and which texts a concept has."""

from collections.abc import Sequence

import pytest

from service.concepts.builtin import builtin_concept_set
from service.domain import prompts as module
from service.domain.concepts import Concept, ConceptSet
from service.domain.methods import Method
from service.domain.prompts import Prompts, check_texts, texts_digest
from service.errors import InvalidConceptSet, InvalidInput

MASS = Concept("mass", synonyms=("lesion", "Mass ", "nodule"))


def concepts(*entries: Concept) -> ConceptSet:
    return ConceptSet("words", entries)


@pytest.mark.parametrize(
    ("templates", "said", "instead"),
    [
        ([], "There are 0 templates", ["a {}"]),
        ([f"{number} {{}}" for number in range(101)], "There are 101 templates", ["a {}"]),
        (["a mammogram"], "no place for a concept's name", ["a mammogram showing {}"]),
        (["a {concept}"], "no place for a concept's name", ["a mammogram showing {}"]),
        (["{} beside {}"], "2 places", ["a mammogram showing {}"]),
        (["a {} of {breast}"], "braces beside", ["a {} of breast"]),
        (["a {} }"], "braces beside", ["a {}"]),
        (["x" * 299 + "{}"], "301 characters", ["x" * 298 + "{}"]),
        (["a\u200b {}"], "U+200B", ["a {}"]),
        (["a\n{}"], "U+000A", ["a {}"]),
        (["a {}", "a {}"], "stands twice in the list", ["a {}"]),
        (["a {}", "b {}", " A  {}"], "repeats 'a {}' but for case or blanks", ["a {}", "b {}"]),
    ],
)
def test_templates_that_cannot_be_used(templates: Sequence[str], said: str, instead: Sequence[str]) -> None:
    with pytest.raises(InvalidInput) as error:
        Prompts.of(templates, field="method.prompts")
    assert said in error.value.detail
    assert error.value.field == "method.prompts.templates"
    assert error.value.remedy
    assert error.value.value is not None
    assert Prompts.of(instead).templates == tuple(instead)


def test_nothing_can_be_subtracted_of_a_template_that_is_empty_without_a_name() -> None:
    with pytest.raises(InvalidInput, match="nothing to subtract") as error:
        Prompts.of(["a mammogram showing {}", "{}"], subtract_empty=True)
    assert error.value.value == "{}"
    assert Prompts.of(["a mammogram showing {}"], subtract_empty=True).empty_texts == ("a mammogram showing",)
    assert not Prompts.of(["{}"]).subtract_empty


def test_the_texts_of_a_concept() -> None:
    plain = Prompts.of(["{}", "a mammogram showing {}"])
    assert list(plain.texts(MASS)) == ["mass", "a mammogram showing mass"]
    with_synonyms = Prompts.of(["{} seen"], synonyms=True)
    assert list(with_synonyms.texts(MASS)) == ["mass seen", "lesion seen", "nodule seen"], "a repetition counts once"


def test_a_name_with_braces_stays_as_it_is() -> None:
    assert list(Prompts.of(["a {} b"]).texts(Concept("{0} {}"))) == ["a {0} {} b"]


@pytest.mark.parametrize(
    ("first", "second", "prompts", "shared"),
    [
        (MASS, Concept("Nodule"), Prompts.of(synonyms=True), "Nodule"),
        (MASS, Concept("node", synonyms=("LESION",)), Prompts.of(synonyms=True), "LESION"),
        (Concept("left mass"), Concept("mass"), Prompts.of(["{}", "left {}"]), "left mass"),
        (
            Concept("mass", synonyms=("lump",)),
            Concept("left lump"),
            Prompts.of(["left {}", "{}"], synonyms=True),
            "left lump",
        ),
    ],
)
def test_two_concepts_with_a_text_in_common_are_refused(
    first: Concept, second: Concept, prompts: Prompts, shared: str
) -> None:
    with pytest.raises(InvalidConceptSet) as error:
        check_texts(concepts(first, second), prompts)
    assert (error.value.field, error.value.value) == ("concept_set", shared)
    assert f"'{first.text}' and '{second.text}'" in error.value.detail
    check_texts(concepts(first), prompts)
    check_texts(concepts(first, second), Prompts.of(["a {} here"]))


def test_the_built_in_concepts_share_no_text() -> None:
    check_texts(builtin_concept_set("bi-rads"), Prompts.of(["a mammogram showing {}", "{}"], synonyms=True))


def test_too_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TEXTS", 5)
    with pytest.raises(InvalidInput, match="3 names in 2 templates are 6 texts"):
        check_texts(concepts(MASS), Prompts.of(["a {}", "b {}"], synonyms=True))
    check_texts(concepts(MASS), Prompts.of(["a {}"], synonyms=True))


def test_what_is_stored_of_a_method() -> None:
    """Without prompts a method is stored, and part of keys, as before there were any."""
    fields = {"similarity": "contrast", "pooling": "avg", "top_k": 100, "temperature": 10.0, "lam": 1.0}
    assert Method.of().as_dict() == fields
    assert Method.from_dict(Method.of().as_dict()) == Method.of()
    prompted = Method.of(prompts=Prompts.of(["a {}"], subtract_empty=True))
    assert prompted.as_dict() == {
        **fields, "prompts": {"templates": ["a {}"], "synonyms": False, "subtract_empty": True}
    }  # fmt: skip
    assert Method.from_dict(prompted.as_dict()) == prompted
    assert texts_digest("digest", None) == "digest"
    assert texts_digest("digest", prompted.as_dict()["prompts"]) != "digest"


def test_only_the_template_without_words_is_plain() -> None:
    assert Prompts.of().are_plain
    assert not any(
        prompts.are_plain for prompts in (Prompts.of(["a {}"]), Prompts.of(synonyms=True), Prompts.of(["{}", "a {}"]))
    )


def test_prompts_in_words() -> None:
    words = Prompts.of(["a {}", "b {}"], synonyms=True, subtract_empty=True).words
    assert words == (
        "A concept's text and its synonyms are put into the 2 templates 'a {}', 'b {}' (averaged); the similarity to "
        "the empty template is subtracted."
    )
    assert Prompts.of(["a {}"]).words == "A concept's text is put into the template 'a {}'."
