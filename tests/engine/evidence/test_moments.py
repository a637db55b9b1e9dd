"""Moments by folds of exams: one stream, any pieces."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import Moments, folds_of_exams
from service.errors import InvalidActivations

_EXAMS = Exams(torch.arange(60) // 3, 20, "exam")


def _images(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(60, 5, generator=generator), torch.randn(60, 7, generator=generator) * 3 + 1000


def _pieces(embeddings: Tensor, activations: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(embeddings), size):
        yield embeddings[start : start + size], activations[start : start + size]


def test_they_are_the_scatters_about_each_folds_means() -> None:
    embeddings, activations = _images()
    folds = folds_of_exams(_EXAMS)
    moments = Moments.of_layer(_pieces(embeddings, activations, 60), folds, 4)

    for fold in range(4):
        x, a = embeddings[folds == fold].double(), activations[folds == fold].double()
        x, a = x - x.mean(dim=0), a - a.mean(dim=0)
        assert moments.counts[fold] == len(x)
        torch.testing.assert_close(moments.xx[fold], x.t() @ x, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(moments.xa[fold], x.t() @ a, rtol=1e-5, atol=1e-3)
        torch.testing.assert_close(moments.aa[fold], a.square().sum(dim=0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [1, 7, 32])
def test_the_pieces_change_nothing(size: int) -> None:
    embeddings, activations = _images()
    folds = folds_of_exams(_EXAMS)
    whole = Moments.of_layer([(embeddings, activations)], folds, 4)
    pieced = Moments.of_layer(_pieces(embeddings, activations, size), folds, 4)

    torch.testing.assert_close(pieced.xa, whole.xa, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(pieced.aa, whole.aa, rtol=1e-5, atol=1e-4)


def test_two_streams_merge() -> None:
    embeddings, activations = _images()
    folds = folds_of_exams(_EXAMS)
    whole = Moments.of_layer([(embeddings, activations)], folds, 4)
    first = Moments.of_layer([(embeddings[:25], activations[:25])], folds[:25], 4)
    first.merge(Moments.of_layer([(embeddings[25:], activations[25:])], folds[25:], 4))

    torch.testing.assert_close(first.counts, whole.counts)
    torch.testing.assert_close(first.xx, whole.xx, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(first.xa, whole.xa, rtol=1e-5, atol=1e-3)


def test_pooled_folds_are_one_sample() -> None:
    embeddings, activations = _images()
    folds = folds_of_exams(_EXAMS)
    pooled = Moments.of_layer([(embeddings, activations)], folds, 4).pooled(torch.arange(4))
    alone = Moments.of_layer([(embeddings, activations)], torch.zeros(60, dtype=torch.int64), 1)

    torch.testing.assert_close(pooled.xa, alone.xa, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(pooled.a_mean, alone.a_mean)


def test_exams_stay_whole_and_folds_are_alike_in_size() -> None:
    folds = folds_of_exams(_EXAMS)
    by_exam = folds.view(20, 3)

    assert (by_exam == by_exam[:, :1]).all()
    assert by_exam[:, 0].bincount().tolist() == [5, 5, 5, 5]


def test_activations_that_are_no_numbers_are_refused() -> None:
    embeddings, activations = _images()
    activations[3, 2] = torch.nan

    with pytest.raises(InvalidActivations, match="NaN or infinite"):
        Moments.of_layer([(embeddings, activations)], folds_of_exams(_EXAMS), 4)


def test_a_stream_that_is_too_short_is_refused() -> None:
    embeddings, activations = _images()

    with pytest.raises(ValueError, match="50 images"):
        Moments.of_layer([(embeddings[:50], activations[:50])], folds_of_exams(_EXAMS), 4)
