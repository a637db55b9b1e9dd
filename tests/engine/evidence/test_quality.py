"""Clarity, polysemanticity and redundancy: on paper, against pairs and scikit-learn, and whatever the blocks."""

from collections.abc import Callable
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import normalize

from service.domain.evidence import Quality
from service.engine.evidence import quality
from service.engine.evidence.quality import layer_quality, two_clusters

EAST, NORTH, WEST = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0)


def table(*rows: tuple[float, ...], device: torch.device | None = None) -> Callable[[Tensor], Tensor]:
    known = torch.tensor(rows, device=device)
    return lambda positions: known[positions.to(known.device)]


def noise(images: int, width: int, seed: int) -> Tensor:
    return normalize(torch.randn(images, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def tops(units: int, n: int, images: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(images, generator=generator)[:n] for _ in range(units)])


def numbers(qualities: list[Quality]) -> Tensor:
    return torch.tensor([(one.clarity, one.polysemanticity, one.redundancy) for one in qualities])


def test_on_paper(device: torch.device) -> None:
    # Images 0, 1 point east, 2, 3 north, 4 west.
    # Unit 0 sees 0 0 1 1: all pairs 1. Its clusters cannot be told apart, so 1 - |m| = 0.
    # Unit 1 sees 0 1 2 3: of 6 pairs 2 have the cosine 1, 4 have 0. Clusters east and north: 1 - 0. m = (1/2, 1/2).
    # Unit 2 sees 0 1 4 4: 2 pairs 1, 4 pairs -1. Clusters east and west: 1 + 1. m = 0.
    # Unit 3 sees 0 1 0 2: 3 pairs 1, 3 pairs 0. North is one odd image, so 1 - |m| = 1 - |(3/4, 1/4)|.
    # Cosines of the means: 0 with 1: 1/sqrt 2; 0 with 3: 3/sqrt 10; 1 with 3: (3 + 1)/(sqrt 2 sqrt 10); 2 with any: 0.
    top_images = torch.tensor([[0, 0, 1, 1], [0, 1, 2, 3], [0, 1, 4, 4], [0, 1, 0, 2]])
    actual = layer_quality(top_images, table(EAST, EAST, NORTH, NORTH, WEST, device=device))
    expected = [
        (1.0, 0.0, 3 / 10**0.5),
        (1 / 3, 1.0, 4 / 20**0.5),
        (-1 / 3, 2.0, 0.0),
        (0.5, 1 - 10**0.5 / 4, 3 / 10**0.5),
    ]
    torch.testing.assert_close(numbers(actual), torch.tensor(expected), rtol=0, atol=1e-6)
    assert [one.duplicate_of for one in actual] == [None] * 4


def test_a_duplicate_has_the_same_images_in_the_same_order_as_an_earlier_unit() -> None:
    top_images = torch.tensor([[0, 1], [1, 0], [0, 1], [1, 2], [1, 0], [0, 1]])
    actual = layer_quality(top_images, table(EAST, NORTH, WEST))
    assert [one.duplicate_of for one in actual] == [None, None, 0, None, 1, 0]
    assert [one.redundancy for one in actual][:3] == pytest.approx([1.0] * 3)


def test_one_live_unit_is_redundant_to_none_and_no_live_unit_has_no_quality() -> None:
    (only,) = layer_quality(torch.tensor([[0, 1]]), table(EAST, NORTH))
    assert only.redundancy is None
    assert only.duplicate_of is None
    assert layer_quality(torch.empty(0, 3, dtype=torch.int64), table(EAST)) == []


def test_one_top_image_is_perfectly_clear() -> None:
    actual = layer_quality(torch.tensor([[0], [1]]), table(EAST, NORTH))
    assert [astuple(one) for one in actual] == [(1.0, 0.0, 0.0, None)] * 2


def test_clarity_and_redundancy_are_those_of_all_pairs() -> None:
    images, top_images = noise(60, 8, seed=1), tops(20, 7, 60, seed=2)
    actual = layer_quality(top_images, images.__getitem__)
    seen = images[top_images].double()
    pairs = torch.triu_indices(7, 7, offset=1)
    clarity = (seen @ seen.mT)[:, pairs[0], pairs[1]].mean(1)
    means = normalize(seen.mean(1), dim=1)
    redundancy = (means @ means.T - 3 * torch.eye(20)).amax(1)
    assert [one.clarity for one in actual] == pytest.approx(clarity.tolist(), abs=1e-6)
    assert [one.redundancy for one in actual] == pytest.approx(redundancy.tolist(), abs=1e-6)


def test_two_meanings_are_told_apart_as_by_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(3)
    centres = noise(40, 16, seed=4)
    seen = normalize(centres.repeat_interleave(10, dim=0) + 0.1 * torch.randn(400, 16, generator=generator), dim=1)
    order = torch.stack([20 * unit + torch.randperm(20, generator=generator) for unit in range(20)])
    expected = []
    for unit in order:
        a, b = KMeans(2, n_init=10, random_state=0).fit(seen[unit].numpy()).cluster_centers_
        expected.append(1 - float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    actual = [one.polysemanticity for one in layer_quality(order, seen.__getitem__)]
    assert actual == pytest.approx(expected, abs=1e-5)


def test_clusters_of_a_cloud_are_those_of_a_good_two_means(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(7)
    cloud = torch.randn(30, 50, 8, generator=generator) + torch.randn(8, generator=generator)
    images = normalize(cloud, dim=2).to(device)
    second = two_clusters(images @ images.mT)
    for seen, there in zip(images.cpu(), second.cpu(), strict=True):
        means = torch.stack([seen[~there].mean(0), seen[there].mean(0)])
        distances = torch.cdist(seen, means).square()
        assert torch.equal(distances[:, 1] < distances[:, 0], there)
        best = KMeans(2, n_init=10, random_state=0).fit(seen.numpy()).inertia_
        assert float(distances.amin(1).sum()) < 1.03 * best


@pytest.mark.parametrize("block", [1, 3, 1000])
def test_blocks_of_units_change_nothing(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    images, top_images = noise(80, 12, seed=5), tops(31, 9, 80, seed=6)
    top_images[20] = top_images[30] = top_images[4].clone()
    whole = layer_quality(top_images, images.__getitem__)
    monkeypatch.setattr(quality, "_IMAGES_AT_ONCE", block * 9)
    monkeypatch.setattr(quality, "_UNITS_AT_ONCE", block)
    asked: list[int] = []

    def embeddings(positions: Tensor) -> Tensor:
        assert bool((positions.diff() > 0).all())
        asked.append(len(positions))
        return images[positions]

    parts = layer_quality(top_images, embeddings)
    torch.testing.assert_close(numbers(parts), numbers(whole), rtol=0, atol=1e-6)
    assert [one.duplicate_of for one in parts] == [one.duplicate_of for one in whole]
    assert max(asked) <= min(9 * block, 80)


@given(order=st.permutations(range(8)), seed=st.integers(0, 1000))
def test_the_order_of_the_top_images_does_not_matter(order: list[int], seed: int) -> None:
    images = noise(30, 6, seed)
    top_images = tops(5, 8, 30, seed + 1)
    straight = layer_quality(top_images, images.__getitem__)
    turned = layer_quality(top_images[:, order], images.__getitem__)
    torch.testing.assert_close(numbers(turned), numbers(straight), rtol=0, atol=1e-5)
