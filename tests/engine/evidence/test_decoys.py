"""Decoys lie in the dissector's space as the concepts do, and win as often where nothing else decides."""

import torch

from service.engine.evidence.axes import KeptAxes
from service.engine.evidence.decoys import _signs, best_decoys
from service.engine.evidence.directions import concept_correlations
from tests.engine.evidence.planted import WIDTH, embeddings, following, moments_of, texts


def _ranks(signal: float, directions: torch.Tensor) -> torch.Tensor:
    """Sets of 40 that are ahead of each unit's best concept."""
    images = embeddings()
    moments = moments_of(images, following(images, directions, signal))
    best = concept_correlations(moments, texts()).amax(dim=1)
    return (best_decoys(moments, texts(), KeptAxes(), 40) >= best[:, None]).sum(dim=1)


def test_of_units_that_no_concept_says_the_best_concept_ranks_anywhere_among_the_decoys() -> None:
    unnamed = torch.randn(1000, WIDTH, generator=torch.Generator().manual_seed(9))

    for signal in (0.0, 0.5, 3.0):
        ranks = _ranks(signal, unnamed)
        shares = torch.stack([(ranks < edge).double().mean() for edge in (4, 10, 20, 30)])
        torch.testing.assert_close(shares, torch.tensor([4, 10, 20, 30]).double() / 41, rtol=0, atol=0.06)


def test_units_of_a_concept_are_ahead_of_the_decoys() -> None:
    assert (_ranks(2.0, texts()) == 0).double().mean() > 0.9


def test_a_set_is_the_concepts_turned_along_axes_and_each_unit_has_the_best_of_it() -> None:
    images = embeddings()
    unit = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(10))
    moments = moments_of(images, following(images, unit, 1.0))
    decoys = best_decoys(moments, texts(), KeptAxes(), 3)

    axes = torch.linalg.eigh(moments.within()[0]).eigenvectors
    for place, signs in enumerate(_signs(3, WIDTH)):
        turned = (texts().double() @ axes * signs) @ axes.t()
        expected = concept_correlations(moments, turned).amax(dim=1)
        torch.testing.assert_close(decoys[:, place].double(), expected, rtol=0, atol=1e-5)


def test_constants_have_decoys_that_correlate_with_nothing() -> None:
    images = embeddings()

    assert not best_decoys(moments_of(images, torch.ones(len(images), 2)), texts(), KeptAxes(), 3).any()


def test_where_no_concept_has_decoys_none_correlates() -> None:
    images = embeddings()
    moments = moments_of(images, following(images, texts()[:2], 1.0))

    assert best_decoys(moments, texts()[:0], KeptAxes(), 3).tolist() == [[0, 0, 0]] * 2
