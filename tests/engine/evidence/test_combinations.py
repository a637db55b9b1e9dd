"""Combinations of concepts for planted mixtures, and none for what one concept or none names."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.combinations import LEAST_TOGETHER, Combination, combine_concepts
from service.engine.evidence.directions import held_out_fits
from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import FOLDS, Moments, folds_of_exams

_EXAMS, _PER_EXAM, _WIDTH, _CONCEPTS = 300, 4, 24, 10
_NAMES = tuple(f"concept {number}" for number in range(_CONCEPTS))


def _unit_length(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=1)


def _world(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings [N, D], texts [C, D], and each concept's cosine at mean 0 and deviation 1 [N, C]."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = _unit_length(torch.randn(_EXAMS * _PER_EXAM, _WIDTH, generator=generator))
    texts = _unit_length(torch.randn(_CONCEPTS, _WIDTH, generator=generator))
    cosines = embeddings @ texts.t()
    return embeddings, texts, (cosines - cosines.mean(dim=0)) / cosines.std(dim=0)


def _noise(units: int, seed: int = 1) -> Tensor:
    return torch.randn(_EXAMS * _PER_EXAM, units, generator=torch.Generator().manual_seed(seed))


def _exams(count: int) -> Exams:
    images = _EXAMS * _PER_EXAM
    return Exams(torch.arange(images) * count // images, count, "exam")


def _combine(
    embeddings: Tensor, texts: Tensor, activations: Tensor, eligible: dict[int, str] | None = None, exams: int = _EXAMS
) -> list[Combination | None]:
    folds = folds_of_exams(_exams(exams))
    moments = Moments.of_layer([(embeddings, activations)], folds, FOLDS)
    eligible = dict(enumerate(_NAMES)) if eligible is None else eligible
    return combine_concepts(moments, texts, held_out_fits(moments, KeptAxes()), eligible)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.3, 1.0)])
def test_a_mixture_of_two_is_named_by_both(weights: tuple[float, float]) -> None:
    embeddings, texts, cosines = _world()
    planted = weights[0] * cosines[:, 2] + weights[1] * cosines[:, 7]
    combinations = _combine(embeddings, texts, 1.5 * planted[:, None] + _noise(30))

    both = [found for found in combinations if found and {part.concept for part in found.parts} == {2, 7}]
    assert len(both) >= 28
    for found in both:
        assert found.single < LEAST_TOGETHER <= found.explained
        assert sum(part.share for part in found.parts) == pytest.approx(found.explained, abs=0.05)
        assert {part.text for part in found.parts} == {"concept 2", "concept 7"}


def test_the_larger_part_comes_first() -> None:
    embeddings, texts, cosines = _world()
    planted = 1.3 * cosines[:, 2] + cosines[:, 7]
    combinations = _combine(embeddings, texts, 3 * planted[:, None] + _noise(10))

    assert all(found and found.parts[0].concept == 2 for found in combinations)
    assert all(found and found.parts[0].share > found.parts[1].share for found in combinations)


def test_a_mixture_of_three_is_named_by_three() -> None:
    embeddings, _, _ = _world()
    texts = torch.eye(_WIDTH)[:_CONCEPTS]
    planted = 5 * embeddings[:, [1, 4, 8]].sum(dim=1)
    combinations = _combine(embeddings, texts, 3 * planted[:, None] + _noise(10))

    assert all(found and {part.concept for part in found.parts} == {1, 4, 8} for found in combinations)


def test_a_unit_of_one_concept_is_no_combination() -> None:
    embeddings, texts, cosines = _world()
    assert _combine(embeddings, texts, 2 * cosines + _noise(_CONCEPTS)) == [None] * _CONCEPTS


def test_directions_that_no_concept_says_and_noise_are_none() -> None:
    embeddings, texts, _ = _world()
    directions = embeddings @ torch.randn(_WIDTH, 60, generator=torch.Generator().manual_seed(5))
    combinations = _combine(embeddings, texts, torch.cat([10 * directions + _noise(60), _noise(60, seed=6)], dim=1))

    assert sum(found is not None for found in combinations) <= 3


def test_a_concept_counts_only_where_the_unit_rises_with_it() -> None:
    embeddings, texts, cosines = _world()
    planted = cosines[:, 2] - cosines[:, 7]
    combinations = _combine(embeddings, texts, 2 * planted[:, None] + _noise(20))

    assert all(found is None or 7 not in {part.concept for part in found.parts} for found in combinations)


def test_parts_are_eligible_concepts() -> None:
    embeddings, texts, cosines = _world()
    eligible = {concept: _NAMES[concept] for concept in range(_CONCEPTS) if concept != 7}
    combinations = _combine(embeddings, texts, 2 * (cosines[:, 2] + cosines[:, 7])[:, None] + _noise(20), eligible)

    assert all(found is None or 7 not in {part.concept for part in found.parts} for found in combinations)


def test_two_names_of_one_thing_are_no_combination() -> None:
    embeddings, texts, _ = _world()
    texts = texts.clone()
    texts[7] = _unit_length((texts[2] + 0.2 * texts[7])[None])[0]
    activations = 2 * (embeddings @ (texts[2] + texts[7])).mul(5)[:, None] + _noise(20)
    combinations = _combine(embeddings, texts, activations)

    assert all(found is None or {part.concept for part in found.parts} != {2, 7} for found in combinations)


def test_the_scale_and_the_place_of_the_activations_change_nothing() -> None:
    embeddings, texts, cosines = _world()
    activations = 2 * (cosines[:, 2] + cosines[:, 7])[:, None] + _noise(5)
    plain = _combine(embeddings, texts, activations)
    moved = _combine(embeddings, texts, 1e-4 * activations + 0.05)

    for before, after in zip(plain, moved, strict=True):
        assert before is not None
        assert after is not None
        assert [part.concept for part in before.parts] == [part.concept for part in after.parts]
        assert before.explained == pytest.approx(after.explained, abs=1e-3)


def test_units_taken_together_or_alone_are_named_alike() -> None:
    embeddings, texts, cosines = _world()
    activations = 2 * (cosines[:, 2] + cosines[:, 7])[:, None] + _noise(150)
    together = _combine(embeddings, texts, activations)
    alone = _combine(embeddings, texts, activations[:, 140:141])

    assert together[140] is not None
    assert alone[0] is not None
    assert together[140].explained == pytest.approx(alone[0].explained)


@pytest.mark.parametrize("exams", [1, 3])
def test_fewer_exams_than_folds_give_figures_or_none(exams: int) -> None:
    embeddings, texts, cosines = _world()
    activations = 2 * (cosines[:, 2] + cosines[:, 7])[:, None] + _noise(4)
    combinations = _combine(embeddings, texts, activations, exams=exams)

    assert len(combinations) == 4
    assert exams > 1 or combinations == [None] * 4


def test_constants_flat_concepts_and_a_low_rank_are_none_or_finite() -> None:
    embeddings, texts, cosines = _world()
    embeddings = embeddings.clone()
    embeddings[:, 12:] = 0
    texts = texts.clone()
    texts[3] = 0
    texts[3, 20] = 1
    activations = torch.cat([torch.full((len(embeddings), 1), 7.0), cosines[:, :2] + _noise(2)], dim=1)
    combinations = _combine(embeddings, texts, activations)

    assert combinations[0] is None
    for found in combinations[1:]:
        assert found is None or (0 <= found.explained <= 1 and 3 not in {part.concept for part in found.parts})


def test_one_eligible_concept_is_no_combination() -> None:
    embeddings, texts, cosines = _world()
    assert _combine(embeddings, texts, cosines[:, :3] + _noise(3), {2: _NAMES[2]}) == [None] * 3


def test_fits_of_other_units_are_refused() -> None:
    embeddings, texts, cosines = _world()
    moments = Moments.of_layer([(embeddings, cosines)], folds_of_exams(_exams(_EXAMS)), FOLDS)
    with pytest.raises(ValueError, match="3 fits of 10 units"):
        combine_concepts(moments, texts, torch.ones(3), dict(enumerate(_NAMES)))
