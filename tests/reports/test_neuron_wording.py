"""What one neuron is called, in sentences."""

from dataclasses import replace
from uuid import uuid4

import pytest

from service.domain.ablations import Dependence, OutputChange
from service.domain.evidence import Evidence, LabelStability, Qualification, Quality, Significance, Watched
from service.domain.neurons import Neuron
from service.domain.verdicts import UnitVerdict, Verdict
from service.reports.neuron_wording import (
    dependence_sentence,
    neuron_sentence,
    qualification_sentence,
    short_label,
    significance_words,
    significant_responses,
)
from tests.usecases.factories import judged_neuron, neuron


def called(verdict: UnitVerdict) -> Neuron:
    return replace(neuron(0, 2.0), evidence=Evidence(verdict=verdict))


@pytest.mark.parametrize(
    ("neuron", "sentence"),
    [
        (neuron(0, None), "It is dead, and there is nothing to name."),
        (replace(neuron(0, 1.0), concepts=()), "No concept was ranked for this neuron."),
        (neuron(0, 1.0), "Its best concept is 'spiculated mass'. No label was tested"),
        (judged_neuron(neuron(0, 1.0), p=0.9, q=0.9, z=0.1), "It is labelled no concept"),
        (judged_neuron(neuron(0, 1.0), p=0.001, q=0.01, z=3.0), "It has no verdict"),
        (called(UnitVerdict(Verdict.NAMED, "mass", "concept", 0.02)), "It follows 'mass', and the dissector is known"),
        (called(UnitVerdict(Verdict.NAMED, "mass", "concept")), "known to see that."),
        (called(UnitVerdict(Verdict.UNVERIFIED, "margin", "category", 0.2)), "something of the category 'margin'"),
        (called(UnitVerdict(Verdict.UNNAMED)), "A person should look at its images."),
        (called(UnitVerdict(Verdict.NO_SIGNAL)), "Nothing that the dissector sees"),
    ],
)
def test_a_neuron_in_a_sentence(neuron: Neuron, sentence: str) -> None:
    said = neuron_sentence(neuron)
    assert sentence in said
    assert said.endswith(".")


def test_the_error_is_said_where_it_is_estimated() -> None:
    said = neuron_sentence(called(UnitVerdict(Verdict.NAMED, "mass", "concept", 0.02)))
    assert "Of names as sure as this one 2 % are wrong, as estimated." in said


@pytest.mark.parametrize(
    ("concept", "verdict", "dead", "label"),
    [
        (None, None, True, "dead"),
        ("mass", None, False, "mass"),
        (None, None, False, "no concept"),
        ("mass", UnitVerdict(Verdict.NAMED, "mass margin", "category"), False, "mass margin"),
        ("mass", UnitVerdict(Verdict.UNNAMED), False, "unnamed"),
        ("mass", UnitVerdict(Verdict.NO_SIGNAL), False, "no signal"),
    ],
)
def test_what_a_line_calls_a_neuron(concept: str | None, verdict: UnitVerdict | None, dead: bool, label: str) -> None:
    assert short_label(concept, verdict, dead=dead) == label


def test_whether_the_dissector_sees_the_concept() -> None:
    seen = Qualification(0, "mass", "mass", "qualified", 61, 179, 0.9, 0.8, 0.95)
    assert "AUROC 0.90, 0.80 to 0.95, on 61 images with 'mass' and 179 without" in qualification_sentence(seen)
    assert "do not rely on it" in qualification_sentence(replace(seen, verdict="untestable"))
    for unknown in (None, replace(seen, verdict="absent", auroc=None)):
        assert qualification_sentence(unknown).startswith("Nobody knows")


def test_what_an_ablation_of_the_neuron_did() -> None:
    change = OutputChange(1, 2.0, -0.25, -0.4, -0.1, 0.3, 0.2, 0.4)
    dependence = Dependence(uuid4(), "a", 0, "mean", change)
    said = dependence_sentence(dependence)
    assert "Held at its mean, it moves output 1" in said
    assert "by 0.300 of that output's deviation (95 % interval 0.200 to 0.400)" in said
    assert "no output of the network varies" in dependence_sentence(replace(dependence, change=None))
    assert "Held at zero" in dependence_sentence(replace(dependence, value="zero"))
    assert dependence_sentence(None).startswith("Nobody has measured yet")


def test_figures_of_a_label() -> None:
    evidence = Evidence(
        significance=Significance(0.001, 3.21, 0.01),
        stability=LabelStability(0.75, None, ()),
        quality=Quality(0.5, 0.25, None, None),
        watched=(
            Watched(0, "clip", 0.01, 2.0, 0.04),
            Watched(1, "marker", 0.01, 4.0, 0.01),
            Watched(2, "x", 0.04, 9.0),
        ),
    )
    figures = {name: value for name, _, value in significance_words(evidence)}
    assert figures["z"] == "3.2"
    assert figures["stability"] == "label kept in 75 % of the resamples"
    assert "redundancy" not in figures
    assert [response.text for response in significant_responses(evidence)] == ["marker", "clip"]
    assert list(significance_words(None)) == []
    assert significant_responses(None) == ()
