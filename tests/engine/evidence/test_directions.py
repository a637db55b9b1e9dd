"""Directions by ridge regression: what they find, what they measure, and what they make of little."""

import pytest
import torch

from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.directions import (
    concept_correlations,
    directions_of,
    explained_shares,
    held_out_fits,
    null_of_fits,
)
from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import FOLDS, Moments, folds_of_exams
from tests.engine.evidence.planted import EXAMS, FOLD_OF_IMAGE, WIDTH, embeddings, following, moments_of, pieces, texts


def test_a_unit_that_follows_a_direction_has_it() -> None:
    images = embeddings()
    planted = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(3))
    moments = moments_of(images, following(images, planted, signal=3.0))

    alike = torch.cosine_similarity(directions_of(moments, KeptAxes()), planted)
    assert (alike > 0.98).all()
    # Of a variance of 10 the noise has 1.
    assert held_out_fits(moments, KeptAxes()).tolist() == pytest.approx([0.9**0.5] * 5, abs=0.02)


def test_the_fit_of_noise_is_about_zero_for_exams_that_fitted_nothing() -> None:
    images = embeddings()
    noise = torch.randn(len(images), 200, generator=torch.Generator().manual_seed(4))
    fit = held_out_fits(moments_of(images, noise), KeptAxes())

    assert abs(float(fit.mean())) < 0.03


def test_correlations_are_pearsons_within_folds() -> None:
    images = embeddings()
    activations = following(images, texts()[:3], signal=1.0)
    in_one_fold = Moments.of_layer([(images, activations)], torch.zeros(len(images), dtype=torch.int64), 1)
    correlations = concept_correlations(in_one_fold, texts())

    expected = torch.corrcoef(torch.cat([activations, images @ texts().t()], dim=1).t().double())[:3, 3:]
    torch.testing.assert_close(correlations, expected, rtol=0, atol=1e-5)


def test_what_differs_between_folds_alone_correlates_with_nothing() -> None:
    images = embeddings()
    activations = FOLD_OF_IMAGE[:, None].float().expand(-1, 2).contiguous()

    assert concept_correlations(moments_of(images, activations), texts()).abs().max() < 1e-6


def test_constants_fit_nothing() -> None:
    images = embeddings()
    activations = torch.full((len(images), 2), 0.1)
    moments = moments_of(images, activations)

    assert held_out_fits(moments, KeptAxes()).tolist() == [0, 0]
    assert not directions_of(moments, KeptAxes()).any()
    assert not concept_correlations(moments, texts()).any()


def test_an_embedding_of_lower_rank_is_no_obstacle() -> None:
    images = embeddings()
    images[:, 8:] = images[:, :8]
    planted = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(5))
    moments = moments_of(images, following(images, planted, signal=3.0))

    assert (held_out_fits(moments, KeptAxes()) > 0.9).all()
    assert torch.isfinite(directions_of(moments, KeptAxes())).all()


def test_an_embedding_that_is_the_same_for_all_images_says_nothing() -> None:
    images = torch.ones(len(EXAMS.of_image), WIDTH)
    activations = torch.randn(len(images), 3, generator=torch.Generator().manual_seed(6))

    assert held_out_fits(moments_of(images, activations), KeptAxes()).tolist() == [0, 0, 0]


@pytest.mark.parametrize("exams", [1, 2, 3])
def test_with_fewer_exams_than_folds_those_measure_that_there_are(exams: int) -> None:
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(30, WIDTH, generator=generator)
    few = Exams(torch.arange(30) % exams, exams, "exam")
    activations = following(images, torch.eye(WIDTH)[:2], signal=50.0)
    moments = Moments.of_layer([(images, activations)], folds_of_exams(few), FOLDS)
    fits = held_out_fits(moments, KeptAxes())

    assert torch.isfinite(directions_of(moments, KeptAxes())).all()
    if exams == 1:
        assert fits.tolist() == [0, 0]
    else:
        assert (fits <= 1).all()


def test_an_explained_share_lies_between_0_and_1_and_counts_no_concept_that_goes_against_the_unit() -> None:
    correlation = torch.tensor([0.3, 0.6, -0.6, 0.2, 0.2], dtype=torch.float64)
    fit = torch.tensor([0.6, 0.5, 0.6, 0.0, -0.1], dtype=torch.float64)

    assert explained_shares(correlation, fit).tolist() == pytest.approx([0.25, 1, 0, 0, 0])


def test_units_of_noise_have_fits_as_the_null_says_however_alike_the_images_of_an_exam_are() -> None:
    generator = torch.Generator().manual_seed(8)
    of_exam = torch.randn(EXAMS.count, WIDTH, generator=generator)[EXAMS.of_image]
    images = of_exam + 0.1 * torch.randn(len(of_exam), WIDTH, generator=generator)
    null = null_of_fits(pieces(images), EXAMS, FOLD_OF_IMAGE, FOLDS, texts())

    noise = torch.randn(EXAMS.count, 400, generator=generator)[EXAMS.of_image]
    p = null.p(held_out_fits(moments_of(images, noise), KeptAxes()))
    assert float((p < 0.05).double().mean()) < 0.1
    # Three images of an exam are nearly one.
    assert null.images == pytest.approx(EXAMS.count, rel=0.15)
    assert float(null.p(torch.tensor([0.9], dtype=torch.float64))) < 1e-6
