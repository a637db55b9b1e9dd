"""Where findings are in what a network is shown: boxes and masks of files on disk, and what is wrong with some."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.domain.preprocessing import Preprocessing
from service.domain.probes import Box, FindingRegion, ProbeItem, ProbeSet
from service.errors import UnreadableImage
from service.files import DataRoots
from service.ports import PlacedImage
from service.probes import placed_images
from service.probes.placed_images import PlacedImagesOnDisk

HEIGHT, WIDTH = 40, 30
PLAIN = Preprocessing(height=40, width=30, mean=(0.0,), std=(1.0,), channels=1)
SQUARE = Box(left=4, top=8, width=6, height=10)
WANTED = {"mass": ("mass",)}


def write_image(folder: Path) -> Path:
    """A breast that faces right: brighter at the left."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[:, :20] = 100
    Image.fromarray(pixels).save(folder / "image.png")
    return folder / "image.png"


def write_mask(folder: Path, box: Box = SQUARE, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    pixels = np.zeros(size, np.uint8)
    pixels[box.top : box.top + box.height, box.left : box.left + box.width] = 1
    Image.fromarray(pixels).save(folder / "mask.png")
    return folder / "mask.png"


def show(
    folder: Path,
    *regions: FindingRegion,
    contract: Preprocessing = PLAIN,
    box: Box | None = None,
    roots: DataRoots | None = None,
) -> PlacedImage:
    item = ProbeItem("image", write_image(folder), row=7, regions=regions, box=box)
    probes = ProbeSet("probes", (item,), "0" * 64)
    if roots is not None:
        probes = replace(probes, roots=roots)
    return PlacedImagesOnDisk(probes).show(0, contract, WANTED)


def expected(box: Box, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    covered = np.zeros((height, width), np.float32)
    covered[box.top : box.top + box.height, box.left : box.left + box.width] = 1.0
    return covered


def test_a_box_and_the_mask_of_it_cover_the_same_pixels(tmp_path: Path) -> None:
    by_box = show(tmp_path, FindingRegion("mass", box=SQUARE), FindingRegion("clip", box=Box(0, 0, 1, 1)))
    by_mask = show(tmp_path, FindingRegion("mass", mask=write_mask(tmp_path)))

    assert by_box.faces == "right"
    assert np.array_equal(by_box.places["mass"].covered, expected(SQUARE))
    assert np.array_equal(by_mask.places["mass"].covered, expected(SQUARE))
    assert np.array_equal(by_box.places["mass"].turned, expected(SQUARE)[:, ::-1])
    assert by_box.array.shape == (1, HEIGHT, WIDTH)
    assert by_box.problems == () == by_mask.problems


def test_places_follow_resizing_turning_and_padding_and_are_turned_within_the_image(tmp_path: Path) -> None:
    contract = replace(PLAIN, orientation="left", resize="pad", height=80, width=80, pad_side="right")
    shown = show(tmp_path, FindingRegion("mass", box=SQUARE), contract=contract)

    # Mirrored, twice as large, in the 60 left columns.
    mirrored = Box(left=2 * (WIDTH - 10), top=16, width=12, height=20)
    assert shown.faces == "left"
    assert np.allclose(shown.places["mass"].covered, expected(mirrored, 80, 80))
    assert np.allclose(shown.places["mass"].turned, expected(Box(8, 16, 12, 20), 80, 80))


def test_parts_of_pixels_are_covered_in_part(tmp_path: Path) -> None:
    shown = show(tmp_path, FindingRegion("mass", box=Box(5, 8, 4, 10)), contract=replace(PLAIN, height=20, width=15))
    covered = shown.places["mass"].covered
    assert covered[4:9, 2:5].tolist() == [[0.5, 1.0, 0.5]] * 5
    assert covered.sum() == 10.0


def test_a_patch_has_the_part_of_a_place_that_it_shows_and_none_otherwise(tmp_path: Path) -> None:
    region = FindingRegion("mass", box=SQUARE)
    contract = replace(PLAIN, height=10, width=10)
    shown = show(tmp_path, region, contract=contract, box=Box(0, 0, 10, 10))
    assert shown.places["mass"].covered.sum() == 6 * 2
    elsewhere = show(tmp_path, region, contract=contract, box=Box(20, 30, 10, 10))
    assert elsewhere.places == {}
    assert elsewhere.problems == ()


def test_what_is_wrong_with_a_place_is_said_and_leaves_the_finding_out(tmp_path: Path) -> None:
    right = FindingRegion("mass", box=SQUARE)
    beyond = show(tmp_path, right, FindingRegion("mass", box=Box(28, 0, 10, 5)))
    assert beyond.places == {}
    assert beyond.problems == ("the box of 'mass' at 28, 0 of 5 x 10 pixels reaches beyond the image's 40 x 30",)

    small = show(tmp_path, FindingRegion("mass", mask=write_mask(tmp_path, size=(20, 15))))
    assert small.problems == ("the mask of 'mass' has 20 x 15 pixels, the image 40 x 30",)

    (tmp_path / "mask.png").write_bytes(b"no picture")
    damaged = show(tmp_path, FindingRegion("mass", mask=tmp_path / "mask.png"))
    assert damaged.problems == ("the mask of 'mass' cannot be read",)
    missing = show(tmp_path, FindingRegion("mass", mask=tmp_path / "nowhere.png"))
    assert missing.problems == ("the mask of 'mass' cannot be read",)


def test_a_mask_outside_the_data_roots_is_not_read(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    region = FindingRegion("mass", mask=write_mask(outside))
    shown = show(inside, region, roots=DataRoots((inside,)))
    assert shown.problems == ("the mask of 'mass' cannot be read",)


def test_masks_are_read_once_and_not_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placed_images, "MOST_MASKS", 2)
    mask = write_mask(tmp_path)
    others = [mask.rename(tmp_path / "0.png")]
    for number in (1, 2):
        write_mask(tmp_path).rename(tmp_path / f"{number}.png")
        others.append(tmp_path / f"{number}.png")

    same = show(tmp_path, *(FindingRegion("mass", mask=others[0]) for _ in range(9)))
    assert np.array_equal(same.places["mass"].covered, expected(SQUARE))
    many = show(tmp_path, *(FindingRegion("mass", mask=path) for path in others))
    assert many.problems == ("it has more than 2 masks, and no more are read",)


def test_an_image_that_is_gone_is_unreadable(tmp_path: Path) -> None:
    item = ProbeItem("image", tmp_path / "gone.png", row=7)
    with pytest.raises(UnreadableImage, match="row 7"):
        PlacedImagesOnDisk(ProbeSet("probes", (item,), "0" * 64)).show(0, PLAIN, WANTED)


def test_outlines_are_fractions_of_the_input_and_leave_out_what_is_wrong(tmp_path: Path) -> None:
    regions = (
        FindingRegion("mass", box=SQUARE),
        FindingRegion("clip", mask=write_mask(tmp_path)),
        FindingRegion("cyst", box=Box(28, 0, 10, 5)),
    )
    item = ProbeItem("image", write_image(tmp_path), row=7, regions=regions)
    outlines = PlacedImagesOnDisk(ProbeSet("probes", (item,), "0" * 64)).outlines(0, PLAIN)
    assert [finding for finding, _ in outlines] == ["mass", "clip"]
    for _, outline in outlines:
        edges = (outline.left * WIDTH, outline.top * HEIGHT, outline.right * WIDTH, outline.bottom * HEIGHT)
        assert edges == pytest.approx((4, 8, 10, 18))
