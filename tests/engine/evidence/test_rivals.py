"""Rivals: concepts that a label does not beat, and what the dissector takes for another concept."""

import torch

from service.engine.evidence.directions import concept_correlations
from service.engine.evidence.rivals import Field, confusions_of, rivals_of
from tests.engine.evidence.planted import CONCEPTS, IMAGES, embeddings, following, moments_of, texts


def _near_texts() -> torch.Tensor:
    """Concept 1 is nearly concept 0."""
    near = texts()
    near[1] = near[0] + 0.05 * near[1]
    lengths: torch.Tensor = near.norm(dim=1, keepdim=True)
    return near / lengths


def _correlations(unit: torch.Tensor, signal: float = 1.0) -> tuple[torch.Tensor, Field]:
    images = embeddings()
    moments = moments_of(images, following(images, unit, signal))
    eligible = torch.arange(CONCEPTS) < 54
    return concept_correlations(moments, _near_texts()), Field.of(moments, _near_texts(), eligible, IMAGES)


def test_a_concept_that_is_nearly_the_label_is_its_rival_and_others_are_not() -> None:
    correlations, field = _correlations(_near_texts()[:1])
    rivals = rivals_of(correlations, torch.tensor([0]), field, {})

    assert rivals[0].concepts == (1,)
    assert rivals[0].next_p < 0.01


def test_a_concept_that_no_image_can_show_is_a_rival_only_where_it_is_ahead() -> None:
    correlations, field = _correlations(_near_texts()[:1])
    ahead = int(correlations[0, :2].argmax())
    behind = 1 - ahead

    def rivals(label: int, hidden: int) -> tuple[int, ...]:
        of_others = Field(field.between, torch.arange(CONCEPTS) != hidden, field.images, field.independent)
        return rivals_of(correlations, torch.tensor([label]), of_others, {})[0].concepts

    assert rivals(label=behind, hidden=ahead) == (ahead,)
    assert rivals(label=ahead, hidden=behind) == ()


def test_fewer_independent_images_make_more_rivals() -> None:
    correlations, field = _correlations(_near_texts()[:1], signal=0.3)
    fewer = Field(field.between, field.eligible, IMAGES, IMAGES / 60)

    many = rivals_of(correlations, torch.tensor([0]), fewer, {})[0].concepts
    assert set(rivals_of(correlations, torch.tensor([0]), field, {})[0].concepts) < set(many)


def test_what_the_dissector_takes_for_the_label_is_its_rival() -> None:
    correlations, field = _correlations(_near_texts()[5:6])

    assert rivals_of(correlations, torch.tensor([5]), field, {5: (9,)})[0].concepts == (9,)


def test_a_finding_that_is_called_by_another_concept_is_confused_with_it() -> None:
    correlations, field = _correlations(_near_texts()[[5, 7]], signal=3.0)
    confusions = confusions_of(correlations, torch.tensor([9, 7]), 0.1, field)

    assert confusions == {5: (9,)}


def test_a_finding_that_the_dissector_does_not_see_is_confused_with_nothing() -> None:
    correlations, field = _correlations(_near_texts()[[5]], signal=0.0)

    assert confusions_of(correlations, torch.tensor([9]), 0.3, field) == {}
