"""Random fields that breast tissue is made of: clouds, filaments, and both fanned out from the nipple."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from service.probes.opencv import cv2

Field = NDArray[np.float32]


def cloud(rng: np.random.Generator, shape: tuple[int, ...], scale: float, octaves: int = 1) -> Field:
    """Smooth noise [H, W] of mean 0 and standard deviation about 1; blobs are `scale` pixels across.

    Each further octave halves scale and amplitude, which gives the 1/f look of parenchyma
    (Burgess, Med. Phys. 28, 2001: the power of mammographic background falls with about the third power of frequency).
    """
    height, width = shape
    total = np.zeros((height, width), np.float32)
    power = 0.0

    for octave in range(octaves):
        step = max(scale / 2**octave, 1.0)
        rows = int(height / step) + 4
        columns = int(width / step) + 4
        coarse = rng.standard_normal((rows, columns), dtype=np.float32)
        full = cv2.resize(coarse, (int(columns * step), int(rows * step)), interpolation=cv2.INTER_CUBIC)

        top = left = int(1.5 * step)
        weight = 0.5**octave
        total += weight * full[top : top + height, left : left + width]
        power += weight**2

    return total * np.float32(1.35 / np.sqrt(power))


def filaments(level: Field, thickness: float) -> Field:
    """Thin curves in [0, 1] where a smooth field crosses zero: septa and ligaments `thickness` pixels wide."""
    slope_across = cv2.Sobel(level, cv2.CV_32F, 1, 0, scale=0.125)
    slope_down = cv2.Sobel(level, cv2.CV_32F, 0, 1, scale=0.125)
    slope = np.hypot(slope_across, slope_down)

    distance = np.abs(level) / np.maximum(slope, np.float32(1e-3))
    return np.asarray(np.exp(-np.square(distance / np.float32(thickness))), np.float32)


def fan(rng: np.random.Generator, radius: Field, angle: Field, lobes: float, length: float, octaves: int = 2) -> Field:
    """Noise stretched along the lines that meet at the nipple, as ducts and lobes are.

    radius [H, W] in pixels and angle [H, W] in radians are polar coordinates around the nipple; `lobes` is the number
    of blobs around a full turn, `length` their extent along the duct in pixels.
    """
    cell = 8.0
    shape = (int(radius.max() / length * cell) + 16, int(lobes * cell) + 16)
    flat = cloud(rng, shape, cell, octaves)

    columns = (angle + np.float32(np.pi)) * np.float32(lobes * cell / (2 * np.pi))
    rows = radius * np.float32(cell / length)
    return np.asarray(cv2.remap(flat, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32)


def smooth_step(values: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, a smooth S between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def strokes(shape: tuple[int, ...], lines: Iterable[tuple[NDArray[np.float64], float, int]]) -> Field:
    """Antialiased polylines [H, W] in [0, 1]: each is points [P, 2] as (x, y), strength in [0, 1], width in pixels."""
    canvas = np.zeros(shape, np.uint8)  # OpenCV antialiases 8-bit images only
    for points, strength, width in lines:
        fixed = np.round(points * 16).astype(np.int32)
        cv2.polylines(canvas, [fixed], False, round(255 * strength), width, cv2.LINE_AA, 4)
    return np.asarray(canvas, np.float32) / np.float32(255)
