"""Maps of layers, and the cells of them."""

import numpy as np
import pytest
import torch

from service.engine.probing.maps import averaged, cells_of, fitted_cells


def test_cells_are_means_over_their_part_of_an_image() -> None:
    image = np.arange(24, dtype=np.float32).reshape(4, 6)
    cells = cells_of(4, 2) @ image @ cells_of(6, 3).T
    assert cells == pytest.approx(image.reshape(2, 2, 3, 2).mean(axis=(1, 3)))


def test_a_pixel_between_two_cells_counts_for_both() -> None:
    assert cells_of(3, 2) == pytest.approx(np.array([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]))


def test_a_small_map_keeps_its_cells() -> None:
    maps = torch.arange(32.0).reshape(2, 4, 4)
    assert fitted_cells(48, 29, 1_536) == (48, 29)
    assert averaged(maps, 16) is maps


@pytest.mark.parametrize(
    ("shape", "cells"),
    [((96, 58), (50, 30)), ((760, 456), (50, 30)), ((1, 5_000), (1, 1_536)), ((5_000, 1), (1_536, 1))],
)
def test_a_large_map_has_as_many_cells_as_are_allowed_in_its_shape(
    shape: tuple[int, int], cells: tuple[int, int]
) -> None:
    assert fitted_cells(*shape, 1_536) == cells


def test_a_large_map_is_averaged() -> None:
    maps = torch.arange(32.0).reshape(2, 4, 4)
    assert averaged(maps, 4).tolist() == [[[2.5, 4.5], [10.5, 12.5]], [[18.5, 20.5], [26.5, 28.5]]]
