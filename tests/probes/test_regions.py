from dataclasses import replace

import numpy as np
import pytest

from service.domain.preprocessing import Preprocessing
from service.domain.probes import Box
from service.probes.pixels import DecodedImage
from service.probes.prepare import prepare, to_eight_bit
from service.probes.regions import Placement, Rectangle, placement

PLAIN = Preprocessing(height=60, width=40, mean=(0.0,), std=(1.0,), channels=1)
SQUARE = Box(left=40, top=50, width=24, height=36)

CONTRACTS = {
    "area": PLAIN,
    "bicubic": replace(PLAIN, resize="bicubic"),
    "grown": replace(PLAIN, height=333, width=222),
    "pad": replace(PLAIN, resize="pad", width=60),
    "pad left": replace(PLAIN, resize="pad", width=90, pad_side="left"),
    "pad rows": replace(PLAIN, resize="pad", height=120, width=30),
    "as it is": replace(PLAIN, resize="none"),
    "cropped": replace(PLAIN, crop_to_breast=True),
    "mirrored": replace(PLAIN, orientation="left"),
    "cropped, mirrored and padded": replace(
        PLAIN, crop_to_breast=True, orientation="left", resize="pad", width=60, pad_side="right"
    ),
}


def film(*, square: bool) -> DecodedImage:
    """A breast that faces right, with or without a bright square in it."""
    levels = np.zeros((180, 130), dtype=np.uint16)
    rows, columns = np.indices((150, 95), dtype=np.uint16)
    levels[20:170, 5:100] = 1500 + rows % 7 * 20 + columns % 5 * 20
    levels[0, 0] = 4000
    levels[30, 10] = 4000
    if square:
        levels[SQUARE.top : SQUARE.top + SQUARE.height, SQUARE.left : SQUARE.left + SQUARE.width] = 4000
    return DecodedImage(levels, from_dicom=True)


def painted(contract: Preprocessing, box: Box | None) -> tuple[Rectangle, Placement, tuple[int, int]]:
    """Where the square is seen in the input: the edges of what differs from the image without it."""
    with_square, without = (to_eight_bit(film(square=square)) for square in (True, False))
    difference = (prepare(with_square, contract, box) - prepare(without, contract, box))[0]
    rows, columns = np.nonzero(difference > difference.max() / 2)
    seen = Rectangle(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    return seen, placement(with_square, contract, box), difference.shape


def far_apart(one: Rectangle, other: Rectangle) -> float:
    return max(
        abs(one.left - other.left),
        abs(one.top - other.top),
        abs(one.right - other.right),
        abs(one.bottom - other.bottom),
    )


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
@pytest.mark.parametrize("box", [None, Box(20, 40, 100, 100)], ids=["whole", "patch"])
def test_a_box_lies_where_the_network_sees_what_is_in_it(contract: Preprocessing, box: Box | None) -> None:
    seen, placed, shape = painted(contract, box)

    region = placed.to_input(Rectangle.of(SQUARE))
    assert region is not None
    assert far_apart(region, seen) <= 0.75

    again = placed.to_stored(region)
    assert again is not None
    assert far_apart(again, Rectangle.of(SQUARE)) < 1e-6

    mask = np.zeros((180, 130), dtype=np.uint8)
    mask[SQUARE.top : SQUARE.top + SQUARE.height, SQUARE.left : SQUARE.left + SQUARE.width] = 255
    covered = placed.mask_to_input(mask, height=shape[0], width=shape[1])
    rows, columns = np.nonzero(covered > 0.5)
    assert covered.shape == shape
    assert far_apart(Rectangle(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), region) <= 0.75


def test_the_painted_image_is_mirrored_and_cut() -> None:
    """The images of these tests would prove nothing if they were shown whole."""
    _, placed, _ = painted(CONTRACTS["cropped, mirrored and padded"], None)
    assert placed.mirrored
    assert placed.part == Rectangle(5, 20, 100, 170)
    assert placed.place.right < 60


def test_what_is_cut_off_is_nowhere_and_what_is_half_cut_off_is_half_there() -> None:
    _, placed, _ = painted(CONTRACTS["cropped"], None)
    assert placed.to_input(Rectangle(101, 30, 120, 40)) is None
    half = placed.to_input(Rectangle(90, 30, 120, 40))
    assert half is not None
    assert half.right == 40


def test_air_around_a_padded_image_is_no_place_in_it() -> None:
    _, placed, _ = painted(CONTRACTS["pad left"], None)
    assert placed.to_stored(Rectangle(0, 0, 10, 10)) is None
