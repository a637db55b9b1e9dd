"""The part of an image that drives a unit."""

import numpy as np
import torch
from torch import nn

from service.engine.probing.regions import Spot, find_map, find_regions, region_of
from tests.engine.toys import ArrayImages, Conv, hooks_left, target_of

CPU = torch.device("cpu")


def test_a_region_is_what_lies_above_half_around_the_maximum() -> None:
    activations = torch.zeros(4, 8)
    activations[1, 2:4] = torch.tensor([2.0, 5.0])
    activations[2, 3] = 3.0
    activations[0, 7] = 4.0  # as strong, but elsewhere
    assert region_of(activations) == (3 / 8, 1 / 4, 1 / 8, 2 / 4)
    assert region_of(torch.ones(2, 2)) == (0.0, 0.0, 1.0, 1.0)


def test_regions_are_found_where_the_image_is_bright_and_no_hook_is_left() -> None:
    arrays = [np.zeros((3, 4, 4), np.float32) for _ in range(3)]
    arrays[0][:, 0, :2] = 1.0
    arrays[2][:, 3, 3] = 1.0
    images = ArrayImages(arrays, broken=[1])
    target = target_of(Conv((1, -1), (0, 0)), CPU, "blocks.0", "blocks.1")
    spots = [Spot("blocks.1", 0, 0), Spot("blocks.0", 1, 0), Spot("blocks.1", 0, 2), Spot("blocks.1", 0, 1)]
    found = find_regions(target, images, spots, device=CPU)
    assert found[spots[0]] == (0.0, 0.0, 0.5, 0.25)
    assert found[spots[1]] == (0.0, 0.0, 1.0, 1.0), "everything else, which reaches every side"
    assert found[spots[2]] == (0.75, 0.75, 0.25, 0.25)
    assert spots[3] not in found, "an image that can no longer be read has none"
    assert hooks_left(target.module) == 0
    assert sorted(images.loaded) == [0, 1, 2], "each image once, however many units want it"


def test_layers_without_a_map_have_no_regions() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    target = target_of(network, CPU, "1")
    images = ArrayImages([np.ones((3, 2, 2), np.float32)])
    assert find_regions(target, images, [Spot("1", 0, 0)], device=CPU) == {}
    assert find_map(target, images, Spot("1", 0, 0), device=CPU) is None


def test_a_map_is_what_the_unit_does_and_no_hook_is_left() -> None:
    array = np.zeros((3, 4, 4), np.float32)
    array[:, 0, :2] = 1.0
    target = target_of(Conv((1, -1), (0, 0)), CPU, "blocks.0", "blocks.1")
    found = find_map(target, ArrayImages([array]), Spot("blocks.1", 0, 0), device=CPU)
    assert found is not None
    assert found.shape == (4, 4)
    assert (found > found.min()).tolist() == (array[0] > 0).tolist()
    assert hooks_left(target.module) == 0
