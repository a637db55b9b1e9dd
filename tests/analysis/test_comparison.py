"""Comparisons against figures worked out on paper."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import log2, sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.analysis.compared_labels import read_labels
from service.analysis.comparison import compare
from service.domain.comparisons import CategoryRow, Churn, Comparison, Measured, Scope
from service.domain.concepts import Concept, ConceptSet
from service.domain.neurons import LayerDissection, Neuron
from service.errors import Conflict
from tests.analysis.invented import CALCIFICATIONS, CLIP, CONCEPTS, DOG, MASS, OVAL, SOMETHING, layer, near, unit

ARCHITECTURE = "b2"

TEXTS = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 2, 0], [0, 0, 1], [-3, 0, 0], [0, 0.5, 0]], np.float32)
"""Of the small concept set. Round and oval mass are 0.2 apart, calcifications and round mass 1, and oval mass 0.4."""


def compared(
    *networks: Sequence[LayerDissection],
    architectures: Sequence[str | None] | None = None,
    concept_set: ConceptSet = CONCEPTS,
    refused: Sequence[str | None] | None = None,
    texts: NDArray[np.float32] | None = TEXTS,
) -> Comparison:
    return compare(
        [read_labels(layers) for layers in networks],
        architectures or [ARCHITECTURE] * len(networks),
        concept_set,
        not_tested_reasons=refused or [None] * len(networks),
        concept_embeddings=texts,
    )


def rows(scope: Scope) -> dict[str, CategoryRow]:
    return {row.name: row for row in scope.categories.rows}


def random_layer(seed: int, units: int) -> LayerDissection:
    """Labels, resamples and halves at random; some units dead, some not significant."""
    rng = np.random.default_rng(seed)

    def drawn(number: int) -> list[int]:
        return [int(index) for index in rng.integers(0, 6, number)]

    neurons = [
        unit(
            number,
            None if rng.random() < 0.1 else drawn(1)[0],
            significant=bool(rng.random() < 0.8),
            resampled=drawn(30),
            halves=drawn(20),
        )
        for number in range(units)
    ]
    return LayerDissection(f"blocks.{seed}", tuple(neurons))


def test_the_same_network_differs_from_itself_by_exactly_nothing() -> None:
    layers = [random_layer(seed, 40) for seed in (1, 2)]
    found = compared(layers, layers, layers)
    assert (found.basis, found.resamples, found.halves, found.notes) == ("significant", 30, 10, ())
    assert found.unshared == ((), (), ())
    for scope in (found.network, *found.layers):
        assert scope.only == ((), (), ())
        assert [one.value for one in scope.concepts] == [0.0, 0.0]
        for composition in (scope.categories, scope.broad_categories):
            assert [one.value for one in composition.divergence] == [0.0, 0.0]
            assert all(one.noise is not None and one.noise > 0 for one in composition.divergence)
            assert len(composition.rows) >= 3
            for change in (change for row in composition.rows for change in row.changes):
                assert (change.gain, change.low, change.high, change.p, change.q) == (0.0, 0.0, 0.0, 1.0, 1.0)
                assert change.exceeds_noise is False
        for churn in scope.churn:
            assert churn is not None
            assert (churn.vanished, churn.appeared) == (0, 0)
            for measured in (churn.label, churn.category, churn.semantic):
                assert measured.value == 0.0
                assert measured.noise is not None
                assert measured.noise > 0
                assert measured.exceeds_noise is False


@pytest.fixture
def gained() -> Comparison:
    """Eight units: the reference has 4 masses and 2 calcifications, the other 2 and 5; unit 7 is dead.

    Resamples leave the reference as it is; in the other, 3, 4, 5, 6 of the 7 labelled units are calcifications. In the
    second of two splits unit 0 of the reference is a calcification in one of the halves.
    """
    reference = list(layer("a", MASS, MASS, OVAL, OVAL, CALCIFICATIONS, CALCIFICATIONS, DOG, None).neurons)
    reference[0] = unit(0, MASS, resampled=[MASS] * 4, halves=[MASS, MASS, MASS, CALCIFICATIONS])
    reference[6] = unit(6, DOG, significant=False, resampled=[DOG] * 4, halves=[DOG] * 4)
    best = (MASS, MASS, *[CALCIFICATIONS] * 5)
    other = [
        unit(
            number,
            concept,
            resampled=[CALCIFICATIONS if number < calcifications else MASS for calcifications in (3, 4, 5, 6)],
            halves=[concept] * 4,
        )
        for number, concept in enumerate(best)
    ]
    return compared([LayerDissection("a", tuple(reference))], [LayerDissection("a", (*other, unit(7, None)))])


def test_gains_with_their_intervals_noise_and_paired_tests(gained: Comparison) -> None:
    (scope,) = gained.layers
    assert (scope.units, scope.labelled) == ((8, 8), (6, 7))
    assert list(rows(scope)) == ["mass", "calcification"]
    mass, calcification = rows(scope)["mass"], rows(scope)["calcification"]
    assert (mass.neurons, calcification.neurons) == ((4, 2), (2, 5))
    (loss,), (gain,) = mass.changes, calcification.changes
    # Gains in the resamples: 1, 2, 3, 4 and 0, -1, -2, -3, with the variance 5 / 3. In the resamples units 0 to 2 have
    # become calcifications, unit 3 in three of four; unit 4 is a mass in two of them and unit 5 in three, which are
    # calcifications in the reference; unit 6 is a mass in the other alone.
    became_calcifications = 3 + (3 / 4) ** 2 + (2 / 4) ** 2 + (3 / 4) ** 2
    of_gain, of_loss = (1.959964 * sqrt(5 / 3 + became_calcifications + other) for other in (0, 1))
    assert (gain.gain, gain.low, gain.high) == (3.0, near(3 - of_gain), near(3 + of_gain))
    assert (loss.gain, loss.low, loss.high) == (-2.0, near(-2 - of_loss), near(-2 + of_loss))
    assert (gain.noise, loss.noise) == (near(of_gain), near(of_loss))
    assert gain.exceeds_noise is loss.exceeds_noise is False
    # Halves of the reference differ by 0 and 1, of which the 95th percentile is 0.95.
    assert (gain.halves, loss.halves) == (near(0.95), near(0.95))
    # The exact tests of the units, 2 / 2^2 and 2 / 2^3, allow more than the resamples.
    assert (gain.test, loss.test) == ("resampled", "resampled")
    assert (loss.p, gain.p) == (near(0.5), near(0.25))
    assert (loss.q, gain.q) == (near(0.5), near(0.5))
    (findings,) = scope.broad_categories.rows
    assert (findings.name, findings.neurons, findings.changes[0].gain, findings.changes[0].p) == (
        "findings",
        (6, 7),
        1.0,
        1.0,
    )


def entropy(*shares: float) -> float:
    return -sum(share * log2(share) for share in shares)


def test_divergence_concepts_and_churn_against_their_noise(gained: Comparison) -> None:
    (scope,) = gained.layers
    (apart,) = scope.categories.divergence
    middle = ((4 / 6 + 2 / 7) / 2, (2 / 6 + 5 / 7) / 2)
    assert apart.value == near(entropy(*middle) - (entropy(4 / 6, 2 / 6) + entropy(2 / 7, 5 / 7)) / 2)
    # In pairs of resamples the other has 3 and 4 calcifications of 7, and 5 and 6.
    first = entropy(1 / 2, 1 / 2) - entropy(3 / 7, 4 / 7)
    second = entropy(11 / 14, 3 / 14) - (entropy(5 / 7, 2 / 7) + entropy(6 / 7, 1 / 7)) / 2
    assert apart.noise == near(first + 0.95 * (second - first))
    assert apart.exceeds_noise is True
    halves = entropy(7 / 12, 5 / 12) - (entropy(4 / 6, 2 / 6) + entropy(1 / 2, 1 / 2)) / 2
    assert apart.halves == near(0.95 * halves)
    assert scope.broad_categories.divergence == (Measured(0.0, 0.0, False, 0.0),)
    assert scope.only == (("oval mass",), ())
    assert scope.concepts == (Measured(1.0, 0.0, True, 0.0),)
    # Unit 3 or 5 alone changes between the resamples of a pair; only the first is labelled in both.
    churned = Measured(near(2 / 6), near(1 / 6), True, near(0.95 / 6))
    # Units 2 and 3 were oval masses; between the halves a round one becomes calcifications.
    meaning = Measured(near(2 * 0.4 / 6), near(1 / 6), False, near(0.95 / 6))
    assert scope.churn == (Churn(both=6, vanished=0, appeared=1, label=churned, category=churned, semantic=meaning),)
    assert gained.network == replace(scope, layer=None)
    assert gained.judged_by == "resamples"


def test_single_concepts_have_their_changes(gained: Comparison) -> None:
    assert gained.by_concept is not None
    changes = {row.name: (row.neurons, row.changes[0].gain) for row in gained.by_concept.rows}
    assert changes == {
        "round mass": ((2, 2), 0.0),
        "oval mass": ((2, 0), -2.0),
        "grouped calcifications": ((2, 5), 3.0),
    }
    (oval,) = [row.changes[0] for row in gained.by_concept.rows if row.name == "oval mass"]
    assert (oval.p, oval.q) == (near(0.5), near(0.75))


def test_a_label_moves_as_far_as_its_meaning_and_layers_add_up() -> None:
    first = [layer("a", MASS, MASS, CLIP, None), layer("b", MASS)]
    second = [layer("a", OVAL, MASS, DOG, CLIP), layer("b", DOG)]
    found = compared(first, second, second)
    a, b = found.layers
    # Round to oval mass 0.2, clip to dog 1, and the unit that is dead in the one does not count; round mass to dog 2.
    assert [churn and churn.semantic.value for churn in a.churn] == [near(1.2 / 3)] * 2
    assert [churn and churn.semantic.value for churn in b.churn] == [near(2.0)] * 2
    churn = found.network.churn[0]
    assert churn is not None
    assert churn.semantic == Measured(near(3.2 / 4), 0.0, True, 0.0)


def test_texts_with_one_embedding_are_as_far_apart_as_a_text_from_itself() -> None:
    alike = np.tile(np.array([0.1, 0.7, 0.3], np.float32), (6, 1))
    churn = compared([layer("a", MASS, CLIP)], [layer("a", OVAL, CLIP)], texts=alike).network.churn[0]
    assert churn is not None
    assert churn.label.value == 0.5
    assert churn.semantic.value == near(0.0)


def test_without_embeddings_it_is_said_that_meanings_were_not_compared() -> None:
    found = compared([layer("a", MASS, CLIP)], [layer("a", OVAL, CLIP)], texts=None)
    (note,) = found.notes
    assert note.startswith("No semantic churn, because")
    churn = found.network.churn[0]
    assert churn is not None
    assert (churn.label.value, churn.semantic) == (0.5, Measured(None, None, None))
    apart = compared([layer("a", MASS)], [layer("a", OVAL)], architectures=["b2", "b5"], texts=None)
    assert (apart.network.churn, apart.notes) == ((None,), ()), "nothing is paired"


def test_networks_of_other_sizes_are_compared_by_shares() -> None:
    found = compared([layer("a", MASS)], [layer("a", CALCIFICATIONS, CLIP, CLIP)], architectures=["b2", "b5"])
    assert found.network.churn == (None,)
    (mass,) = rows(found.network)["mass"].changes
    # One of one against none of three: of the four units any could have been the one, 1 / 4.
    assert (mass.gain, mass.test, mass.p) == (-1.0, "resampled", near(0.25))
    (clips,) = rows(found.network)["devices"].changes
    # Two of four units are clips: a share of 1 / 2, of one unit and of three.
    noise = 1.959964 * sqrt(1 / 4 * (1 + 1 / 3))
    assert (clips.gain, clips.low, clips.high) == (near(2 / 3), near(2 / 3 - noise), near(2 / 3 + noise))
    assert [one.value for one in found.network.categories.divergence] == [near(1.0)]


@pytest.mark.parametrize("architectures", [("b2", "b5"), (None, None)])
def test_units_correspond_only_within_a_known_architecture(architectures: tuple[str | None, ...]) -> None:
    found = compared([layer("a", MASS, MASS)], [layer("a", CLIP, CLIP)], architectures=architectures)
    assert found.network.churn == (None,)
    (change,) = rows(found.network)["mass"].changes
    # Both masses on one side, of 4 choose 2 = 6 ways; so is the other extreme.
    assert (change.test, change.p) == ("resampled", near(1 / 3))
    untested = compared(
        *([bare(layer("a", concept, concept))] for concept in (MASS, CLIP)), architectures=architectures
    )
    (change,) = rows(untested.network)["mass"].changes
    assert (change.test, change.p) == ("fisher", near(1 / 3))


def test_three_networks_stand_in_one_table_and_layers_add_up() -> None:
    found = compared(
        [layer("a", MASS, OVAL), layer("b", MASS, None), layer("c", CLIP)],
        [layer("b", CALCIFICATIONS, MASS), layer("a", MASS, CALCIFICATIONS)],
        [layer("a", DOG, CALCIFICATIONS), layer("d", CLIP), layer("b", MASS, MASS)],
    )
    assert [scope.layer for scope in found.layers] == ["a", "b"]
    assert found.unshared == (("c",), (), ("d",))
    assert (found.network.units, found.network.labelled) == ((4, 4, 4), (3, 4, 4))
    table = {name: row.neurons for name, row in rows(found.network).items()}
    assert table == {"mass": (3, 2, 2), "calcification": (0, 2, 1), "animals": (0, 0, 1)}
    assert found.network.only == (("oval mass",), (), ("dog",))
    # The reference and the second network share only `round mass`; the third has `dog` beside.
    assert [one.value for one in found.network.concepts] == [2.0, 3.0]
    gains = [change.gain for change in rows(found.network)["calcification"].changes]
    assert gains == [2.0, 1.0]
    churn = found.network.churn[0]
    assert churn is not None
    assert (churn.both, churn.appeared, churn.label.value) == (3, 1, near(2 / 3))


def test_false_discovery_is_controlled_over_all_layers() -> None:
    def layers(concept: int) -> list[LayerDissection]:
        return [layer("a", *[concept] * 4, *[MASS] * 4), layer("b", concept, MASS)]

    found = compared(layers(CALCIFICATIONS), layers(CLIP))
    changes = [change for scope in found.layers for row in scope.categories.rows for change in row.changes]
    # Layer a: mass 1, calcification and devices 2 / 2^4. Layer b: each 1. Six tests, the two least are equal.
    assert sorted(change.p for change in changes) == [0.125, 0.125, 1, 1, 1, 1]
    assert sorted(change.q for change in changes) == [near(0.125 * 6 / 2)] * 2 + [1.0] * 4
    assert min(change.q for row in found.network.categories.rows for change in row.changes) == near(2 / 2**5 * 3 / 2)


def bare(dissected: LayerDissection) -> LayerDissection:
    def without(neuron: Neuron) -> Neuron:
        return replace(neuron, evidence=None)

    return replace(dissected, neurons=tuple(map(without, dissected.neurons)))


def test_without_evidence_the_best_concepts_are_compared_and_it_is_said_why() -> None:
    judged = [layer("a", MASS, MASS, significant=False)]
    found = compared(judged, [bare(layer("a", MASS, CLIP))], refused=[None, "Only 7 exams."])
    assert (found.basis, found.resamples, found.halves) == ("best", 0, 0)
    assert "Only 7 exams." in found.notes[0]
    assert [note.split(",")[0] for note in found.notes[1:]] == [
        "No intervals",
        "How well figures reproduce is not known",
    ]
    assert found.judged_by == "halves"
    (change,) = rows(found.network)["mass"].changes
    assert (change.gain, change.low, change.high, change.noise, change.exceeds_noise) == (-1.0, None, None, None, None)
    assert (change.test, change.halves) == ("mcnemar", None)
    assert found.network.categories.divergence[0].exceeds_noise is None
    assert found.network.categories.divergence[0].value is not None
    churn = found.network.churn[0]
    assert churn is not None
    assert churn.label == Measured(0.5, None, None)


def test_resamples_that_are_not_there_for_all_count_for_none() -> None:
    uneven = LayerDissection("a", (unit(0, MASS, resampled=[MASS] * 3), unit(1, MASS, resampled=[MASS] * 4)))
    assert compared([uneven], [uneven]).resamples == 0
    longer = LayerDissection("b", (unit(0, MASS, resampled=[MASS] * 5),))
    assert compared([layer("a", MASS), longer], [layer("a", MASS), longer]).resamples == 0
    assert compared([layer("a", MASS)], [bare(layer("a", MASS))]).resamples == 0


def test_concepts_without_categories_are_compared_all_the_same() -> None:
    plain = ConceptSet("plain", tuple(Concept(text) for text in CONCEPTS.texts))
    found = compared([layer("a", MASS, MASS)], [layer("a", MASS, SOMETHING)], concept_set=plain)
    assert found.network.categories.rows == found.network.broad_categories.rows == ()
    assert found.network.categories.divergence == (Measured(None, None, None),)
    assert found.network.only == ((), ("something",))
    churn = found.network.churn[0]
    assert churn is not None
    assert (churn.label.value, churn.category) == (0.5, Measured(None, None, None))
    assert [note for note in found.notes if "no categories" in note or "no broad categories" in note] == list(
        found.notes
    )


def test_dead_layers_are_compared_without_complaint() -> None:
    found = compared(
        [layer("a", None, None), layer("b", MASS)],
        [layer("a", None, None), layer("b", MASS)],
        [layer("a", MASS, None), layer("b", None)],
    )
    dead = found.layers[0]
    assert (dead.labelled, dead.categories.divergence[0]) == ((0, 0, 1), Measured(None, None, None))
    assert rows(dead)["mass"].changes[0].gain == 0.0
    assert rows(dead)["mass"].changes[1].gain == 1.0
    assert dead.churn[0] == Churn(0, 0, 0, *[Measured(None, None, None)] * 3)
    assert found.resamples == 4
    assert all(value == value for value in numbers(found))  # noqa: PLR0124 - no NaN
    alone = compared([layer("a", None)], [layer("a", None)])
    assert (alone.network.labelled, alone.network.categories.rows) == ((0, 0), ())


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from numbers(part)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from numbers(getattr(value, name))


def test_networks_without_a_common_layer_are_not_compared() -> None:
    with pytest.raises(Conflict, match="no layer in common") as caught:
        compared([layer("a", MASS)], [layer("b", MASS)])
    assert caught.value.value == "a / b"
