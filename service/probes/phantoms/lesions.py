"""What can be wrong with a breast, drawn into its attenuation; every drawing function returns where it drew."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.domain.probes import Box
from service.probes.opencv import cv2
from service.probes.phantoms.anatomy import Breast
from service.probes.phantoms.calcifications import draw_calcifications
from service.probes.phantoms.plan import Abnormality, Kind
from service.probes.phantoms.textures import Field, cloud, filaments, smooth_step, strokes

_DEPTHS = {"anterior": 0.74, "middle": 0.52, "posterior": 0.27}


@dataclass(frozen=True, slots=True)
class Lesion:
    """Ground truth of one drawn abnormality: its descriptors and the box around its pixels in the final image.

    points: pixel positions (x, y) of single calcifications or clip ends, empty for everything else.
    """

    abnormality: Abnormality
    box: Box
    points: tuple[tuple[int, int], ...] = ()


Drawn = tuple[Field, tuple[float, float, float, float], list[tuple[float, float]]]
"""New attenuation [H, W]; left, top, right, bottom of what was drawn; single points of it."""


def site(rng: np.random.Generator, breast: Breast, abnormality: Abnormality, margin: float) -> tuple[float, float]:
    """A place for it, (x, y) in pixels, at least `margin` * unit from the skin where the breast is big enough."""
    height, width = breast.depth.shape
    nx, ny = breast.nipple
    upwards = abnormality.side == "outer" if breast.view == "CC" else abnormality.height == "upper"
    direction = -1 if upwards else 1

    for attempt in range(60):
        slack = 1 + attempt / 30
        x = nx * (_DEPTHS[abnormality.depth] + rng.normal(0, 0.07) * slack)
        y = ny + direction * height * abs(rng.normal(0.10, 0.05)) * slack
        column = int(np.clip(x, 4, width - 5))
        row = int(np.clip(y, 4, height - 5))
        if breast.depth[row, column] > margin * breast.unit:
            return float(column), float(row)

    deepest = divmod(int(breast.depth[:, : int(nx)].argmax()), int(nx))
    return float(deepest[1]), float(deepest[0])


def polar(tissue: Field, x: float, y: float) -> tuple[Field, Field]:
    """Distance in pixels and angle of every pixel from (x, y), each [H, W]."""
    height, width = tissue.shape
    dx, dy = np.meshgrid(
        np.arange(width, dtype=np.float32) - np.float32(x), np.arange(height, dtype=np.float32) - np.float32(y)
    )
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def spikes(
    rng: np.random.Generator, tissue: Field, centre: tuple[float, float], inner: float, outer: float, count: int
) -> Field:
    """Thin straight lines [H, W] in [0, 1] that run outwards from a circle and fade."""
    lines = []
    turn = rng.uniform(0, 2 * np.pi)
    for index in range(count):
        angle = turn + 2 * np.pi * (index + rng.uniform(-0.3, 0.3)) / count
        bend = rng.normal(0, 0.10)
        length = outer * rng.uniform(0.6, 1.1)

        radii = np.linspace(inner, max(length, inner + 2), 7)
        angles = angle + bend * np.linspace(0, 1, 7)
        points = np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], 1)
        lines += [(points[part : part + 2], 1.0 - 0.13 * part, 1) for part in range(6)]

    return np.asarray(cv2.GaussianBlur(strokes(tissue.shape, lines), (0, 0), 0.7), np.float32)


def _mass(rng: np.random.Generator, tissue: Field, breast: Breast, abnormality: Abnormality) -> Drawn:
    unit = breast.unit
    size = rng.uniform(15, 30) * unit
    x, y = site(rng, breast, abnormality, margin=size / unit * 0.9)
    distance, angle = polar(tissue, x, y)

    shape = abnormality.attribute("shape")
    margin = abnormality.attribute("margin")
    outline = np.ones_like(distance)
    if shape == "oval":
        turn = rng.uniform(0, np.pi)
        ratio = rng.uniform(0.58, 0.75)
        outline = ratio / np.sqrt(np.square(ratio * np.cos(angle - turn)) + np.square(np.sin(angle - turn)))
    if shape == "irregular":
        for wave in range(2, 7):
            outline += np.float32(rng.normal(0, 0.22 / wave**0.5)) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    if margin == "microlobulated":
        outline += 0.08 * np.cos(int(rng.integers(9, 14)) * angle + rng.uniform(0, 2 * np.pi))

    edge = {"circumscribed": 1.6, "microlobulated": 2.2, "indistinct": 9.0, "spiculated": 4.0}[margin] * unit
    reach = np.float32(size) * np.clip(outline, 0.45, 1.7)
    body = 1 - smooth_step(distance - reach, -edge, edge)

    level = {"high": 0.50, "equal": 0.37, "low": 0.27}[abnormality.attribute("density")] * rng.uniform(0.9, 1.15)
    dome = np.sqrt(np.clip(1.15 - np.square(distance / np.maximum(reach, 1)), 0.12, 1))
    inner = 1 + 0.08 * cloud(rng, tissue.shape, 9 * unit)
    added = np.float32(level) * body * dome * inner

    drawn = tissue * (1 - 0.55 * body) + 0.33 * body + added
    extent = size * 1.1
    if margin == "circumscribed":  # the thin dark line that compressed fat leaves around a sharp edge
        drawn -= 0.07 * np.exp(-np.square((distance - reach - 3 * unit) / (2.2 * unit)))
    if margin == "spiculated":
        extent = size * rng.uniform(2.0, 2.7)
        drawn += 0.30 * spikes(rng, tissue, (x, y), size * 0.6, extent, int(rng.integers(16, 27)))

    return np.asarray(drawn, np.float32), (x - extent, y - extent, x + extent, y + extent), []


def _distortion(rng: np.random.Generator, tissue: Field, breast: Breast, abnormality: Abnormality) -> Drawn:
    unit = breast.unit
    reach = rng.uniform(46, 70) * unit
    x, y = site(rng, breast, abnormality, margin=30)
    distance, angle = polar(tissue, x, y)

    pull = (0.45 * reach * np.exp(-np.square(distance / (0.62 * reach)))) * (distance > 0)
    sample = distance + pull
    warped = cv2.remap(
        tissue,
        (x + sample * np.cos(angle)).astype(np.float32),
        (y + sample * np.sin(angle)).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )

    weight = np.where(breast.depth > 6 * unit, 1 - smooth_step(distance, reach, 1.5 * reach), 0)
    drawn = tissue * (1 - weight) + warped * weight

    rays = spikes(rng, tissue, (x, y), 2.0, reach * 1.15, int(rng.integers(20, 32)))
    drawn += 0.27 * rays * np.clip(breast.depth / np.float32(20 * unit), 0, 1)
    return np.asarray(drawn, np.float32), (x - reach, y - reach, x + reach, y + reach), []


def _asymmetry(rng: np.random.Generator, tissue: Field, breast: Breast, abnormality: Abnormality) -> Drawn:
    unit = breast.unit
    long = rng.uniform(54, 80) * unit
    short = rng.uniform(34, 46) * unit
    x, y = site(rng, breast, abnormality, margin=short / unit * 0.9)
    distance, angle = polar(tissue, x, y)

    turn = rng.uniform(0, np.pi)
    scaled = np.hypot(distance * np.cos(angle - turn) / long, distance * np.sin(angle - turn) / short)
    ragged = scaled + 0.16 * cloud(rng, tissue.shape, 26 * unit, 3)
    share = (1 - smooth_step(ragged, 0.35, 1.25)) * np.clip(breast.depth / np.float32(22 * unit), 0, 1)

    texture = 0.42 + 0.05 * cloud(rng, tissue.shape, 12 * unit, 2)
    septa = 0.10 * filaments(cloud(rng, tissue.shape, 26 * unit, 2), unit)
    drawn = tissue + share * (texture + septa)
    return np.asarray(drawn, np.float32), (x - long, y - long, x + long, y + long), []


def _lymph_node(rng: np.random.Generator, tissue: Field, breast: Breast, __: Abnormality) -> Drawn:
    unit = breast.unit
    height = tissue.shape[0]
    size = rng.uniform(11, 19) * unit
    y = rng.uniform(0.07, 0.26) * height
    x = float(breast.edge[int(y)]) * rng.uniform(0.22, 0.58)
    distance, angle = polar(tissue, x, y)

    turn = rng.uniform(0, np.pi)
    ratio = rng.uniform(0.55, 0.8)
    outline = ratio / np.sqrt(np.square(ratio * np.cos(angle - turn)) + np.square(np.sin(angle - turn)))
    body = 1 - smooth_step(distance - np.float32(size) * outline, -1.6 * unit, 1.6 * unit)

    side = turn + np.pi / 2
    hilum_distance, _ = polar(tissue, x + 0.30 * size * np.cos(side), y + 0.30 * size * np.sin(side))
    hilum = 1 - smooth_step(hilum_distance, 0.20 * size, 0.50 * size)

    drawn = tissue + body * (rng.uniform(0.36, 0.50) - 0.40 * hilum)
    return np.asarray(drawn, np.float32), (x - size, y - size, x + size, y + size), []


def _implant(rng: np.random.Generator, tissue: Field, breast: Breast, _: Abnormality) -> Drawn:
    height, width = tissue.shape
    nx, ny = breast.nipple
    with_room = np.flatnonzero(breast.edge > 0.45 * nx)
    room = float(min(ny - with_room[0], with_room[-1] - ny, 0.30 * height))
    long = room * rng.uniform(0.80, 0.95)
    short = nx * rng.uniform(0.44, 0.56)
    x = nx * rng.uniform(0.0, 0.06)
    y = ny + height * rng.uniform(-0.04, 0.01)

    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    scaled = np.hypot((columns - np.float32(x)) / np.float32(short), (rows - np.float32(y)) / np.float32(long))
    scaled += 0.012 * cloud(rng, (height, width), 60 * breast.unit)

    body = (1 - smooth_step(scaled, 0.985, 1.012)) * (breast.depth > 8 * breast.unit)
    rim = np.exp(-np.square((scaled - 0.985) / 0.012)) * (breast.depth > 8 * breast.unit)

    level = rng.uniform(1.15, 1.45)
    drawn = tissue * (1 - 0.93 * body) + np.float32(level) * body + 0.18 * rim
    return np.asarray(drawn, np.float32), (x - short, y - long, x + short, y + long), []


def _clip(rng: np.random.Generator, tissue: Field, breast: Breast, abnormality: Abnormality) -> Drawn:
    unit = breast.unit
    x, y = site(rng, breast, abnormality, margin=18)
    size = rng.uniform(5.0, 8.0) * unit
    turn = rng.uniform(0, np.pi)

    patterns = (
        ((-1, 0), (1, 0)),
        ((-1, -0.5), (-0.6, 0.5), (0.6, 0.5), (1, -0.5)),
        ((-1, 0.4), (0, -0.6), (1, 0.4)),
        ((-0.7, -0.7), (0.7, 0.7), (0.7, -0.7), (-0.7, 0.7)),
    )
    pattern = np.asarray(patterns[int(rng.integers(len(patterns)))]) * size
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = pattern @ spin.T + (x, y)

    canvas = strokes(tissue.shape, [(points, 1.0, max(1, round(2 * unit)))])
    drawn = tissue * (1 - canvas) + 2.6 * canvas
    extent = size + 2
    return (
        np.asarray(drawn, np.float32),
        (x - extent, y - extent, x + extent, y + extent),
        [(float(px), float(py)) for px, py in points[:1]],
    )


def _calcifications(rng: np.random.Generator, tissue: Field, breast: Breast, abnormality: Abnormality) -> Drawn:
    centre = site(rng, breast, abnormality, margin=26)
    return draw_calcifications(rng, tissue, breast, abnormality, centre)


def _thick_skin(_: np.random.Generator, tissue: Field, breast: Breast, __: Abnormality) -> Drawn:
    rows = np.flatnonzero(breast.edge > 0)
    return tissue, (0.0, float(rows[0]), float(breast.edge.max()), float(rows[-1])), []


def _retracted_nipple(rng: np.random.Generator, tissue: Field, breast: Breast, __: Abnormality) -> Drawn:
    """The outline is retracted already; this adds the dense strands that pull the nipple inwards."""
    nx, ny = breast.nipple
    lines = []
    for _ in range(int(rng.integers(4, 8))):
        length = rng.uniform(30, 55) * breast.unit
        angle = np.pi + rng.normal(0, 0.40)
        end = (nx + length * np.cos(angle), ny + length * np.sin(angle))
        lines.append((np.array([[nx, ny], end]), 1.0, 2))

    strands = cv2.GaussianBlur(strokes(tissue.shape, lines), (0, 0), 1.0)
    added = (0.34 * strands + 0.12) * np.exp(-breast.radius / np.float32(32 * breast.unit))

    reach = 26 * breast.unit
    return np.asarray(tissue + added, np.float32), (nx - reach, ny - reach, nx + reach, ny + reach), []


_DRAWINGS: dict[Kind, Callable[[np.random.Generator, Field, Breast, Abnormality], Drawn]] = {
    "mass": _mass,
    "calcifications": _calcifications,
    "architectural distortion": _distortion,
    "asymmetry": _asymmetry,
    "skin thickening": _thick_skin,
    "nipple retraction": _retracted_nipple,
    "lymph node": _lymph_node,
    "implant": _implant,
    "surgical clip": _clip,
}


def draw_lesion(rng: np.random.Generator, tissue: Field, breast: Breast, abnormality: Abnormality) -> Drawn:
    """Draw one abnormality into attenuation [H, W] of a left breast."""
    return _DRAWINGS[abnormality.kind](rng, tissue, breast, abnormality)
