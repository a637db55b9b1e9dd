"""What is concluded from all layers together, and where nothing is."""

from dataclasses import replace

import pytest

from service.analysis.conclusions import NO_DIRECTIONS, conclude
from service.analysis.discoveries import control_discoveries
from service.domain.evidence import Evidence, JobEvidence, Qualification, QualificationStatus, Watched
from service.domain.neurons import LayerDissection, Neuron
from service.domain.verdicts import DirectionFigures, JobVerdicts
from tests.analysis.invented import CLIP, CONCEPTS, DOG, EVIDENCE, MASS, layer, near, unit

LAYERS = [layer("a", MASS, None), layer("b", MASS)]


def known(concept: int, verdict: QualificationStatus) -> Qualification:
    return Qualification(concept, CONCEPTS.texts[concept], "a column = yes", verdict, 10, 10)


def refusal(layers: list[LayerDissection], evidence: JobEvidence) -> str | None:
    judged, concluded = conclude(layers, evidence, CONCEPTS, 0.05)
    assert all(neuron.verdict is None for one in judged for neuron in one.neurons)
    assert concluded is not None
    assert concluded.verdicts is not None
    assert (concluded.verdicts.error_level, concluded.verdicts.error) == (0.05, None)
    return concluded.verdicts.refused


def test_a_job_whose_activations_were_not_kept_has_no_verdicts_and_says_why() -> None:
    assert refusal(LAYERS, EVIDENCE) == NO_DIRECTIONS


def test_a_job_that_cannot_be_tested_has_no_verdicts_and_says_why() -> None:
    assert refusal(LAYERS, replace(EVIDENCE, refused="Only 7 exams.")) == "Only 7 exams."


def test_whoever_probed_may_know_more_of_the_reason() -> None:
    too_many = JobVerdicts(0.1, None, 0.0, 0, 0.0, refused="Activations of 9 TB are too many to keep.")
    assert refusal(LAYERS, replace(EVIDENCE, verdicts=too_many)) == too_many.refused


def test_where_no_evidence_was_asked_for_there_is_nothing_to_conclude() -> None:
    bare = [layer("a", MASS, significant=None)]
    assert conclude(bare, None, CONCEPTS, 0.1) == (tuple(bare), None)


def test_every_live_unit_with_a_direction_has_a_verdict() -> None:
    directed = replace(unit(0, MASS), evidence=_directed(unit(0, MASS)))
    (judged,), concluded = conclude([LayerDissection("a", (directed, unit(1, None)))], EVIDENCE, CONCEPTS, 0.1)
    assert judged.neurons[0].verdict is not None
    assert judged.neurons[1].verdict is None
    assert concluded is not None
    assert concluded.verdicts is not None
    assert concluded.verdicts.refused is None


def _directed(neuron: Neuron) -> Evidence:
    assert neuron.evidence is not None
    return replace(neuron.evidence, direction=DirectionFigures(0.5, 0.001, 0.45, 0.8, 0.1))


def watching(*responses: Watched) -> list[LayerDissection]:
    return [LayerDissection("a", (unit(0, MASS, watched=responses), unit(1, MASS)))]


def test_responses_count_to_concepts_that_images_show_and_the_dissector_sees() -> None:
    responses = (Watched(CLIP, "surgical clip", 0.001, 4.0), Watched(DOG, "dog", 0.001, 4.0))
    evidence = replace(EVIDENCE, watched=(known(CLIP, "qualified"), known(DOG, "untestable")))
    (controlled,), _ = control_discoveries(watching(*responses), evidence, watched=2)
    assert controlled.neurons[0].evidence is not None
    (clip,) = controlled.neurons[0].evidence.watched
    assert (clip.concept, clip.q) == (CLIP, near(0.002)), "two units, and one concept that counts"


@pytest.mark.parametrize("verdict", ["absent", "untestable"])
def test_nothing_is_watched_that_no_image_shows(verdict: QualificationStatus) -> None:
    evidence = replace(EVIDENCE, watched=(known(CLIP, verdict),))
    layers = watching(Watched(CLIP, "surgical clip", 0.001, 4.0))
    (controlled,), _ = control_discoveries(layers, evidence, watched=2)
    assert controlled.neurons[0].evidence is not None
    assert controlled.neurons[0].evidence.watched == ()


def test_a_response_that_the_label_implies_is_none() -> None:
    evidence = replace(EVIDENCE, watched=(known(CLIP, "qualified"),))
    implied = Watched(CLIP, "surgical clip", 0.001, 4.0, partial=0.01, partial_p=0.4)
    (controlled,), _ = control_discoveries(watching(implied), evidence, watched=2)
    assert controlled.neurons[0].evidence is not None
    assert controlled.neurons[0].evidence.watched[0].q == near(0.8)


def test_results_of_earlier_releases_keep_all_their_responses() -> None:
    responses = (Watched(CLIP, "surgical clip", 0.001, 4.0), Watched(DOG, "dog", 0.001, 4.0))
    (controlled,), _ = control_discoveries(watching(*responses), EVIDENCE, watched=2)
    assert controlled.neurons[0].evidence is not None
    assert [response.q for response in controlled.neurons[0].evidence.watched] == [near(0.002), near(0.002)]
