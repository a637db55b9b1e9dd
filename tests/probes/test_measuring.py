"""Images become their patches once their sizes are known."""

from pathlib import Path

import pytest

from service.domain.probes import Box, ImageSize, PatchGrid
from service.errors import InvalidManifest, JobCancelled, UnreadableImage
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.probes.measuring import measure, read_patches
from service.probes.patches import cut
from tests.probes.dicom_files import film, write_dicom
from tests.probes.test_images import SMALL

GRID = PatchGrid(20, 20)


def write(folder: Path, content: str) -> Path:
    path = folder / "m.csv"
    path.write_text(content)
    return path


def test_images_become_their_patches(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", film(12, 20, 30), bits=12)
    write_dicom(tmp_path / "y.dcm", film(12, 20, 20), bits=12)
    manifest = write(tmp_path, "image,image_id,exam_id,findings,site\nx.dcm,x,e1,mass,n\ny.dcm,y,e2,,s\n")
    probe = read_patches(manifest, name="p", patches=GRID)
    assert [item.image_id for item in probe.items] == ["x@0,0", "x@10,0", "y@0,0"]
    assert [item.box for item in probe.items] == [Box(0, 0, 20, 20), Box(10, 0, 20, 20), Box(0, 0, 20, 20)]
    assert [(item.row, item.exam_id, item.findings, item.strata) for item in probe.items] == [
        (1, "e1", {"mass"}, {"site": "n"}),
        (1, "e1", {"mass"}, {"site": "n"}),
        (2, "e2", frozenset(), {"site": "s"}),
    ]
    whole = read_patches(manifest, name="p", patches=None)
    finer = read_patches(manifest, name="p", patches=PatchGrid(20, 10))
    assert len({whole.digest, probe.digest, finer.digest}) == 3
    assert probe.digest == read_manifest(manifest, name="p", patches=GRID).digest, "sizes are no part of it"


def test_an_image_smaller_than_a_patch_is_named_by_its_row(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", film(12, 20, 30), bits=12)
    with pytest.raises(InvalidManifest, match="20 x 30") as refused:
        read_patches(write(tmp_path, "image\nx.dcm\n"), name="p", patches=PatchGrid(21, 21))
    assert (refused.value.field, refused.value.value) == ("patches", "row 1")


def test_an_unreadable_image_stops_patching_or_stays_in_to_be_counted(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", film(12, 20, 20), bits=12)
    (tmp_path / "Doe.png").write_bytes(b"nothing")
    manifest = write(tmp_path, "image\nx.dcm\nDoe.png\n")
    with pytest.raises(UnreadableImage, match="row 2"):
        read_patches(manifest, name="p", patches=GRID)
    probe = read_patches(manifest, name="p", patches=GRID, on_unreadable="skip")
    assert [(item.row, item.box) for item in probe.items] == [(1, Box(0, 0, 20, 20)), (2, None)]


def test_an_image_without_known_patches_is_never_shown_whole(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", film(12, 20, 20), bits=12)
    listed = read_manifest(write(tmp_path, "image\nx.dcm\n"), name="p", patches=GRID, on_unreadable="skip")
    for probe in (listed, cut(listed, [None])):
        with pytest.raises(UnreadableImage, match="row 1"):
            open_images(probe).load(0, [SMALL])


def test_an_image_that_has_shrunk_is_unreadable(tmp_path: Path) -> None:
    write_dicom(tmp_path / "x.dcm", film(12, 20, 20), bits=12)
    listed = read_manifest(write(tmp_path, "image\nx.dcm\n"), name="p", patches=GRID)
    images = open_images(cut(listed, [ImageSize(40, 20)]))
    assert images.load(0, [SMALL])[0].shape == (3, 8, 8)
    with pytest.raises(UnreadableImage, match="row 1 is 20 x 20 pixels"):
        images.load(1, [SMALL])


def test_measuring_tells_how_far_it_is_and_may_be_stopped(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_dicom(tmp_path / f"{name}.dcm", film(12, 20, 30), bits=12)
    listed = read_manifest(write(tmp_path, "image\nx.dcm\ny.dcm\n"), name="p", patches=GRID)
    told: list[int] = []
    assert measure(listed, told.append) == [ImageSize(20, 30), ImageSize(20, 30)]
    assert told == [1, 2]

    def stop(_: int) -> None:
        raise JobCancelled("Not wanted any more.")

    with pytest.raises(JobCancelled):
        measure(listed, stop)
