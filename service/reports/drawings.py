"""Pictures of probe images in the size that is asked for, with what a unit does in them. Decoders open the files."""

import numpy as np
from numpy.typing import NDArray

from service.domain.neurons import Region
from service.probes.opencv import cv2

_QUALITY = 95
"""At 90, the brightest details of a mammogram lose some of their contrast."""
_OUTLINE = (250, 204, 21)
_AROUND = (0, 0, 0)
"""Red, green and blue of the outline, and of the line around it, which shows on bright tissue."""

_THINNEST = 2
"""Pixels of a line: of a thinner one the compression takes the colour."""

_HEAT = (255, 96, 0)
_MOST_HEAT = 0.6
"""How much of its colour takes the place of the image where the unit is most active."""


def draw(
    pixels: NDArray[np.uint8],
    side: int,
    *,
    region: Region | None = None,
    heat: NDArray[np.float32] | None = None,
) -> bytes:
    """A WebP of an image [H, W] whose longer side has at most `side` pixels; equal input gives equal bytes.

    region: is outlined. heat: what a unit does over space, [h, w], of which the least is left as it is.
    """
    grey = _small(pixels, side)
    if region is None and heat is None:
        return _encoded(grey)

    colours = np.repeat(grey[:, :, None], 3, axis=2)
    if heat is not None:
        colours = _heated(colours, heat)
    if region is not None:
        _outline(colours, region)
    return _encoded(np.ascontiguousarray(colours[:, :, ::-1]))


def _small(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = pixels.shape
    scale = min(1.0, side / max(height, width))
    if scale == 1.0:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _heated(colours: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    height, width = colours.shape[:2]
    low, high = float(heat.min()), float(heat.max())
    relative = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    smooth = cv2.resize(relative.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)

    share = (_MOST_HEAT * np.asarray(smooth, np.float32))[:, :, None]
    mixed = (1 - share) * colours + share * np.array(_HEAT, np.float32)
    return np.asarray(mixed.round(), np.uint8)


def _outline(colours: NDArray[np.uint8], region: Region) -> None:
    """Draw a rectangle into the image, with a dark one around it."""
    height, width = colours.shape[:2]
    thickness = max(_THINNEST, round(max(height, width) / 320))
    left, top, right, bottom = _corners(region, height, width)
    for grown, colour in ((thickness, _AROUND), (0, _OUTLINE)):
        _frame(colours, left - grown, top - grown, right + grown, bottom + grown, thickness, colour)


def _corners(region: Region, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in pixels; right and bottom are the first beside it."""
    left, top, region_width, region_height = region
    first_column = min(round(left * width), width - 1)
    first_row = min(round(top * height), height - 1)
    return (
        first_column,
        first_row,
        max(round((left + region_width) * width), first_column + 1),
        max(round((top + region_height) * height), first_row + 1),
    )


def _frame(
    colours: NDArray[np.uint8],
    left: int,
    top: int,
    right: int,
    bottom: int,
    thickness: int,
    colour: tuple[int, int, int],
) -> None:
    """A frame inside these edges, as far as it is in the image."""
    rows = slice(max(top, 0), max(bottom, 0))
    columns = slice(max(left, 0), max(right, 0))
    for edge in (slice(max(top, 0), max(top + thickness, 0)), slice(max(bottom - thickness, 0), max(bottom, 0))):
        colours[edge, columns] = colour
    for edge in (slice(max(left, 0), max(left + thickness, 0)), slice(max(right - thickness, 0), max(right, 0))):
        colours[rows, edge] = colour


def _encoded(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].tobytes())
