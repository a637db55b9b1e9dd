"""The normal breast of a phantom: outline, skin, fat, fibroglandular tissue, ligaments, vessels, pectoral muscle.

Everything is drawn as a left breast (chest wall at the left edge, nipple to the right) in attenuation units, where
1.0 is about the brightest gland; `phantom` mirrors right breasts and applies the film curve at the end.
"""

from dataclasses import dataclass

import numpy as np

from service.probes.opencv import cv2
from service.probes.phantoms.plan import Density, View
from service.probes.phantoms.textures import Field, cloud, fan, filaments, smooth_step, strokes

_GLAND_SHIFT: dict[Density, float] = {"A": -1.25, "B": -0.45, "C": 0.25, "D": 1.15}
_GLAND_LEVEL: dict[Density, float] = {"A": 0.38, "B": 0.52, "C": 0.60, "D": 0.66}


@dataclass(frozen=True)
class Breast:
    """Geometry of one phantom view, in pixels."""

    view: View

    edge: Field
    """x of the skin in each row, [H]; 0 where there is no breast."""

    depth: Field
    """Distance of every pixel from the skin, [H, W]; 0 outside."""

    nipple: tuple[float, float]

    radius: Field
    """Distance from the nipple: a polar coordinate."""

    angle: Field
    """Angle around the nipple: a polar coordinate."""

    pectoral: Field
    """The muscle, [H, W] in [0, 1]."""

    @property
    def unit(self) -> float:
        """Length scale: 1.0 at an image height of 512 pixels (about 0.35 mm a pixel)."""
        return float(self.depth.shape[0] / 512)


def shape_breast(rng: np.random.Generator, view: View, height: int, width: int, *, retracted: bool) -> Breast:
    """Draw outline, nipple and (MLO) the place of the pectoral muscle. retracted: the nipple is pulled inwards."""
    rows = np.arange(height, dtype=np.float32)
    reach = width * rng.uniform(0.62, 0.90)

    if view == "CC":
        middle = height * rng.uniform(0.46, 0.54)
        half = height * rng.uniform(0.36, 0.47)
        bend = rng.uniform(1.7, 2.3)
        edge = reach * np.clip(1 - np.abs((rows - middle) / half) ** bend, 0, 1) ** (1 / 1.9)
    else:
        middle = height * rng.uniform(0.58, 0.68)
        half = height * rng.uniform(0.25, 0.31)
        lower = np.clip(1 - np.clip((rows - middle) / half, 0, None) ** 2.1, 0, 1) ** 0.55
        rise = np.clip((middle - rows) / middle, 0, 1)
        upper = 1 - (1 - rng.uniform(0.38, 0.55)) * smooth_step(rise, 0.0, rng.uniform(0.85, 1.05))
        edge = reach * np.where(rows > middle, lower, upper)

    wobble = cloud(rng, (height, 8), height / 4, 2)[:, 0] * np.float32(0.010 * width)
    edge = np.asarray(np.where(edge > 2, np.maximum(edge + wobble, 0), 0), np.float32)

    sag = rng.uniform(-0.03, 0.06) * height
    nipple_row = float(np.clip(middle + sag, 8, height - 9))
    edge = _add_nipple(edge, rows, nipple_row, height / 512, retracted=retracted)
    nipple = (float(edge[int(nipple_row)]), nipple_row)

    x, y = np.meshgrid(np.arange(width, dtype=np.float32), rows)
    mask = (x < edge[:, None]).astype(np.uint8)
    padded = cv2.copyMakeBorder(mask, 0, 0, width, 0, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[:, width:].astype(np.float32)

    dx = x - np.float32(nipple[0])
    dy = y - np.float32(nipple[1])
    pectoral = _pectoral(rng, x, y) if view == "MLO" else np.zeros_like(depth)
    return Breast(view, edge, depth, nipple, np.hypot(dx, dy), np.arctan2(dy, -dx), pectoral)


def _add_nipple(edge: Field, rows: Field, nipple_row: float, unit: float, *, retracted: bool) -> Field:
    offset = (rows - np.float32(nipple_row)) / np.float32(unit)
    if retracted:
        return np.asarray(np.maximum(edge - 17 * unit * np.exp(-np.square(offset / 13)), 0), np.float32)
    return np.asarray(edge + 8 * unit * np.exp(-(np.square(offset / 7.5) ** 2)), np.float32)


def _pectoral(rng: np.random.Generator, x: Field, y: Field) -> Field:
    height, width = x.shape
    foot = height * rng.uniform(0.50, 0.68)
    top = width * rng.uniform(0.32, 0.48)
    bulge = rng.uniform(-0.05, 0.12) * width

    along = np.clip(y / np.float32(foot), 0, 1)
    border = np.float32(top) * (1 - along) + np.float32(bulge) * np.sin(np.float32(np.pi) * along)
    return np.asarray(smooth_step(border - x, -3 * height / 512, 5 * height / 512) * (y < foot), np.float32)


def draw_breast(rng: np.random.Generator, breast: Breast, density: Density, *, thick_skin: bool) -> Field:
    """Attenuation [H, W] of a breast without lesions; 0 outside."""
    height, width = breast.depth.shape
    unit = breast.unit
    inside = breast.depth > 0
    thickness = 1 - np.exp(-breast.depth / np.float32(rng.uniform(16, 26) * unit))

    fat = 0.27 + 0.035 * cloud(rng, (height, width), 60 * unit, 3)
    tissue = (fat + _gland(rng, breast, density) + _septa(rng, breast)) * thickness
    tissue += _vessels(rng, breast) * thickness
    tissue += breast.pectoral * _muscle(rng, breast)
    tissue += _skin(rng, breast, thick=thick_skin)

    return np.asarray(np.where(inside, tissue, 0), np.float32)


def _gland(rng: np.random.Generator, breast: Breast, density: Density) -> Field:
    height, width = breast.depth.shape
    unit = breast.unit
    nx, ny = breast.nipple
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))

    centre = nx * rng.uniform(0.50, 0.66)
    spread = nx * rng.uniform(0.50, 0.62)
    lift = -height * rng.uniform(0.0, 0.07)
    rise = height * rng.uniform(0.20, 0.28)
    prior = 1 - np.square((x - np.float32(centre)) / np.float32(spread)) - np.square((y - ny - lift) / rise)
    prior -= 1.6 * np.exp(-breast.depth / np.float32(11 * unit))

    lobes = fan(rng, breast.radius, breast.angle, 20, 60 * unit)
    streaks = fan(rng, breast.radius, breast.angle, 60, 24 * unit, 3)
    grain = cloud(rng, (height, width), 17 * unit, 3)
    lumps = 0.50 * cloud(rng, (height, width), 64 * unit, 2) + 0.40 * lobes + 0.42 * streaks + 0.38 * grain
    share = smooth_step(prior + lumps + np.float32(_GLAND_SHIFT[density]), -0.25, 1.95)

    strands = filaments(cloud(rng, (height, width), 22 * unit, 3), 1.1 * unit)
    texture = 0.86 + 0.13 * streaks + 0.10 * grain + 0.16 * strands
    level = np.float32(_GLAND_LEVEL[density] * rng.uniform(0.9, 1.1))
    return np.asarray(level * share * np.clip(texture, 0.15, 1.35), np.float32)


def _septa(rng: np.random.Generator, breast: Breast) -> Field:
    height, width = breast.depth.shape
    unit = breast.unit
    ducts = fan(rng, breast.radius, breast.angle, 17, 110 * unit, 2) + 0.15 * cloud(rng, (height, width), 20 * unit)
    lines = 0.10 * filaments(ducts, 0.9 * unit)

    for scale in (44, 27):
        arcs = cloud(rng, (height, width), scale * unit, 2)
        patchy = smooth_step(cloud(rng, (height, width), 48 * unit), -1.0, 1.6)
        lines += 0.115 * patchy * filaments(arcs, 0.9 * unit)

    haze = cv2.GaussianBlur(lines, (0, 0), 3.0 * unit)
    return np.asarray(lines + 0.8 * haze, np.float32)


def _vessels(rng: np.random.Generator, breast: Breast) -> Field:
    height, width = breast.depth.shape
    nx, ny = breast.nipple
    steps = np.linspace(0, 1, 24)

    lines = []
    for _ in range(int(rng.integers(2, 6))):
        start = ny + rng.uniform(-0.32, 0.30) * height
        bow = rng.normal(0, 0.05, 2) * height
        ys = start + (ny - start) * steps**1.6 + bow[0] * np.sin(np.pi * steps) + bow[1] * np.sin(2 * np.pi * steps)
        xs = nx * rng.uniform(0.72, 0.92) * steps
        strength = float(rng.uniform(0.08, 0.17))
        thickness = 2 if rng.random() < 0.4 else 1
        lines.append((np.stack([xs, ys], 1), strength, thickness))

    vessels = strokes((height, width), lines)
    return np.asarray(cv2.GaussianBlur(vessels, (0, 0), 0.9 * breast.unit), np.float32)


def _muscle(rng: np.random.Generator, breast: Breast) -> Field:
    height, width = breast.depth.shape
    fibres = cv2.resize(cloud(rng, (height // 4, width), 7 * breast.unit, 2), (width, height))
    turn = cv2.getRotationMatrix2D((0, 0), -28, 1)
    fibres = cv2.warpAffine(fibres, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(rng.uniform(0.26, 0.44) + 0.022 * fibres, np.float32)


def _skin(rng: np.random.Generator, breast: Breast, *, thick: bool) -> Field:
    unit = breast.unit
    depth = breast.depth / np.float32(unit)
    if not thick:
        return np.asarray(0.20 * np.exp(-np.square((depth - 2.0) / 1.3)), np.float32)

    width = rng.uniform(7.5, 13.0)
    band = smooth_step(depth, 0.2, 1.8) * (1 - smooth_step(depth, width * 0.8, width * 1.25))

    rows = np.arange(depth.shape[0], dtype=np.float32)
    reach = rng.uniform(70, 190) * unit
    local = np.exp(-(np.square((rows - breast.nipple[1] - rng.uniform(-50, 50) * unit) / np.float32(reach)) ** 2))
    return np.asarray(0.33 * band * local[:, None] + 0.20 * np.exp(-np.square((depth - 2.0) / 1.3)), np.float32)
