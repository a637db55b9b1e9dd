"""What is left of significance when exams are exchanged, against counts made by hand."""

from dataclasses import replace

from service.analysis.survival import LabelCount, Survival, judge_survival
from service.domain.evidence import Agreement, Evidence, JobEvidence, LabelStability, Qualification
from service.domain.neurons import Dissection, LayerDissection, Neuron
from service.domain.verdicts import JobVerdicts, UnitVerdict, Verdict, VerdictCounts
from tests.analysis.invented import CALCIFICATIONS, EVIDENCE, MASS, SOMETHING, unit


def dissection(*layers: LayerDissection, evidence: JobEvidence = EVIDENCE) -> Dissection:
    return Dissection(layers, 100, (), evidence)


def kept(neuron: Neuron, label: float, category: float | None, auroc: float | None = None) -> Neuron:
    agreement = None if auroc is None else Agreement("mass", auroc, 0.5, 0.5)
    evidence = neuron.evidence or Evidence()
    found = replace(evidence, stability=LabelStability(label, category, ("round mass",)), agreement=agreement)
    return replace(neuron, evidence=found)


BY_EXAM = dissection(
    LayerDissection(
        "a",
        (
            kept(unit(0, MASS), 0.9, 1.0, auroc=0.75),
            kept(unit(1, MASS), 0.5, 0.6, auroc=0.25),
            kept(unit(2, CALCIFICATIONS, significant=False), 0.1, 0.1),
            unit(3, None),
        ),
    ),
    LayerDissection("b", (kept(unit(0, SOMETHING), 0.4, None, auroc=0.9), unit(1, MASS, significant=False))),
    evidence=replace(
        EVIDENCE,
        qualifications=(
            Qualification(MASS, "round mass", "mass", "untestable", 10, 10, 0.6, 0.4, 0.8),
            Qualification(SOMETHING, "something", "thing", "qualified", 10, 10, 0.9, 0.8, 1.0),
        ),
    ),
)
BY_IMAGE = dissection(
    LayerDissection("a", (unit(0, MASS), unit(1, MASS, significant=False), unit(2, CALCIFICATIONS), unit(3, None))),
    LayerDissection("b", (unit(0, SOMETHING), unit(1, MASS))),
)


def test_units_are_counted_by_either_null_and_by_both() -> None:
    found = judge_survival(BY_EXAM, BY_IMAGE)
    assert found.layers == {
        "a": Survival(living=3, threshold_met=3, by_exam=2, by_image=2, by_both=1),
        "b": Survival(living=2, threshold_met=2, by_exam=1, by_image=2, by_both=1),
    }
    assert found.total == Survival(living=5, threshold_met=5, by_exam=3, by_image=4, by_both=2)


def test_figures_are_those_of_the_significant_neurons() -> None:
    found = judge_survival(BY_EXAM, BY_IMAGE)
    assert (found.label_stability, found.category_stability) == (0.5, 0.8)
    assert (found.agreeing, found.agreement, found.agreement_seen) == (3, 0.75, 0.9)
    assert found.labels == (LabelCount("round mass", 2, "untestable"), LabelCount("something", 1, "qualified"))
    assert found.verdicts == {"untestable": 2, "qualified": 1}


def named(neuron: Neuron, verdict: UnitVerdict) -> Neuron:
    return replace(neuron, evidence=replace(neuron.evidence or Evidence(), verdict=verdict))


def test_names_and_verdicts_are_counted() -> None:
    mass = UnitVerdict(Verdict.NAMED, "masses", "category", 0.1)
    something = UnitVerdict(Verdict.UNVERIFIED, "something", "concept", 0.2)
    neurons = (named(unit(0, MASS), mass), named(unit(1, MASS), mass), named(unit(2, SOMETHING), something))
    known = replace(EVIDENCE, verdicts=JobVerdicts(0.1, 0.07, 0.5, 40, 0.9))
    judged = dissection(LayerDissection("a", (*neurons, unit(3, None))), evidence=known)

    found = judge_survival(judged, judged)
    assert found.called == VerdictCounts(named=2, unverified=1)
    assert found.error == 0.07
    assert found.names == (("masses", 2),)


def test_nothing_significant_has_no_figures() -> None:
    nothing = dissection(LayerDissection("a", (unit(0, MASS, significant=False),)))
    found = judge_survival(nothing, nothing)
    assert (found.label_stability, found.agreement, found.labels, found.verdicts) == (None, None, (), {})
