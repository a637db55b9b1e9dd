"""The figures of units: of a concept, of two that are nearly one, of nothing that a concept says, and of noise."""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from service.domain.concepts import Concept, ConceptSet
from service.domain.verdicts import DECOYS_AHEAD, DirectionFigures
from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.background import Background, background_of
from service.engine.evidence.explaining import direction_figures
from tests.engine.evidence.planted import (
    CONCEPT_SET,
    CONCEPTS,
    EXAMS,
    IMAGES,
    WIDTH,
    embeddings,
    following,
    moments_of,
    pieces,
    texts,
)


def _background(
    images: Tensor,
    concept_set: ConceptSet = CONCEPT_SET,
    finding_of_concept: Mapping[int, str] | None = None,
    findings: Sequence[frozenset[str] | None] = (None,) * IMAGES,
) -> Background:
    finding_of_concept = finding_of_concept or {}
    return background_of(lambda: pieces(images), EXAMS, concept_set, texts(), finding_of_concept, findings, {})


def _figures(
    directions: Tensor, labels: list[int], signal: float = 2.0, concept_set: ConceptSet = CONCEPT_SET
) -> list[DirectionFigures]:
    images = embeddings()
    moments = moments_of(images, following(images, directions, signal))
    return direction_figures(moments, torch.tensor(labels), _background(images, concept_set), texts(), KeptAxes())


def test_a_concept_that_a_unit_follows_explains_it() -> None:
    for figures in _figures(texts()[:5], [0, 1, 2, 3, 4]):
        assert figures.explained > 0.9
        assert figures.fit_p < 1e-6
        assert figures.decoy_p <= DECOYS_AHEAD / 41
        assert figures.decoys_ahead == ()
        assert figures.rivals == ()


def test_a_label_that_is_not_what_the_unit_follows_has_that_as_a_rival() -> None:
    figures = _figures(texts()[:1], [7])[0]

    assert 0 in figures.rivals
    # The competition is of the best concept, whatever the label is.
    assert figures.decoy_p <= DECOYS_AHEAD / 41


def test_of_a_unit_that_no_concept_says_decoys_explain_as_much() -> None:
    unnamed = torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(3))
    figures = _figures(unnamed, [0] * 40)

    assert sum(of_unit.fit > 0.8 for of_unit in figures) == 40
    behind = [of_unit for of_unit in figures if len(of_unit.decoys_ahead) == DECOYS_AHEAD]
    assert len(behind) > 30
    assert all(sorted(of_unit.decoys_ahead, reverse=True) == list(of_unit.decoys_ahead) for of_unit in behind)


def test_noise_fits_nothing() -> None:
    figures = _figures(texts()[:20], [0] * 20, signal=0.0)

    assert sum(of_unit.fit_p < 0.05 for of_unit in figures) <= 3


def test_what_the_dissector_takes_for_another_concept_is_its_rival() -> None:
    images = embeddings()
    has = (images @ texts()[5]) > 1
    findings = [frozenset({"finding"}) if of_image else frozenset[str]() for of_image in has.tolist()]

    assert _background(images, CONCEPT_SET, {9: "finding"}, findings).confusions == {5: (9,)}


def test_images_whose_findings_are_not_known_have_no_part_in_what_is_confused() -> None:
    images = embeddings()
    has = ((images @ texts()[5]) > 1).tolist()
    known = [frozenset({"finding"}) if of_image else frozenset[str]() for of_image in has]
    findings = [of_image if number % 2 else None for number, of_image in enumerate(known)]

    assert _background(images, CONCEPT_SET, {9: "finding"}, findings).confusions == {5: (9,)}


def test_a_constant_unit_has_figures_that_say_nothing() -> None:
    images = embeddings()
    moments = moments_of(images, torch.ones(IMAGES, 1))
    figures = direction_figures(moments, torch.tensor([0]), _background(images), texts(), KeptAxes())[0]

    assert (figures.fit, figures.correlation, figures.explained) == (0, 0, 0)
    assert figures.decoy_p == 1
    assert dataclasses.asdict(figures)["parts"] == ()


def test_where_no_image_can_show_any_concept_nothing_competes() -> None:
    everyday = ConceptSet("everyday", tuple(Concept(str(place), mammographic=False) for place in range(CONCEPTS)))
    figures = _figures(texts()[:1], [0], concept_set=everyday)[0]

    assert figures.explained > 0.9
    assert (figures.decoy_p, figures.decoy_explained) == (1, 0)
