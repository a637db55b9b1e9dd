from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.probes import Box, ImageSize, PatchGrid, ProbeItem, ProbeSet
from service.errors import InvalidManifest
from service.probes import patches
from service.probes.patches import boxes, cut


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


def probe_set(grid: PatchGrid, *, images: int = 1) -> ProbeSet:
    items = tuple(ProbeItem(f"image-{row}", Path("a.dcm"), row) for row in range(1, images + 1))
    return ProbeSet("p", items, "0", patches=grid)


def test_an_image_with_too_many_patches_is_refused_before_any_is_made() -> None:
    with pytest.raises(InvalidManifest, match="row 2 has 64000000 patches of size 1 and stride 1") as caught:
        cut(probe_set(PatchGrid(1, 1), images=2), [ImageSize(8, 8), ImageSize(8000, 8000)])
    assert (caught.value.field, caught.value.value) == ("patches", "row 2")


@pytest.mark.parametrize(("size", "stride"), [(16, 3), (16, 16), (37, 5), (40, 1)])
def test_patches_are_counted_as_they_are_made(size: int, stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = probe_set(PatchGrid(size, stride))
    places = boxes(48, 37, PatchGrid(size, stride))
    monkeypatch.setattr(patches, "MAX_PATCHES_OF_IMAGE", len(places))
    if places:
        assert len(cut(whole, [ImageSize(48, 37)]).items) == len(places)
        monkeypatch.setattr(patches, "MAX_PATCHES_OF_IMAGE", len(places) - 1)
    with pytest.raises(InvalidManifest):
        cut(whole, [ImageSize(48, 37)])


def test_a_probe_set_has_not_too_many_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = PatchGrid(16, 16)
    whole = probe_set(grid, images=3)
    sizes = [ImageSize(48, 37), None, ImageSize(48, 37)]
    half = len(boxes(48, 37, grid))

    monkeypatch.setattr(patches, "MAX_PATCHES", 2 * half)
    assert len(cut(whole, sizes).items) == 2 * half + 1, "what cannot be read is no patch"
    monkeypatch.setattr(patches, "MAX_PATCHES", 2 * half - 1)
    with pytest.raises(InvalidManifest, match="more than"):
        cut(whole, sizes)


def test_every_image_has_a_size_or_none() -> None:
    with pytest.raises(ValueError, match="shorter"):
        cut(probe_set(PatchGrid(16, 16), images=2), [ImageSize(48, 37)])
