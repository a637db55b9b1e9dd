import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.domain.probes import Box, PatchGrid
from service.probes.patches import boxes


def test_patches_row_by_row_with_the_last_flush_at_the_edge() -> None:
    assert boxes(5, 7, PatchGrid(size=4, stride=3)) == [
        Box(0, 0, 4, 4),
        Box(3, 0, 4, 4),
        Box(0, 1, 4, 4),
        Box(3, 1, 4, 4),
    ]


def test_an_exact_grid_has_no_extra_patch() -> None:
    assert [(box.left, box.top) for box in boxes(4, 8, PatchGrid(4, 4))] == [(0, 0), (4, 0)]


@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 20), data=st.data())
def test_every_pixel_is_in_a_patch_and_every_patch_in_the_image(
    height: int, width: int, size: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, size))
    places = boxes(height, width, PatchGrid(size, stride))
    covered = np.zeros((height, width), dtype=int)
    for box in places:
        part = covered[box.top : box.top + box.height, box.left : box.left + box.width]
        assert part.shape == (size, size)
        part += 1
    assert len(set(places)) == len(places)
    assert places == sorted(places, key=lambda box: (box.top, box.left))
    assert covered.all() if size <= min(height, width) else not places
