"""What judgements amount to, and what readers may call a neuron."""

import pytest

from service.domain.concepts import Concept, ConceptSet
from service.domain.reviews import (
    Decision,
    Judgement,
    Standing,
    check_judgement,
    check_reason,
    measured_name,
    reviewed_name,
    standing_of,
)
from service.errors import InvalidInput

ACCEPT, REJECT, COMMENT = Judgement(Decision.ACCEPT), Judgement(Decision.REJECT), Judgement(Decision.COMMENT)
CONCEPTS = ConceptSet("words", (Concept("mass", synonyms=("lump", "Knoten")), Concept("lump of fat")))


def renamed(name: str) -> Judgement:
    return Judgement(Decision.RENAME, name)


@pytest.mark.parametrize(
    ("judgements", "standing", "name"),
    [
        ([], None, None),
        ([COMMENT], None, None),
        ([ACCEPT], Standing.ACCEPTED, "mass"),
        ([ACCEPT, COMMENT, ACCEPT], Standing.ACCEPTED, "mass"),
        ([REJECT, REJECT], Standing.REJECTED, None),
        ([renamed("Clip")], Standing.RENAMED, "Clip"),
        ([renamed("Clip"), renamed("clip")], Standing.RENAMED, "Clip"),
        ([renamed("clip"), renamed("hair")], Standing.DISPUTED, None),
        ([ACCEPT, REJECT], Standing.DISPUTED, None),
        ([REJECT, renamed("clip")], Standing.DISPUTED, None),
    ],
)
def test_what_judgements_amount_to(judgements: list[Judgement], standing: Standing | None, name: str | None) -> None:
    assert (standing_of(judgements), reviewed_name(judgements, "mass")) == (standing, name)


@pytest.mark.parametrize(
    ("given", "name", "in_set"),
    [
        (" LUMP  of fat ", "lump of fat", True),
        ("knoten", "mass", True),
        ("Lump", "mass", True),
        ("a  hair", "a hair", False),
        ("\u0645\u06cc\u200c\u0634\u0648\u062f", "\u0645\u06cc\u200c\u0634\u0648\u062f", False),
    ],
)
def test_names_of_the_set_and_others(given: str, name: str, in_set: bool) -> None:
    found = check_judgement(Decision.RENAME, given, measured="clip", concept_set=CONCEPTS)
    assert found == (renamed(name), in_set)


@pytest.mark.parametrize("name", ["mass", " MASS", "lump"])
def test_the_measured_name_is_accepted_and_not_given_again(name: str) -> None:
    with pytest.raises(InvalidInput, match="called 'mass' already"):
        check_judgement(Decision.RENAME, name, measured="mass", concept_set=CONCEPTS)


@pytest.mark.parametrize("character", ["\0", "\x7f", "\u2028", "\u202e", "\ufeff", "\ud800"])
def test_characters_that_nobody_sees(character: str) -> None:
    for check in (
        lambda text: check_judgement(Decision.RENAME, text, measured=None, concept_set=CONCEPTS),
        check_reason,
    ):
        with pytest.raises(InvalidInput, match="holds the control character"):
            check(f"a{character}b")


def test_a_reason_may_have_lines() -> None:
    assert check_reason(" First.\n\tSecond.\n") == "First.\n\tSecond."


@pytest.mark.parametrize(
    ("verdict", "name", "concept", "measured"),
    [
        (None, None, "mass", "mass"),
        (None, None, "no concept", None),
        (None, None, None, None),
        ("named", "mass margin", "mass", "mass margin"),
        ("unnamed", None, "mass", None),
    ],
)
def test_the_measured_name(verdict: str | None, name: str | None, concept: str | None, measured: str | None) -> None:
    assert measured_name(verdict, name, concept) == measured
