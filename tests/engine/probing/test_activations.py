"""Running summaries, and all activations read in blocks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from torch import Tensor

from service.domain.neurons import ActivationSummary
from service.engine.probing.activations import LayerActivations, RunningSummary

ACTIVATIONS = npst.arrays(
    np.float32, st.tuples(st.integers(1, 20), st.integers(1, 3)), elements=st.floats(-1e6, 1e6, width=32)
)


def summary_of(*pieces: NDArray[np.float32]) -> RunningSummary:
    summary = RunningSummary()
    for piece in pieces:
        summary.update(torch.from_numpy(piece))
    return summary


@given(activations=ACTIVATIONS, cut=st.integers(1, 19))
def test_summaries_are_numpys_and_pieces_change_no_bit(activations: NDArray[np.float32], cut: int) -> None:
    whole = summary_of(activations)
    pieces = [piece for piece in np.split(activations, [cut]) if len(piece)]
    assert whole.summaries() == summary_of(*pieces).summaries()
    exact = activations.astype(np.float64)
    scale = float(np.abs(exact).max()) + 1e-30
    for unit, found in enumerate(whole.summaries()):
        assert found.mean == pytest.approx(exact[:, unit].mean(), abs=1e-9 * scale)
        assert found.std == pytest.approx(exact[:, unit].std(), abs=1e-6 * scale)
        assert (found.minimum, found.maximum) == (exact[:, unit].min(), exact[:, unit].max())


@given(activations=ACTIVATIONS, cuts=st.lists(st.integers(0, 20), max_size=4))
def test_summaries_merge(activations: NDArray[np.float32], cuts: list[int]) -> None:
    merged = RunningSummary()
    for piece in np.split(activations, sorted(cuts)):
        following = summary_of(piece) if len(piece) else RunningSummary()
        before = following.state.clone()
        merged.merge(RunningSummary.restore(len(piece), following.state) if len(piece) else following)
        assert torch.equal(following.state, before)
    whole = summary_of(activations)
    assert torch.equal(merged.dead, whole.dead)
    scale = float(np.abs(activations.astype(np.float64)).max()) + 1e-30
    for found, expected, dead in zip(merged.summaries(), whole.summaries(), whole.dead.tolist(), strict=True):
        assert found.mean == pytest.approx(expected.mean, abs=1e-12 * scale)
        assert found.std == pytest.approx(expected.std, abs=1e-6 * scale)
        assert (found.minimum, found.maximum) == (expected.minimum, expected.maximum)
        assert not dead or found == expected


def test_summaries_made_in_inference_mode_merge_outside_it() -> None:
    with torch.inference_mode():
        first, second = (summary_of(np.full((2, 1), level, np.float32)) for level in (1.0, 2.0))
    first.merge(second)
    assert first.summaries() == [ActivationSummary(1.5, 0.5, 1.0, 2.0)]


def test_a_unit_that_never_changes_is_dead_and_has_no_deviation(device: torch.device) -> None:
    summary = RunningSummary()
    summary.update(torch.tensor([[0.1, 0.1], [0.1, 0.2]], device=device))
    summary.update(torch.tensor([[0.1, 0.1]], device=device))
    assert summary.dead.tolist() == [True, False]
    assert summary.summaries()[0].std == 0


def kept(*pieces: Tensor) -> LayerActivations:
    activations = LayerActivations()
    for piece in pieces:
        activations.update(piece)
    return activations


def test_all_activations_are_kept_in_order(device: torch.device) -> None:
    activations = kept(torch.tensor([[1.0], [2.0]], device=device), torch.tensor([[3.0]], device=device))
    assert activations.matrix().tolist() == [[1.0], [2.0], [3.0]]
    activations.join()
    assert activations.matrix().tolist() == [[1.0], [2.0], [3.0]]
    assert len(activations) == 3


def test_a_class_token_does_not_keep_its_whole_map() -> None:
    tokens = torch.ones(2, 50, 3)
    activations = kept(tokens[:, 0])
    tokens.zero_()
    assert activations.matrix().tolist() == [[1.0] * 3] * 2
    assert activations.matrix().untyped_storage().nbytes() == 2 * 3 * 4


@given(cuts=st.lists(st.integers(0, 900), max_size=5), units=st.sampled_from([3, 20_000]))
@settings(max_examples=10)
def test_blocks_end_where_they_end_however_the_images_came(cuts: list[int], units: int) -> None:
    images = torch.arange(900.0)[:, None].expand(900, units)
    blocks = list(kept(*images.tensor_split(sorted(cuts))).blocks())
    assert [len(block) for block in blocks] == ([900] if units == 3 else [256, 256, 256, 132])
    assert torch.equal(torch.cat(blocks)[:, 0], images[:, 0])


def test_some_units_are_read_of_all_images() -> None:
    activations = kept(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[4.0, 5.0, 6.0]]))
    assert activations.of_units(torch.tensor([2, 0])).tolist() == [[3.0, 1.0], [6.0, 4.0]]
