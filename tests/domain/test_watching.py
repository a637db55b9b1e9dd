"""Which images show a watched concept, as the columns of a manifest say."""

from pathlib import Path

from service.concepts.builtin import builtin_concept_set
from service.domain.concepts import Concept, ConceptSet
from service.domain.probes import ProbeItem
from service.domain.watching import known_by_columns

BUILT_IN = builtin_concept_set("bi-rads")


def item(row: int, view: str | None = None, laterality: str | None = None, **strata: str) -> ProbeItem:
    return ProbeItem(str(row), Path(str(row)), row=row, view=view, laterality=laterality, strata=strata)


def known(concept_set: ConceptSet, *items: ProbeItem) -> dict[str, tuple[str, tuple[bool | None, ...]]]:
    return {concept_set.texts[one.concept]: (one.words, one.shown) for one in known_by_columns(concept_set, items)}


def test_view_and_side_of_the_header_show_the_concepts_that_they_name() -> None:
    told = known(BUILT_IN, item(1, "CC", "L"), item(2, "MLO", "L"), item(3, "CC", "R"), item(4, None, "R"))
    assert told["craniocaudal view"] == ("view = CC", (True, False, True, None))
    assert told["left breast"] == ("laterality = L", (True, True, False, False))
    assert told["left craniocaudal view"] == ("laterality = L, view = CC", (True, False, False, None))
    assert "surgical clip" not in told


def test_a_column_of_the_concepts_name_says_yes_or_something_else() -> None:
    told = known(BUILT_IN, item(1, implant="yes"), item(2, implant="No"), item(3), item(4, implant="1"))
    assert told["implant"] == ("implant = 1 or yes", (True, False, None, True))


def test_a_value_may_be_the_concepts_name() -> None:
    told = known(BUILT_IN, item(1, device="Surgical_Clip"), item(2, device="none"))
    assert told["surgical clip"] == ("device = Surgical_Clip", (True, False))


def test_what_no_mammogram_shows_is_never_watched() -> None:
    frog = ConceptSet("frog", (Concept("frog", mammographic=False, watched=True), Concept("clip", watched=True)))
    assert frog.watched == (1,)
    assert known(frog, item(1, animal="frog"), item(2, animal="clip")) == {"clip": ("animal = clip", (False, True))}


def test_the_built_in_set_watches_no_everyday_word() -> None:
    watched = [BUILT_IN.concepts[place] for place in BUILT_IN.watched]
    assert len(watched) == 85
    assert {concept.broad_category for concept in watched} == {"technique and markers", "devices and surgery"}


def test_a_column_that_numbers_images_shows_nothing() -> None:
    told = known(BUILT_IN, *(item(row, note=f"{row}") for row in range(1, 200)), item(200, note="pacemaker"))
    assert told == {}
