from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.probes import Box, PatchGrid, ProbeItem
from service.errors import InvalidManifest
from service.probes import patches
from service.probes.manifest import read_manifest
from service.probes.patches import boxes, patches_of
from tests.probes.dicom_files import film, write_dicom


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


def test_an_image_with_too_many_patches_is_refused_before_any_is_made(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", film(12), bits=12, Rows=8000, Columns=8000)
    with pytest.raises(InvalidManifest, match="row 3 has 64000000 patches of size 1 and stride 1") as caught:
        next(patches_of(ProbeItem("a", path, row=3), PatchGrid(1, 1)))
    assert (caught.value.field, caught.value.value) == ("patches", "row 3")


@pytest.mark.parametrize(("size", "stride"), [(16, 3), (16, 16), (37, 5), (40, 1)])
def test_patches_are_counted_as_they_are_made(
    tmp_path: Path, size: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = ProbeItem("a", write_dicom(tmp_path / "a.dcm", film(12), bits=12), row=1)
    places = boxes(48, 37, PatchGrid(size, stride))
    monkeypatch.setattr(patches, "MAX_PATCHES_OF_IMAGE", len(places))
    if places:
        assert len(list(patches_of(item, PatchGrid(size, stride)))) == len(places)
        monkeypatch.setattr(patches, "MAX_PATCHES_OF_IMAGE", len(places) - 1)
    with pytest.raises(InvalidManifest):
        next(patches_of(item, PatchGrid(size, stride)))


def test_a_probe_set_has_not_too_many_patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.dcm", "b.dcm"):
        write_dicom(tmp_path / name, film(12), bits=12)
    manifest = tmp_path / "m.csv"
    manifest.write_text("image\na.dcm\nb.dcm\n", encoding="utf-8")
    grid = PatchGrid(16, 16)
    half = len(boxes(48, 37, grid))

    monkeypatch.setattr(patches, "MAX_PATCHES", 2 * half)
    assert len(read_manifest(manifest, name="p", patches=grid).items) == 2 * half
    monkeypatch.setattr(patches, "MAX_PATCHES", 2 * half - 1)
    with pytest.raises(InvalidManifest, match="more than"):
        read_manifest(manifest, name="p", patches=grid)
