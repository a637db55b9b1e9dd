"""What a report says neurons may be called, and which of them a person should look at."""

from dataclasses import replace

from service.domain.neurons import LayerDissection, Neuron, count_verdicts, total_verdicts
from service.domain.verdicts import DirectionFigures, JobVerdicts, LayerErrors, UnitVerdict, Verdict, VerdictCounts
from service.reports.layers import layer_line, named_neurons
from service.reports.pictures import pictured_images
from service.reports.verdicts import UNNAMED, unnamed_neurons, verdict_sentences
from tests.analysis.invented import CONCEPTS, EVIDENCE, MASS, OVAL, layer, unit

VERDICTS = JobVerdicts(0.1, 0.043, 0.7, 240, 0.9, (LayerErrors("a", 2, 0.05),))
JUDGED = replace(EVIDENCE, verdicts=VERDICTS)


def called(number: int, verdict: Verdict, fit: float = 0.5) -> Neuron:
    name = "round mass" if verdict in {Verdict.NAMED, Verdict.UNVERIFIED} else None
    neuron = unit(number, MASS if name else OVAL)
    assert neuron.evidence is not None
    figures = DirectionFigures(fit, 0.001, 0.3, 0.4, 0.1)
    evidence = replace(neuron.evidence, direction=figures, verdict=UnitVerdict(verdict, name))
    return replace(neuron, evidence=evidence)


LAYER = LayerDissection(
    "a",
    (
        called(0, Verdict.NAMED),
        called(1, Verdict.NAMED),
        called(2, Verdict.UNVERIFIED),
        called(3, Verdict.UNNAMED, 0.2),
        called(4, Verdict.UNNAMED, 0.9),
        called(5, Verdict.NO_SIGNAL),
        unit(6, None),
    ),
)
COUNTS = count_verdicts([LAYER])


def test_each_verdict_has_a_sentence_with_figures() -> None:
    named, unverified, unnamed, no_signal = verdict_sentences(COUNTS, JUDGED)
    assert named.startswith("2 neurons are named (33 % of those with a verdict). Of the names given, 4 % are wrong")
    assert "at most 10 % were allowed" in named
    assert unverified.startswith("1 neuron follows a concept, but nobody knows whether the dissector sees it")
    assert unnamed.endswith("These are the neurons that a person should look at.")
    assert no_signal.startswith("1 neuron is without a signal")


def test_verdicts_of_layers_add_up() -> None:
    assert count_verdicts([LAYER]) == VerdictCounts(named=2, unverified=1, unnamed=2, no_signal=1)
    summaries = [layer_line(number, each, CONCEPTS).summary for number, each in enumerate((LAYER, LAYER), start=1)]
    assert total_verdicts(summaries) == VerdictCounts(named=4, unverified=2, unnamed=4, no_signal=2)
    assert total_verdicts([layer_line(1, layer("b", MASS), CONCEPTS).summary]) is None


def test_an_error_of_nearly_nothing_is_not_nothing() -> None:
    named, *_ = verdict_sentences(COUNTS, replace(JUDGED, verdicts=replace(VERDICTS, error=0.001)))
    assert "< 1 % are wrong as estimated" in named


def test_decoys_that_match_poorly_are_told() -> None:
    *_, last = verdict_sentences(COUNTS, replace(JUDGED, verdicts=replace(VERDICTS, decoy_match=0.4)))
    assert "match the concepts poorly (0.40 of 1)" in last


def test_why_there_are_no_verdicts_is_told_where_it_is_known() -> None:
    refused = replace(JUDGED, verdicts=replace(VERDICTS, refused="Activations were not kept."))
    (sentence,) = verdict_sentences(COUNTS, refused)
    assert sentence.endswith("Activations were not kept.")
    assert list(verdict_sentences(None, EVIDENCE)) == []
    assert list(verdict_sentences(None, None)) == []


def test_neurons_to_look_at_come_by_their_fit() -> None:
    shown = unnamed_neurons([LAYER])
    assert [(neuron.layer_number, neuron.unit, neuron.fit, neuron.nearest) for neuron in shown] == [
        (1, 4, 0.9, "oval mass"),
        (1, 3, 0.2, "oval mass"),
    ]
    many = LayerDissection("b", tuple(called(number, Verdict.UNNAMED) for number in range(40)))
    assert [neuron.unit for neuron in unnamed_neurons([many])] == list(range(UNNAMED))
    assert pictured_images([LAYER], CONCEPTS, JUDGED) == [], "invented neurons have no images"


def test_where_there_are_verdicts_named_and_unverified_neurons_have_a_label_that_counts() -> None:
    assert [neuron.unit for neuron in named_neurons(LAYER)] == [0, 1, 2]
    assert len(named_neurons(layer("a", MASS, OVAL))) == 2
