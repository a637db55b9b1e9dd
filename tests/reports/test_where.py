"""What a report says of where neurons look, against counts made by hand."""

from dataclasses import replace
from typing import cast

from service.domain.json_values import JsonObject
from service.domain.localisation import AgainstExchanged, Localisation, LocalisationEntry
from service.domain.neurons import LayerDissection, Neuron
from service.reports.where import WhereOfFinding, localisation_words, sum_up_where, where_sentences
from tests.analysis.invented import MASS, unit

ENTRY: LocalisationEntry = {
    "findings_given": ["lesion"],
    "quantiles": [0.9],
    "exchanges": 999,
    "most_units": 200,
    "most_images": 200,
    "most_cells": 1_536,
    "units": {"measured": 2, "no-map": 1, "no-finding": 3},
    "findings": {"mass": {"images": 9, "used": 8, "exams": 4}, "lesion": {"images": 2, "used": 2, "exams": 1}},
    "images_with_problems": 1,
    "problems": [{"row": 7, "why": "The box is outside the image."}],
}
MANIFEST = cast("JsonObject", {"localisation": ENTRY})
MUCH = Localisation("mass", from_label=True, images=8, exams=4, pointing=AgainstExchanged(0.75, 0.25, 0.001))
SOME = replace(MUCH, pointing=AgainstExchanged(0.5, 0.25, 0.2))
LESS = replace(MUCH, pointing=AgainstExchanged(0.125, 0.25, 0.9))
NO_MAP = Localisation("mass", from_label=True, why_not="no-map")


def looking(number: int, *localisations: Localisation) -> Neuron:
    neuron = unit(number, MASS)
    assert neuron.evidence is not None
    return replace(neuron, evidence=replace(neuron.evidence, localisations=localisations))


def layer_of(*localisations: Localisation) -> LayerDissection:
    return LayerDissection("a", tuple(looking(number, one) for number, one in enumerate(localisations)))


def test_neurons_that_point_at_a_finding_are_counted() -> None:
    found = sum_up_where(MANIFEST, [layer_of(MUCH, SOME), layer_of(LESS, NO_MAP)])
    assert found is not None
    assert (found.measured, found.above) == (3, 2)
    mass = WhereOfFinding("mass", images=9, used=8, exams=4, neurons=3, above=2, clearly_above=1)
    lesion = WhereOfFinding("lesion", images=2, used=2, exams=1, neurons=0, above=0, clearly_above=0)
    assert found.findings == (mass, lesion)
    assert [count for _, count in found.without] == [1, 3]
    assert found.without[1][0].startswith("the label means no finding")
    assert (found.problems, found.images_with_problems) == (((7, "The box is outside the image."),), 1)


def test_a_neuron_counts_once_for_all_of_its_findings() -> None:
    layer = LayerDissection("a", (looking(0, MUCH, replace(LESS, finding="lesion", from_label=False)),))
    found = sum_up_where(MANIFEST, [layer])
    assert found is not None
    assert (found.measured, found.above) == (1, 1)
    assert [line.above for line in found.findings] == [1, 0]
    (sentence,) = where_sentences(found)
    assert sentence.startswith("Of 1 neuron whose maps were held against places of findings, 1 points at them")


def test_where_nobody_asked_nothing_is_said() -> None:
    assert sum_up_where({}, [layer_of(MUCH)]) is None
    assert where_sentences(None) == []
    (sentence,) = where_sentences(sum_up_where(MANIFEST, [layer_of(NO_MAP)]))
    assert sentence == "Where neurons look could not be measured for any of them."


def test_figures_stand_beside_those_of_other_exams() -> None:
    assert localisation_words(MUCH) == (
        "'mass', 8 images of 4 exams: points at it in 0.75 (places of other exams 0.25, p 0.001)"
    )
    given = replace(MUCH, images=1, exams=1, from_label=False)
    assert localisation_words(given).startswith("'mass', which the job gave, 1 image of 1 exam: ")
    assert localisation_words(NO_MAP) == "not known for 'mass': the layer's output is no map over space"
