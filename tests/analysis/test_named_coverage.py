"""Where a job has verdicts, named neurons alone represent anything."""

from dataclasses import replace

from service.analysis.coverage import LayerCount, cover
from service.analysis.network_facts import network_facts
from service.analysis.watch_list import watch
from service.domain.evidence import Evidence, Qualification, Watched
from service.domain.neurons import LayerDissection, Neuron
from service.domain.verdicts import (
    DirectionFigures,
    JobVerdicts,
    LayerErrors,
    NamePart,
    UnitVerdict,
    Verdict,
    VerdictCounts,
)
from tests.analysis.invented import CALCIFICATIONS, CLIP, CONCEPTS, EVIDENCE, MASS, OVAL, near, unit

VERDICTS = JobVerdicts(0.1, 0.05, 0.7, 240, 0.9, (LayerErrors("a", 3, 0.2),))
JUDGED = replace(EVIDENCE, verdicts=VERDICTS)


def called(number: int, concept: int, verdict: UnitVerdict, *parts: int, watched: tuple[Watched, ...] = ()) -> Neuron:
    named_parts = tuple(NamePart(part, CONCEPTS.texts[part], 0.3) for part in parts)
    figures = DirectionFigures(0.5, 0.001, 0.45, 0.8, 0.1, parts=named_parts)
    neuron = unit(number, concept, watched=watched)
    assert isinstance(neuron.evidence, Evidence)
    return replace(neuron, evidence=replace(neuron.evidence, verdict=verdict, direction=figures))


LAYER = LayerDissection(
    "a",
    (
        called(0, MASS, UnitVerdict(Verdict.NAMED, "round mass", "concept", 0.05)),
        called(1, OVAL, UnitVerdict(Verdict.NAMED, "mass", "category", 0.05)),
        called(2, OVAL, UnitVerdict(Verdict.NAMED, "...", "combination", 0.05), CALCIFICATIONS, OVAL),
        called(3, OVAL, UnitVerdict(Verdict.UNVERIFIED, "oval mass", "concept", 0.05)),
        called(4, OVAL, UnitVerdict(Verdict.UNNAMED)),
        called(5, OVAL, UnitVerdict(Verdict.NO_SIGNAL)),
        unit(6, None),
    ),
)
MUST_HAVE = [("round mass", MASS), ("oval mass", OVAL), ("grouped calcifications", CALCIFICATIONS)]


def test_named_neurons_represent_and_significant_ones_are_counted_beside() -> None:
    found = cover([LAYER], CONCEPTS, JUDGED, MUST_HAVE)
    assert (found.counted, found.named, found.significant, found.tested) == ("named", 3, 6, 6)
    assert [concept.neurons for concept in found.concepts[:3]] == [1, 0, 1]
    assert [missing.text for missing in found.missing] == ["oval mass"]
    assert found.missing[0].category_neurons == 2


def test_a_neuron_that_is_named_after_a_category_is_the_categorys_alone() -> None:
    mass, calcification, *_ = cover([LAYER], CONCEPTS, JUDGED, MUST_HAVE).categories
    assert (mass.neurons, mass.represented, mass.share) == (2, 1, 0.5)
    assert mass.layers == (LayerCount("a", 2, near(0.4)),)
    assert calcification.neurons == 1

    findings, *_ = cover([LAYER], CONCEPTS, JUDGED, MUST_HAVE).broad_categories
    assert findings.neurons == 3


def test_without_verdicts_significant_neurons_represent_as_before() -> None:
    refused = replace(EVIDENCE, verdicts=replace(VERDICTS, refused="Activations were not kept."))
    for evidence in (EVIDENCE, refused):
        found = cover([LAYER], CONCEPTS, evidence, MUST_HAVE)
        assert (found.counted, found.named, found.significant) == ("significant", None, 6)
        assert found.concepts[OVAL].neurons == 5


def test_an_audit_knows_how_many_neurons_have_which_verdict() -> None:
    facts = network_facts([LAYER], CONCEPTS, JUDGED)
    assert facts.verdicts == VerdictCounts(named=3, unverified=1, unnamed=1, no_signal=1)
    assert (facts.no_verdicts, facts.watched, facts.significant) == (None, None, 6)
    assert facts.share_of(Verdict.NAMED) == 0.5
    assert dict(facts.categories) == {"mass": 2, "calcification": 1}


def responding(partial: float | None) -> LayerDissection:
    response = Watched(
        CLIP, "surgical clip", 0.001, 4.0, 0.01, partial=partial, partial_p=None if partial is None else 0
    )
    return LayerDissection("a", (unit(0, MASS, watched=[response], resampled=[MASS] * 10),))


def test_a_watched_response_counts_beyond_what_the_label_implies() -> None:
    known = Qualification(CLIP, "surgical clip", "clip = yes", "qualified", 9, 9)
    evidence = replace(EVIDENCE, watched=(known,))
    assert len(watch([responding(0.3)], CONCEPTS, evidence).neurons) == 1
    assert watch([responding(0.05)], CONCEPTS, evidence).neurons == ()
    assert watch([responding(None)], CONCEPTS, evidence).neurons == (), "not among the best concepts of the neuron"


def test_a_watch_list_says_what_could_not_be_looked_for() -> None:
    found = watch([responding(0.3)], CONCEPTS, replace(EVIDENCE, watched=()))
    assert (found.watched, found.neurons, found.share) == (0, (), 0.0)
    assert (found.unknown, found.rare, found.unseen) == (("surgical clip",), (), ())

    for verdict, listed in (("absent", "rare"), ("untestable", "unseen")):
        known = Qualification(CLIP, "surgical clip", "clip = yes", verdict, 3, 90)  # type: ignore[arg-type]
        found = watch([responding(0.3)], CONCEPTS, replace(EVIDENCE, watched=(known,)))
        assert (found.watched, getattr(found, listed), found.unknown) == (0, ("surgical clip",), ())
