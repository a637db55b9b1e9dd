"""Who knows a concept: words that find concepts, and the pages of their neurons."""

from uuid import UUID

import pytest

from service.db.session import Sessions, transaction
from service.domain.concepts import Concept, ConceptSet
from service.domain.neurons import LayerDissection, Neuron
from service.domain.pages import Position
from service.domain.verdicts import Verdict
from service.usecases import known_concepts
from tests.pages.results import CLUSTER, CONCEPTS, LATE, stored_dissection
from tests.usecases.factories import dissected_job, judged_neuron, neuron

SET = ConceptSet(
    "s",
    (
        Concept("suspicious calcifications", "calcification morphology", "findings"),
        Concept("spiculated mass", "mass margin", "findings", synonyms=("star",), names=(("de", "Herd"),)),
        Concept("skin", None, None),
    ),
)


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("calcification", [0]),
        ("Calcifications", [0]),
        ("masses", [1]),
        ("MASS margin", [1]),
        ("stars", [1]),
        ("herd", [1]),
        ("findings", [0, 1]),
        ("mass calcification", []),
        ("  ", []),
        ("100%", []),
    ],
)
def test_words_find_concepts(words: str, places: list[int]) -> None:
    found = known_concepts.concepts_that_fit(SET, words)
    assert [SET.concepts.index(concept) for concept in found] == places


def test_the_concepts_of_a_category() -> None:
    assert len(known_concepts.concepts_of_category(SET, "findings")) == 2
    assert [concept.text for concept in known_concepts.concepts_of_category(SET, "mass margin")] == ["spiculated mass"]


def with_z(unit: int, z: float | None) -> Neuron:
    alive = neuron(unit, 1.0)
    return alive if z is None else judged_neuron(alive, p=0.001, q=0.01, z=z)


def test_pages_of_neurons_follow_each_other_over_all_layers(sessions: Sessions) -> None:
    layers = [
        LayerDissection("a", (with_z(0, 1.0), with_z(1, None), with_z(2, 3.0), neuron(3, None))),
        LayerDissection("b", (with_z(0, 3.0), with_z(1, 2.0), with_z(2, None))),
    ]
    with transaction(sessions) as session:
        job = dissected_job(session, layers)
        for limit in (1, 2, 4, 6):
            seen: list[tuple[str, int]] = []
            after: Position | None = None
            while True:
                page = known_concepts.neurons_knowing(session, job, ["spiculated mass"], limit=limit, after=after)
                seen += [(found.layer, found.unit) for found in page.items]
                after = page.next_position
                if after is None:
                    break
            assert seen == [("a", 2), ("b", 0), ("b", 1), ("a", 0), ("a", 1), ("b", 2)]


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    with transaction(sessions) as session:
        return stored_dissection(session)


def test_neurons_come_with_their_evidence_and_first_images(sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        page = known_concepts.neurons_knowing(session, job, [CONCEPTS.texts[CLUSTER]], limit=9, after=None)
        first = page.items[0]
        assert (first.layer, first.unit, first.z, first.q, first.correlation) == (LATE, 0, 6.5, 0.01, 0.51)
        assert first.verdict is not None
        assert first.verdict.verdict is Verdict.NAMED
        assert [image.row for image in first.images] == [3, 7]
        named = known_concepts.neurons_knowing(
            session, job, [CONCEPTS.texts[CLUSTER]], verdicts=[Verdict.UNVERIFIED], limit=9, after=None
        )
        assert [found.unit for found in named.items] == [2]
        assert known_concepts.neurons_knowing(session, job, [], limit=9, after=None).items == ()


def test_labels_are_counted(sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        counts = known_concepts.count_labels(session, job)
        assert [(count.concept, count.neurons, count.named) for count in counts] == [
            ("clustered calcification", 2, 1),
            ("<b>dense</b> & 'bright'", 1, 0),
            ("coarse calcification", 1, 1),
        ]
        (line,) = known_concepts.list_dissections(session, limit=5).items
        known = known_concepts.known_in_dissections(session, [line], ["clustered calcification", "zebra"])
        assert (known[job].neurons, known[job].layers, known[job].strongest_z) == (2, 1, 6.5)
