"""Verdicts: what each needs, at which level of detail a name is, and how many of the names are said to be wrong."""

import dataclasses
from collections.abc import Sequence

import pytest

from service.analysis.verdicts import LEAST_EXPLAINED, give_verdicts
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import JobEvidence, Qualification
from service.domain.neurons import LayerDissection, Neuron
from service.domain.verdicts import DECOY_SETS, DirectionFigures, JobVerdicts, NamePart, UnitVerdict, Verdict
from tests.analysis.invented import CALCIFICATIONS, CLIP, CONCEPTS, DOG, EVIDENCE, MASS, OVAL, unit

CLEAR = DirectionFigures(
    fit=0.6, fit_p=1e-6, correlation=0.57, explained=0.9, decoy_explained=0.1, decoy_p=1 / 41, rival_p=0.01
)
"""A unit whose label says nearly all."""

LOST = DirectionFigures(
    fit=0.6,
    fit_p=1e-6,
    correlation=0.3,
    explained=0.25,
    decoy_explained=0.3,
    decoy_p=30 / 41,
    decoys_ahead=(0.4, 0.38, 0.35, 0.3),
)
"""A unit that follows something that no concept says."""

NOISE = DirectionFigures(fit=0.01, fit_p=0.7, correlation=0.03, explained=1.0, decoy_explained=1.0, decoy_p=0.5)

QUALIFIED = dataclasses.replace(
    EVIDENCE, qualifications=(Qualification(MASS, "round mass", "round mass", "qualified", 20, 20),)
)


def _neuron(number: int, concept: int, figures: DirectionFigures | None, significant: bool | None = True) -> Neuron:
    neuron = unit(number, concept, significant=significant)
    assert neuron.evidence is not None
    return dataclasses.replace(neuron, evidence=dataclasses.replace(neuron.evidence, direction=figures))


def _judge(
    neurons: Sequence[Neuron], evidence: JobEvidence = QUALIFIED, level: float = 0.1
) -> tuple[list[UnitVerdict | None], JobVerdicts]:
    layers, verdicts = give_verdicts([LayerDissection("layer1", tuple(neurons))], evidence, CONCEPTS, level)
    return [neuron.evidence.verdict if neuron.evidence else None for neuron in layers[0].neurons], verdicts


def _first(concept: int, figures: DirectionFigures, significant: bool | None = True) -> UnitVerdict:
    """The verdict of a unit among twenty clear ones."""
    others = [_neuron(number, MASS, CLEAR) for number in range(1, 21)]
    verdicts, _ = _judge([_neuron(0, concept, figures, significant), *others])
    assert verdicts[0] is not None
    return verdicts[0]


def test_a_clear_label_that_the_dissector_is_known_to_see_is_a_name() -> None:
    verdict = _first(MASS, CLEAR)

    assert (verdict.verdict, verdict.name, verdict.level) == (Verdict.NAMED, "round mass", "concept")
    assert verdict.error is not None
    assert verdict.error < 0.1


def test_where_nobody_knows_whether_the_dissector_sees_the_concept_the_name_is_unverified() -> None:
    verdict = _first(CALCIFICATIONS, CLEAR)

    assert (verdict.verdict, verdict.name) == (Verdict.UNVERIFIED, "grouped calcifications")


def test_rivals_of_one_category_make_the_category_the_name() -> None:
    verdict = _first(OVAL, dataclasses.replace(CLEAR, rivals=(MASS,)))

    # Of what the category covers here the dissector sees the round mass.
    assert (verdict.verdict, verdict.name, verdict.level) == (Verdict.NAMED, "mass", "category")


def test_rivals_of_two_categories_make_the_broad_category_the_name() -> None:
    verdict = _first(MASS, dataclasses.replace(CLEAR, rivals=(CALCIFICATIONS,)))

    assert (verdict.name, verdict.level) == ("findings", "category")


def test_rivals_that_have_no_category_in_common_leave_no_name() -> None:
    verdict = _first(MASS, dataclasses.replace(CLEAR, rivals=(CLIP,)))

    assert verdict == UnitVerdict(Verdict.UNNAMED)


def test_a_rival_that_no_image_can_show_leaves_no_name() -> None:
    assert _first(MASS, dataclasses.replace(CLEAR, rivals=(DOG,))).verdict is Verdict.UNNAMED


def test_no_name_is_a_concept_that_no_image_can_show() -> None:
    assert _first(DOG, CLEAR) == UnitVerdict(Verdict.UNNAMED)


def test_several_concepts_are_a_name_of_their_own() -> None:
    parts = (NamePart(MASS, "round mass", 0.5), NamePart(CALCIFICATIONS, "grouped calcifications", 0.4))
    verdict = _first(MASS, dataclasses.replace(CLEAR, explained=0.9, rivals=(CLIP,), parts=parts))

    assert (verdict.name, verdict.level) == ("round mass + grouped calcifications", "combination")


def test_what_explains_too_little_is_no_name() -> None:
    verdict = _first(MASS, dataclasses.replace(CLEAR, explained=LEAST_EXPLAINED - 0.01))

    assert verdict == UnitVerdict(Verdict.UNNAMED)


def test_a_label_behind_as_many_decoys_as_decide_is_no_name() -> None:
    assert _first(MASS, dataclasses.replace(CLEAR, decoy_p=4 / 41)).name == "round mass"
    assert _first(MASS, dataclasses.replace(CLEAR, decoy_p=5 / 41)).verdict is Verdict.UNNAMED


def test_what_follows_nothing_has_no_signal_and_a_label_by_chance_is_no_name() -> None:
    assert _first(MASS, NOISE, significant=False) == UnitVerdict(Verdict.NO_SIGNAL)
    assert _first(MASS, CLEAR, significant=False).verdict is Verdict.UNNAMED


def test_where_labels_cannot_be_tested_the_unit_must_follow_something() -> None:
    assert _first(MASS, CLEAR, significant=None).name == "round mass"
    assert _first(MASS, dataclasses.replace(CLEAR, fit_p=0.7), significant=None).verdict is Verdict.NO_SIGNAL


def test_units_without_direction_have_no_verdict_and_a_job_without_any_says_why() -> None:
    neurons = [_neuron(0, MASS, None), unit(1, None)]
    verdicts, of_job = _judge(neurons)

    assert verdicts == [None, None]
    assert of_job.error is None
    assert of_job.refused is not None
    assert "activations were not kept" in of_job.refused


def test_decoys_ahead_of_labels_and_likely_neighbours_are_the_estimated_error() -> None:
    close = dataclasses.replace(CLEAR, rival_p=0.05)
    lost = dataclasses.replace(LOST, decoys_ahead=(0.8, 0.7, 0.6, 0.55))
    neurons = [_neuron(number, MASS, close) for number in range(40)]
    neurons += [_neuron(40 + number, MASS, lost) for number in range(10)]
    _, of_job = _judge(neurons)

    # Of 41 places 4 are a name's; a unit that no concept says has 154 / 41 sets ahead of it among its best four.
    unnamed = (1 + 40) * 4 / 154
    assert of_job.error == pytest.approx((unnamed + 40 * 0.05) / 40)
    assert of_job.layers[0].named == 40
    assert of_job.layers[0].error == of_job.error
    assert of_job.decoys == DECOY_SETS * 5, "a dog, which no image can show, is a decoy itself"


def test_where_decoys_win_often_more_must_be_explained() -> None:
    lost = dataclasses.replace(LOST, decoys_ahead=(0.8, 0.7, 0.6, 0.55))
    half = dataclasses.replace(CLEAR, explained=0.7)
    neurons = [_neuron(number, MASS, CLEAR) for number in range(10)]
    neurons += [_neuron(10 + number, MASS, half) for number in range(5)]
    neurons += [_neuron(15 + number, MASS, lost) for number in range(60)]
    verdicts, of_job = _judge(neurons)

    assert of_job.least_explained > 0.8
    assert [verdict.name for verdict in verdicts if verdict][:15] == ["round mass"] * 10 + [None] * 5
    assert of_job.error is not None
    assert of_job.error <= 0.1


def test_a_smaller_error_level_leaves_out_those_whose_neighbours_are_near() -> None:
    near = dataclasses.replace(CLEAR, rival_p=0.2)
    neurons = [_neuron(number, MASS, CLEAR) for number in range(30)]
    neurons += [_neuron(30 + number, MASS, near) for number in range(10)]

    assert _judge(neurons)[1].layers[0].named == 40
    verdicts, of_job = _judge(neurons, level=0.03)
    assert of_job.error is not None
    assert of_job.error <= 0.03
    assert 30 <= of_job.layers[0].named < 40
    assert all(verdict.name for verdict in verdicts[:30] if verdict)


def test_where_no_name_is_sure_enough_none_is_given() -> None:
    doubtful = dataclasses.replace(CLEAR, rival_p=0.3)
    verdicts, of_job = _judge([_neuron(number, MASS, doubtful) for number in range(5)])

    assert {verdict.verdict for verdict in verdicts if verdict} == {Verdict.UNNAMED}
    assert of_job.error is None


def test_surer_names_have_no_larger_error() -> None:
    figures = [dataclasses.replace(CLEAR, explained=1 - number / 50, rival_p=0.002 * number) for number in range(20)]
    verdicts, _ = _judge([_neuron(number, MASS, of_unit) for number, of_unit in enumerate(figures)])

    errors = [verdict.error for verdict in verdicts if verdict and verdict.error is not None]
    assert len(errors) == 20
    assert errors == sorted(errors)


def test_decoys_match_where_their_ranks_are_uniform() -> None:
    lost = [dataclasses.replace(LOST, decoy_p=rank / 41) for rank in range(2, 42)]
    even = [_neuron(number, MASS, figures) for number, figures in enumerate(lost)]
    skewed = [_neuron(number, MASS, dataclasses.replace(LOST, decoy_p=1.0)) for number in range(40)]

    assert _judge(even)[1].decoy_match > 0.99
    assert _judge(skewed)[1].decoy_match < 0.1
    # Of too few units nothing is known.
    assert _judge(even[-10:])[1].decoy_match == 0


def test_a_set_without_categories_names_by_concepts_alone() -> None:
    bare = ConceptSet("bare", (Concept("a"), Concept("b")))
    neurons = [_neuron(0, MASS, dataclasses.replace(CLEAR, rivals=(1,)))]
    neurons += [_neuron(number, MASS, CLEAR) for number in range(1, 20)]
    layers, _ = give_verdicts([LayerDissection("layer1", tuple(neurons))], EVIDENCE, bare, 0.1)

    verdicts = [neuron.evidence.verdict for neuron in layers[0].neurons if neuron.evidence]
    assert verdicts[0] == UnitVerdict(Verdict.UNNAMED)
    assert verdicts[1] is not None
    assert verdicts[1].name == "a"
