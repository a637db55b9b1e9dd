"""Maps of layers, and the cells of them."""

import numpy as np
import pytest
import torch

from service.engine.probing.maps import averaged, cells_of, fitted_cells


def test_cells_are_means_over_their_part_of_an_image_and_large_maps_are_averaged() -> None:
    image = np.arange(24, dtype=np.float32).reshape(4, 6)
    cells = cells_of(4, 2) @ image @ cells_of(6, 3).T
    assert cells == pytest.approx(image.reshape(2, 2, 3, 2).mean(axis=(1, 3)))
    assert cells_of(3, 2) == pytest.approx(np.array([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]))

    assert fitted_cells(48, 29, 1_536) == (48, 29)
    for height, width in ((96, 58), (760, 456), (1, 5_000), (5_000, 1)):
        rows, columns = fitted_cells(height, width, 1_536)
        assert rows * columns <= 1_536
        assert min(rows, columns) >= 1

    maps = torch.arange(32.0).reshape(2, 4, 4)
    assert averaged(maps, 16) is maps
    assert averaged(maps, 4).shape == (2, 2, 2)
    assert averaged(maps, 4).mean() == pytest.approx(float(maps.mean()))
