"""Pictures in the size that is asked for, with outlines and heat where they belong."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.reports.drawings import draw


def decoded(data: bytes) -> NDArray[np.int16]:
    """Blue, green and red [H, W, 3], signed so that they can be subtracted."""
    assert data[:4] == b"RIFF"
    assert data[8:12] == b"WEBP"
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels.astype(np.int16)


def colourful(pixels: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Where a pixel is more than grey, whatever the compression does."""
    spread: NDArray[np.int16] = pixels.max(axis=2) - pixels.min(axis=2)
    return spread > 40


def ramp(height: int, width: int) -> NDArray[np.uint8]:
    return np.repeat(np.linspace(0, 200, width, dtype=np.uint8)[None], height, axis=0)


@pytest.mark.parametrize(
    ("shape", "side", "drawn"),
    [
        ((400, 300), 160, (160, 120)),
        ((300, 400), 160, (120, 160)),
        ((40, 30), 160, (40, 30)),
        ((160, 160), 160, (160, 160)),
        ((2000, 3), 160, (160, 1)),
    ],
)
def test_the_longer_side_is_bounded_and_nothing_is_enlarged(
    shape: tuple[int, int], side: int, drawn: tuple[int, int]
) -> None:
    assert decoded(draw(np.zeros(shape, np.uint8), side)).shape[:2] == drawn


def test_the_same_image_gives_the_same_bytes_and_looks_like_itself() -> None:
    image = ramp(320, 240)
    assert draw(image, 160) == draw(image, 160)
    plain = decoded(draw(image, 640))
    assert not colourful(plain).any()
    assert np.abs(plain[:, :, 0] - image.astype(np.int16)).max() <= 8


def test_the_outline_is_around_the_region() -> None:
    image = ramp(320, 320)
    outlined = decoded(draw(image, 320, region=(0.25, 0.5, 0.5, 0.25)))
    rows, columns = np.nonzero(colourful(outlined))
    assert (rows.min(), rows.max() + 1) == pytest.approx((160, 240), abs=2)
    assert (columns.min(), columns.max() + 1) == pytest.approx((80, 240), abs=2)
    assert not colourful(outlined)[170:230, 90:230].any(), "what is inside is seen"


@pytest.mark.parametrize("region", [(0.0, 0.0, 1.0, 1.0), (0.999, 0.999, 0.0, 0.0), (0.5, 0.5, 0.5, 0.5)])
def test_an_outline_at_the_edge_stays_in_the_image(region: tuple[float, float, float, float]) -> None:
    assert colourful(decoded(draw(ramp(100, 100), 640, region=region))).any()


def test_heat_is_where_the_unit_is_active() -> None:
    heat = np.zeros((4, 4), np.float32)
    heat[3, 0] = 7.0
    hot = colourful(decoded(draw(np.full((80, 80), 90, np.uint8), 640, heat=heat)))
    assert hot[62:80, 0:18].all()
    assert not hot[:40].any()
    assert not hot[:, 40:].any()


def test_heat_that_is_the_same_everywhere_colours_nothing() -> None:
    even = draw(ramp(80, 80), 640, heat=np.ones((2, 2), np.float32))
    assert not colourful(decoded(even)).any()
