"""The evidence of whole dissections: planted units are found, noise is not, and what cannot be known is said."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from service.analysis.discoveries import control_discoveries
from service.analysis.verdicts import give_verdicts
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.neurons import Dissection, Neuron
from service.domain.verdicts import Verdict
from service.engine.dissect import dissect
from service.engine.probing.probe import ProbingPass
from tests.engine.toys import ArrayImages, Lookup, Stored, no_progress, target_of

CPU = torch.device("cpu")
EXAMS, PER_EXAM, WIDTH = 60, 4, 24
IMAGES = EXAMS * PER_EXAM
FINDINGS = ("calcification", "mass", "clip")
CONCEPTS = ConceptSet(
    "findings",
    tuple(Concept(str(place), category=f"category {place % 3}", watched=place == 2) for place in range(20)),
)
NAMES = dict(enumerate(FINDINGS))
"""The first three concepts name the findings."""

OPTIONS = DissectionOptions(None, Method.of(top_k=20), evidence=EvidenceOptions(draws=2_000, resamples=40, halves=6))
NOISE = 24


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


OF_EXAM = torch.arange(IMAGES) // PER_EXAM
PRESENT = (drawn(EXAMS, 3, seed=1) > 0.4)[OF_EXAM]
"""bool [N, 3]: an exam's images have the same findings."""

TEXTS = drawn(20, WIDTH, seed=2)
SIGHT = PRESENT.float() @ TEXTS[:3] * 0.8 + drawn(IMAGES, WIDTH, seed=3)
UNITS = torch.cat(
    [
        PRESENT.float() * 2.0 + drawn(IMAGES, 3, seed=4),  # units 0, 1, 2 know a finding each
        torch.zeros(IMAGES, 1),  # unit 3 is dead
        drawn(EXAMS, NOISE, seed=5)[OF_EXAM] + 0.3 * drawn(IMAGES, NOISE, seed=6),  # the others know patients
    ],
    dim=1,
)


Fields = Callable[[int, int], dict[str, Any]]
"""What a manifest says of an image, given its number and that of its exam."""


def by_exam(_image: int, exam: int) -> dict[str, Any]:
    return {"exam_id": str(exam)}


def probe_set(*, known: Fields = by_exam, findings: bool = True, images: int = IMAGES) -> ArrayImages:
    probe = ArrayImages([np.full((3, 2, 2), index, np.float32) for index in range(images)])
    probe.items = tuple(
        replace(
            item,
            findings=frozenset(name for name, there in zip(FINDINGS, present, strict=True) if there)
            if findings
            else None,
            **known(image, exam),
        )
        for image, (item, exam, present) in enumerate(
            zip(probe.items, OF_EXAM.tolist(), PRESENT.tolist(), strict=False)
        )
    )
    return probe


def judged(
    images: ArrayImages,
    options: DissectionOptions = OPTIONS,
    *,
    units: Tensor = UNITS,
    names: Mapping[int, str] = MappingProxyType(NAMES),
    independent: str | None = None,
) -> Dissection:
    probing_pass = ProbingPass(
        target=target_of(Lookup({"units": units}), CPU, "layers.units"),
        dissector=Stored(SIGHT, TEXTS),
        images=images,
        options=options,
        device=CPU,
        batch_size=32,
    )
    known = any(item.findings is not None for item in images.items)
    found = dissect(
        probing_pass,
        CONCEPTS,
        finding_of_concept=names if known else {},
        independent=independent,
        progress=no_progress,
    )
    layers, evidence = control_discoveries(found.layers, found.evidence, watched=1)
    return replace(found, layers=layers, evidence=evidence)


def neurons(dissection: Dissection) -> tuple[Neuron, ...]:
    return dissection.layers[0].neurons


@pytest.fixture(scope="module")
def whole() -> Dissection:
    return judged(probe_set())


def test_findings_that_mean_the_same_are_one(whole: Dissection) -> None:
    images = probe_set()
    images.items = tuple(
        replace(
            item, findings=frozenset("masses" if name == "mass" and item.row % 2 else name for name in item.findings)
        )
        if item.findings
        else item
        for item in images.items
    )
    united = judged(images, names={**NAMES, 1: "mass | masses"})
    assert whole.evidence is not None
    assert united.evidence is not None
    assert united.evidence.findings == ("calcification", "clip", "mass", "masses")
    assert united.evidence.unmatched == ()
    for one, joined in zip(whole.evidence.qualifications, united.evidence.qualifications, strict=True):
        assert joined == replace(one, finding=NAMES[one.concept] if one.concept != 1 else "mass | masses")
    for unit, other in zip(neurons(whole), neurons(united), strict=True):
        if unit.evidence is None or unit.evidence.agreement is None:
            assert other.evidence is None or other.evidence.agreement is None
            continue
        renamed = unit.evidence.agreement.finding.replace("mass", "mass | masses")
        assert other.evidence is not None
        assert other.evidence.agreement == replace(unit.evidence.agreement, finding=renamed)

    apart = judged(images)
    assert apart.evidence is not None
    assert apart.evidence.unmatched == ("masses",)
    assert apart.evidence.qualifications[1].positives < united.evidence.qualifications[1].positives


def test_units_that_know_a_finding_are_named_after_it_and_noise_is_no_concept(whole: Dissection) -> None:
    known, dead, noise = neurons(whole)[:3], neurons(whole)[3], neurons(whole)[4:]
    assert [one.label and one.label.concept for one in known] == [0, 1, 2]
    assert (dead.dead, dead.evidence, dead.label, dead.significant) == (True, None, None, None)
    assert sum(one.label is not None for one in noise) <= 1
    assert whole.evidence is not None
    assert (whole.evidence.tests, whole.evidence.drawn_by, whole.evidence.units) == (3 + NOISE, "exam", EXAMS)


def test_labels_that_stand_are_stable_and_agree_with_the_finding(whole: Dissection) -> None:
    for place, one in enumerate(neurons(whole)[:3]):
        assert one.evidence is not None
        assert one.evidence.stability is not None
        assert one.evidence.stability.label > 0.9
        assert one.evidence.stability.prediction_set == (str(place),)
        assert one.evidence.agreement is not None
        assert one.evidence.agreement.finding == FINDINGS[place]
        assert one.evidence.agreement.auroc > 0.8
        assert one.evidence.quality is not None
    stabilities = [
        one.evidence.stability.label for one in neurons(whole)[4:] if one.evidence and one.evidence.stability
    ]
    assert float(np.median(stabilities)) < 0.6


def test_a_unit_that_responds_to_a_watched_concept_says_so(whole: Dissection) -> None:
    responding = [
        one.unit
        for one in neurons(whole)
        if one.evidence is not None and any((watched.q or 0) <= 0.05 for watched in one.evidence.watched)
    ]
    assert 2 in responding
    assert len(responding) <= 2


def test_the_dissector_is_qualified_for_what_it_sees(whole: Dissection) -> None:
    assert whole.evidence is not None
    assert [(one.text, one.finding, one.verdict) for one in whole.evidence.qualifications] == [
        (str(place), finding, "qualified") for place, finding in enumerate(FINDINGS)
    ]
    assert whole.evidence.findings == tuple(sorted(FINDINGS))


KNOWN: dict[str, tuple[Fields, tuple[str, int, int]]] = {
    "patients": (lambda image, exam: {"patient_id": str(exam)}, ("patient", EXAMS, 0)),
    "both": (lambda image, exam: {"exam_id": str(exam), "patient_id": str(exam)}, ("patient", EXAMS, 0)),
    "two exams of each patient": (
        lambda image, exam: {"exam_id": f"{image // 2}", "patient_id": str(exam)},
        ("patient", EXAMS, 0),
    ),
    "exams of some, patients of others": (
        lambda image, exam: {"exam_id" if exam % 2 else "patient_id": str(exam)},
        ("patient", EXAMS, 0),
    ),
    "copies": (lambda image, exam: {"sha256": f"{exam:064x}"}, ("image", EXAMS, IMAGES - EXAMS)),
    "copies under other patients": (
        lambda image, exam: {"patient_id": str(image), "sha256": f"{exam:064x}"},
        ("patient", EXAMS, IMAGES - EXAMS),
    ),
}


@pytest.mark.parametrize(("known", "expected"), KNOWN.values(), ids=KNOWN.keys())
def test_whatever_keeps_images_together_gives_the_same_evidence(
    whole: Dissection, known: Fields, expected: tuple[str, int, int]
) -> None:
    found = judged(probe_set(known=known))
    assert found.evidence is not None
    assert whole.evidence is not None
    assert (found.evidence.drawn_by, found.evidence.units, found.evidence.repeated or 0) == expected
    assert found.layers == whole.layers
    if not expected[2]:
        assert found.evidence.qualifications == whole.evidence.qualifications


CHOSEN: dict[str, tuple[Fields, str, tuple[str, str]]] = {
    "a column": (lambda image, exam: {"strata": {"site": str(exam)}}, "site", ("group", f"{EXAMS} groups by 'site'")),
    "a column of which exams are parts": (
        lambda image, exam: {"exam_id": str(image), "strata": {"site": str(exam)}},
        "site",
        ("group", f"{EXAMS} groups by 'site'"),
    ),
    "patients": (
        lambda image, exam: {"exam_id": f"{image // 2}", "patient_id": str(exam)},
        "patient",
        ("patient", f"{EXAMS} patients"),
    ),
    "exams": (
        lambda image, exam: {"exam_id": str(exam), "patient_id": str(exam // 2)},
        "exam",
        ("exam", f"{EXAMS} exams"),
    ),
    "images with copies": (
        lambda image, exam: {"exam_id": str(image), "sha256": f"{exam:064x}"},
        "image",
        ("image", f"{EXAMS} images"),
    ),
}


@pytest.mark.parametrize(("known", "independent", "expected"), CHOSEN.values(), ids=CHOSEN.keys())
def test_what_was_chosen_is_what_is_drawn(
    whole: Dissection, known: Fields, independent: str, expected: tuple[str, str]
) -> None:
    found = judged(probe_set(known=known), independent=independent)
    assert found.evidence is not None
    assert (found.evidence.drawn_by, found.evidence.units_in_words) == expected
    assert found.evidence.independent == independent
    assert found.layers == whole.layers


def test_copies_do_not_make_enough_images_of_a_few() -> None:
    images = probe_set(known=lambda image, exam: {"sha256": f"{exam:064x}"}, images=24 * PER_EXAM)
    found = judged(images)
    assert found.evidence is not None
    for one in found.evidence.qualifications:
        exams = PRESENT[: 24 * PER_EXAM : PER_EXAM, FINDINGS.index(one.finding)]
        assert (one.positives, one.negatives) == (int(exams.sum()), int((~exams).sum()))


def test_images_that_name_nobody_are_counted_where_others_do() -> None:
    found = judged(probe_set(known=lambda image, exam: {"patient_id": str(exam)} if image % PER_EXAM else {}))
    assert found.evidence is not None
    assert (found.evidence.drawn_by, found.evidence.units, found.evidence.nameless) == ("patient", 2 * EXAMS, EXAMS)


def test_without_exams_images_are_drawn_and_that_is_said() -> None:
    found = judged(probe_set(known=lambda image, exam: {}))
    assert found.evidence is not None
    assert (found.evidence.drawn_by, found.evidence.units, found.evidence.refused) == ("image", IMAGES, None)
    assert found.evidence.repeated is None, "nobody has read the files"
    assert sum(one.label is not None for one in neurons(found)[4:]) > 3, "patients are taken for concepts"


def test_without_findings_labels_are_tested_and_the_rest_says_why_not() -> None:
    found = judged(probe_set(findings=False))
    assert found.evidence is not None
    assert (found.evidence.findings, found.evidence.qualifications) == (None, ())
    assert found.evidence.no_agreement == "The probe set's manifest has no findings."
    assert [one.label and one.label.concept for one in neurons(found)[:3]] == [0, 1, 2]
    assert all(one.evidence is None or one.evidence.agreement is None for one in neurons(found))


def test_with_too_few_exams_nothing_is_inferred_but_everything_labelled() -> None:
    found = judged(probe_set(images=19 * PER_EXAM))
    assert found.evidence is not None
    assert found.evidence.refused == "The probe set has 19 exams, but at least 20 are needed."
    assert found.evidence.no_agreement == found.evidence.refused, "halves are not labelled either"
    assert found.layers[0].null is None
    living = [one for one in neurons(found) if not one.dead]
    assert all(one.label is not None and one.significant is None for one in living)
    assert all(one.evidence and one.evidence.significance is None and one.evidence.quality for one in living)


def test_a_similarity_without_a_null_says_so() -> None:
    found = judged(probe_set(), replace(OPTIONS, method=Method.of("cosine_cubed")))
    assert found.evidence is not None
    assert (
        found.evidence.refused
        == "Significance cannot be tested with cosine_cubed, only with soft_wpmi, wpmi, contrast, contrast_scan, "
        "correlation."
    )
    assert all(one.label is not None for one in neurons(found) if not one.dead)


def test_no_draws_no_evidence() -> None:
    found = judged(probe_set(), replace(OPTIONS, evidence=EvidenceOptions(draws=0)))
    assert found.evidence is None
    assert all(one.evidence is None for one in neurons(found))


def test_a_layer_of_dead_units_is_told_and_not_tested() -> None:
    found = judged(probe_set(), units=torch.ones(IMAGES, 3))
    assert [one.dead for one in neurons(found)] == [True] * 3
    assert found.evidence is not None
    assert (found.evidence.tests, found.layers[0].null) == (0, None)


def test_units_have_directions_and_those_that_know_a_finding_are_named(whole: Dissection) -> None:
    assert whole.evidence is not None
    layers, of_job = give_verdicts(whole.layers, whole.evidence, CONCEPTS, 0.3)
    verdicts = [neuron.evidence.verdict if neuron.evidence else None for neuron in layers[0].neurons]

    known = [verdict.name for verdict in verdicts[:3] if verdict]
    assert known == ["0", "1", "2"]
    assert verdicts[3] is None, "a dead unit has none"
    noise = [verdict.verdict for verdict in verdicts[4:] if verdict]
    assert len(noise) == NOISE
    assert noise.count(Verdict.NO_SIGNAL) >= NOISE - 1
    assert of_job.refused is None


def test_too_few_exams_make_no_directions() -> None:
    found = judged(probe_set(images=19 * PER_EXAM))

    assert all(neuron.evidence is None or neuron.evidence.direction is None for neuron in neurons(found))
