"""The running top-k is the top-k, whatever the pieces and whatever the ties."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from service.engine.top_k import RunningTopK, top_k_images

VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-40, 2.0]),  # many ties, zeros of both signs, a subnormal number
    st.floats(width=32, allow_nan=False),
)
ACTIVATIONS = npst.arrays(np.float32, st.tuples(st.integers(1, 24), st.integers(1, 4)), elements=VALUES)


def by_sorting(activations: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    order = np.argsort(-(activations + np.float32(0)), axis=0, kind="stable")[:k].T
    return np.take_along_axis(activations.T, order, axis=1), order


@given(activations=ACTIVATIONS, k=st.integers(1, 30), cuts=st.lists(st.integers(1, 23)))
def test_pieces_make_no_difference_and_ties_go_to_the_lower_index(
    activations: NDArray[np.float32], k: int, cuts: list[int]
) -> None:
    ranking = RunningTopK(k)
    for piece in np.split(activations, sorted({cut for cut in cuts if cut < len(activations)})):
        ranking.update(torch.from_numpy(piece))
    values, indices = by_sorting(activations, k)
    assert np.array_equal(ranking.indices.numpy(), indices)
    assert np.array_equal(ranking.values.numpy(), values)


@given(activations=ACTIVATIONS, k=st.integers(1, 30), cuts=st.lists(st.integers(0, 24)))
def test_rankings_merge_as_if_one_had_seen_it_all(activations: NDArray[np.float32], k: int, cuts: list[int]) -> None:
    merged = RunningTopK(k)
    for piece in np.split(activations, sorted(cuts)):
        following = RunningTopK(k)
        if len(piece):
            following.update(torch.from_numpy(piece))
            following = RunningTopK(k, keys=following.keys, seen=following.seen)  # as it comes from storage
        merged.merge(following)
    values, indices = by_sorting(activations, k)
    assert merged.seen == len(activations)
    assert np.array_equal(merged.indices.numpy(), indices)
    assert np.array_equal(merged.values.numpy(), values)


@given(data=st.data())
def test_the_order_of_the_images_decides_nothing_but_ties(data: st.DataObject) -> None:
    levels = data.draw(st.lists(VALUES, min_size=1, max_size=20, unique=True))
    order = data.draw(st.permutations(range(len(levels))))
    straight, permuted = RunningTopK(5), RunningTopK(5)
    straight.update(torch.tensor(levels)[:, None])
    permuted.update(torch.tensor([levels[i] for i in order])[:, None])
    assert torch.equal(straight.values, permuted.values)
    assert straight.indices[0].tolist() == [order[i] for i in permuted.indices[0].tolist()]


def test_negative_and_infinite_values_are_ranked(device: torch.device) -> None:
    ranking = RunningTopK(3)
    ranking.update(torch.tensor([[-torch.inf], [-3.0]], device=device))
    ranking.update(torch.tensor([[-2.0]], device=device))
    assert ranking.values.tolist() == [[-2.0, -3.0, -torch.inf]]
    assert ranking.indices.tolist() == [[2, 1, 0]]


def test_ties_across_the_boundary_keep_the_first_images(device: torch.device) -> None:
    activations = torch.tensor([[1.0], [2.0], [1.0], [1.0]], device=device)
    assert top_k_images(activations, 3).tolist() == [[1, 0, 2]]


def test_ranking_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nothing was given"):
        _ = RunningTopK(3).indices
