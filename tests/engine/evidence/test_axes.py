"""Axes that are worked out once for a matrix, and anew for another."""

import pytest
import torch
from torch import Tensor

from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.directions import held_out_fits
from tests.engine.evidence.planted import embeddings, following, moments_of, texts


def scatter(seed: int) -> Tensor:
    drawn = torch.randn(30, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.t() @ drawn


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The matrices whose axes were worked out."""
    matrices: list[Tensor] = []
    eigh = torch.linalg.eigh

    def counted(matrix: Tensor) -> tuple[Tensor, Tensor]:
        matrices.append(matrix)
        values, vectors = eigh(matrix)
        return values, vectors

    monkeypatch.setattr(torch.linalg, "eigh", counted)
    return matrices


def test_they_are_those_of_the_matrix() -> None:
    values, vectors = KeptAxes().of(scatter(0))
    torch.testing.assert_close(vectors @ values.diag() @ vectors.t(), scatter(0))


def test_an_equal_matrix_has_the_same(worked_out: list[Tensor]) -> None:
    axes = KeptAxes()
    first, again = axes.of(scatter(0)), axes.of(scatter(0))
    assert len(worked_out) == 1
    assert first[0] is again[0]
    assert first[1] is again[1]


def test_one_that_differs_in_its_last_bit_has_its_own(worked_out: list[Tensor]) -> None:
    axes = KeptAxes()
    other = scatter(0)
    other[2, 2] = torch.nextafter(other[2, 2], torch.tensor(torch.inf, dtype=torch.float64))
    axes.of(scatter(0))
    axes.of(other)
    assert len(worked_out) == 2


def test_the_oldest_are_forgotten(worked_out: list[Tensor]) -> None:
    axes = KeptAxes()
    for seed in range(13):
        axes.of(scatter(seed))
    axes.of(scatter(12))
    assert len(worked_out) == 13
    axes.of(scatter(0))
    assert len(worked_out) == 14


def test_two_layers_that_see_the_same_images_share_them_and_get_the_same_fits(worked_out: list[Tensor]) -> None:
    images, axes = embeddings(), KeptAxes()
    layers = [moments_of(images, following(images, texts()[:units], signal=1.0)) for units in (3, 5)]
    shared = [held_out_fits(moments, axes) for moments in layers]
    assert len(worked_out) == 4

    alone = [held_out_fits(moments, KeptAxes()) for moments in layers]
    assert all(map(torch.equal, shared, alone))
